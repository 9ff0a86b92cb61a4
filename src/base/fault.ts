/**
 * The stable codes of faults: what failed outside our own code and whose limit was hit.
 * One word per cause; operators search logs for them, so a code is never renamed.
 */
export type FaultCode =
  | "config.invalid"
  | "config.unreadable"
  | "file.unwritable"
  | "listen.in-use"
  | "listen.denied"
  | "listen.failed"
  | "spool.unwritable"
  | "spool.locked"
  | "spool.damaged"
  | "spool.commit-failed"
  | "spool.full"
  | "spool.compaction"
  | "log.unreadable"
  | "log.unwritable"
  | "dns.timeout"
  | "dns.servfail"
  | "dns.nxdomain"
  | "dns.nodata"
  | "dns.refused"
  | "dns.malformed"
  | "dns.loop"
  | "dns.busy"
  | "socket.failed"
  | "proxy.unreachable"
  | "proxy.handshake"
  | "proxy.unplumbed"
  | "proxy.destination"
  | "addon.unavailable"
  | "files.limit"
  | "worker.lost"
  | "sim.violation";

/**
 * Something outside our code failed: a disk, a socket, a name server, a file that somebody wrote.
 * An expected answer of a peer is an outcome (a value), and a bug of ours is a {@link Panic}; neither is a fault.
 */
export class Fault extends Error {
  override readonly name = "Fault";
  /** Stable code, see {@link FaultCode}. */
  readonly code: FaultCode;
  /** The operating system's errno name (`EADDRINUSE`), where there was one. */
  readonly errno: string | null;

  constructor(code: FaultCode, message: string, options: { errno?: string | null; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? {} : { cause: options.cause });
    this.code = code;
    this.errno = options.errno ?? null;
  }
}

/** The errno name carried by a Node or addon error, or null. */
export function errnoOf(error: unknown): string | null {
  if (error instanceof Fault) return error.errno;
  if (error instanceof Error && "code" in error && typeof error.code === "string") return error.code;
  return null;
}

/**
 * The same without the system call and its path, for a message that names the file itself:
 * `ENOENT: no such file or directory, open '/x'` becomes `ENOENT: no such file or directory`.
 */
export function causeOf(error: unknown): string {
  const text = messageOf(error);
  return error instanceof Error && "syscall" in error ? text.replace(/, \w+ '.*'$/s, "") : text;
}

/** The text of anything thrown, for a log line. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
