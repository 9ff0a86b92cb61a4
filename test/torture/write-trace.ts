/**
 * Reads what strace recorded of a server: the writes and syncs of one file, and the acceptances that left for clients, in
 * their order. The file is known by the end of its path; strings are in hexadecimal (`-xx`), descriptors have their paths
 * (`-y`).
 */

/** A write to the file. */
export interface WriteStep {
  readonly kind: "write";
  readonly at: number;
  readonly bytes: Buffer;
  /** Through a descriptor that does not return before the disk has it. */
  readonly durable: boolean;
}

/** Everything written before is on disk. */
export interface SyncStep {
  readonly kind: "sync";
}

/** A client may know from here on that these ids were accepted. */
export interface AckStep {
  readonly kind: "ack";
  readonly ids: readonly string[];
}

/** One step of the story. */
export type Step = WriteStep | SyncStep | AckStep;

/** The arguments of strace that {@link readTrace} needs. */
export const TRACE_ARGUMENTS: readonly string[] = [
  "-f",
  "-y",
  "-xx",
  "-s",
  "16000000",
  "-e",
  "trace=openat,pwrite64,pwritev,writev,write,fdatasync,fsync,msync,ftruncate,fallocate,lseek,sendto,sendmsg",
];

const CALL = /^(\d+) +(\w+)\((.*)\) += (-?\d+)/s;
const ACCEPTED = / OK ids=([0-9a-f ]+)\r\n/g;

/** @throws {Error} where the file was changed in a way that this reader does not know. */
export function readTrace(trace: string, pathEnd: string): Step[] {
  const steps: Step[] = [];
  const hexEnd = `${hex(pathEnd)}>`;
  const durable = new Set<string>();
  const places = new Map<string, number>();
  const begun = new Map<string, string>();
  for (let line of trace.split("\n")) {
    const pid = /^\d+/.exec(line)?.[0];
    if (pid === undefined) continue;
    if (line.endsWith("<unfinished ...>")) {
      const head = line.slice(0, -"<unfinished ...>".length).trimEnd();
      // A client may have a reply as soon as its sending has begun.
      if (/^\d+ +send/.test(head)) pushAcks(head, steps);
      begun.set(pid, head);
      continue;
    }
    // The process was killed inside the call: what a write did is not known, but a client may have what was being sent.
    if (/ = \?$/.test(line)) {
      if (/^\d+ +send/.test(line)) pushAcks(line, steps);
      continue;
    }
    const resumed = /^\d+ +<\.\.\. (\w+) resumed>/.exec(line);
    if (resumed !== null) line = `${begun.get(pid) ?? ""}${line.slice(resumed[0].length)}`;
    const call = CALL.exec(line);
    if (call === null) continue;
    const [, , name, args, result] = call as unknown as [string, string, string, string, string];
    if (name.startsWith("send")) {
      if (resumed === null) pushAcks(args, steps);
      continue;
    }
    if (name === "openat") {
      if (args.includes(`${hex(pathEnd)}"`) && args.includes("O_DSYNC")) durable.add(result);
      continue;
    }
    const fd = /^(\d+)</.exec(args)?.[1];
    if (fd === undefined || !args.slice(0, args.indexOf(">") + 1).endsWith(hexEnd)) continue;
    if (Number(result) < 0) throw new Error(`a call failed: ${line.slice(0, 200)}`);
    const write = (at: number): void => {
      const bytes = Buffer.concat([...args.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)].map(([, text]) => unhex(text ?? "")));
      if (bytes.length !== Number(result)) throw new Error(`${bytes.length} bytes of ${result} were recorded`);
      steps.push({ kind: "write", at, bytes, durable: durable.has(fd) });
    };
    switch (name) {
      case "pwrite64":
      case "pwritev":
        write(Number(/, (\w+)$/.exec(args)?.[1]));
        break;
      case "lseek":
        places.set(fd, Number(result));
        break;
      case "write":
      case "writev": {
        const at = places.get(fd);
        if (at === undefined) throw new Error("a write whose place is not known");
        write(at);
        places.set(fd, at + Number(result));
        break;
      }
      case "fdatasync":
      case "fsync":
        steps.push({ kind: "sync" });
        break;
      default:
        throw new Error(`the file was changed by ${name}`);
    }
  }
  return steps;
}

function pushAcks(args: string, steps: Step[]): void {
  for (const [, text] of args.matchAll(/"((?:\\x[0-9a-f]{2})*)"/g)) {
    for (const [, ids] of unhex(text ?? "")
      .toString("latin1")
      .matchAll(ACCEPTED)) {
      steps.push({ kind: "ack", ids: (ids ?? "").split(" ") });
    }
  }
}

function hex(text: string): string {
  return [...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
}

function unhex(text: string): Buffer {
  return Buffer.from(text.replaceAll("\\x", ""), "hex");
}
