import type { Socket } from "node:net";
import type { Fault } from "../base/fault.js";
import type { ScanContent } from "./content-scan.js";

/**
 * The one typed face of the native side, in the order of `native/`: sockets, reactor, sync, map, deaths. The addon
 * (`addon.ts`) and its pure-Node stand-in (`stand-in.ts`) both implement it, and one test table runs against both.
 * Every failure is a {@link Fault} of code `socket.failed`, `listen.*` or `spool.*` whose `errno` is the errno's name.
 */
export interface Native {
  readonly kind: "addon" | "stand-in";
  /** Whether several threads can listen on one port; the stand-in needs a Node with `reusePort` (22.12) for that. */
  readonly perThreadListeners: boolean;

  // ── sockets.cc ───────────────────────────────────────────────────────────────────────────────────────────────────
  /**
   * Reserves a listening address for this process: binds it exclusively first (so that a second server is refused), then
   * holds it bound with SO_REUSEPORT without listening, until `release` is called. Returns the port (the chosen one for 0).
   * @throws {Fault} `listen.in-use` (EADDRINUSE), `listen.denied` (EACCES), `listen.failed`.
   */
  reservePort(host: string, port: number): Promise<{ readonly port: number; release(): void }>;

  /**
   * Whether a connection could leave from this address now: null, or the errno's name that says why not
   * (`EADDRNOTAVAIL`: no interface has it).
   */
  bindRefusal(address: string): Promise<string | null>;

  /** Makes the reactor of the calling thread. One per thread. */
  createReactor(options: ReactorOptions): Reactor;

  // ── sync.cc ──────────────────────────────────────────────────────────────────────────────────────────────────────
  /**
   * `fdatasync` off the event loop, grouped: calls that arrive while a sync of the same descriptor is under way share the
   * next one. Resolves after a sync that began after the call; rejects with `spool.commit-failed` when it failed.
   */
  sync(fd: number): Promise<void>;
  /** Makes a new or renamed directory entry durable (`fsync` of the directory). */
  syncDirectory(path: string): Promise<void>;
  /** Free and total bytes and inodes for an unprivileged user, of the file system that holds `path`. */
  freeSpace(path: string): Promise<FreeSpace>;
  /**
   * Gives memory back to the system that the process has freed and its allocator (glibc's) holds for later; off the event
   * loop. The stand-in can do nothing of the kind: there it is for the allocator to decide.
   */
  trimMemory(): Promise<void>;
  /**
   * Takes an exclusive lock that dies with the process. Returns null when somebody else holds it.
   * @throws {Fault} `spool.unwritable` when the file cannot be made.
   */
  lockFile(path: string): { release(): void } | null;

  // ── codec.cc ─────────────────────────────────────────────────────────────────────────────────────────────────────
  /**
   * Scans content for what must not be taken as it is: see `content-scan.ts`, which is what the stand-in uses, and the addon
   * too for short runs. Gain: bench/micro/dot-decoder.ts.
   */
  readonly scanContent: ScanContent;
  // ── map.cc ───────────────────────────────────────────────────────────────────────────────────────────────────────
  /**
   * Maps the first `bytes` of a file, made when there is none, for this thread: what is written there is in the file, and
   * seen by every thread that maps it, whatever becomes of the process. Null where that cannot be done (the stand-in).
   * @throws {Fault} `spool.unwritable` when the file cannot be made, or the disk has no room for it.
   */
  mapFile(path: string, bytes: number): ArrayBuffer | null;

  // ── deaths.cc ────────────────────────────────────────────────────────────────────────────────────────────────────
  /**
   * From now on a signal that ends this process for what it did itself (SIGSEGV, SIGBUS, SIGABRT, SIGILL, SIGFPE, SIGTRAP;
   * not one that another process sent) first leaves its number, as a float64, at byte `at` of this file: a multiple of 8
   * within its first page; and in the next one the line of the thread that did it (see {@link ownLine}): -1 for a thread
   * without one, 0 where the signal was sent to the process as a whole. The last file named counts, for all threads. False
   * where that cannot be done (the stand-in).
   * @throws {Fault} `spool.unwritable` when the file is not there or cannot be mapped.
   */
  markDeaths(path: string, at: number): boolean;

  /** By which number, above 0, a crash of the calling thread is known. False where that cannot be done. */
  ownLine(line: number): boolean;

  /** What `top -H` and `perf` call the calling thread, up to 15 bytes. False where that cannot be done. */
  nameThread(name: string): boolean;
}

/** What a file system has left. */
export interface FreeSpace {
  readonly freeBytes: number;
  readonly totalBytes: number;
  readonly freeInodes: number;
  readonly totalInodes: number;
}

/** How a thread's reactor is made. */
export interface ReactorOptions {
  /** Bytes of the receive arena: one per thread, shared by all of its connections. At least 64 KiB. */
  readonly arenaBytes: number;
  /**
   * Called once after each batch of events, when all handlers have run: the place where a worker flushes its log, its
   * rings and its replies. Whatever was written to connections meanwhile goes out when it returns.
   */
  readonly onTurn: () => void;
}

/**
 * The sockets of one thread. Readiness is taken in batches; each batch calls the connections' handlers one after the
 * other, then `onTurn`, then sends what was written, one system call per connection.
 */
export interface Reactor {
  /**
   * Listens with SO_REUSEPORT, so that every worker has a queue of its own (the kernel spreads connections). `host` is a
   * numeric address; "::" takes IPv4 as well, every other IPv6 address only its own. Await `ready` of the result.
   * @throws {Fault} `listen.*`; the stand-in rejects `ready` with it instead.
   */
  listen(options: ListenOptions, onConnection: (connection: Connection) => void): Listener;
  /**
   * Starts a connection. Failures of the bind and of the connect are reported to the handler's `onClose`, never thrown.
   * The connection can be written to at once; the bytes wait until it is up.
   */
  connect(options: ConnectOptions, handler: ConnectionHandler): Connection;
  /**
   * Joins two open connections of this reactor whose output has left: from now on each gets what the other sends, at
   * the pace of the slower one, an end of one direction included; with the addon no byte of it comes into the script.
   * Their handlers are called no more. Peers that vanish are found out within seven minutes.
   * @param start at most 16 KiB for each, before what the other sends.
   * @param onEnd called once, when both directions have ended or one connection has failed; not after `destroy`.
   * @throws {Fault} `socket.failed` when it cannot be; then both are as they were.
   */
  relay(first: Connection, second: Connection, start: RelayStart, onEnd: (fault: Fault | null) => void): Relay;
  /** Has `onTurn` run soon even when no socket event comes: call it after writing outside of a handler. */
  requestTurn(): void;
  /** Connections that are open now; those whose socket was given away count until it is closed. */
  readonly size: number;
  /** Closes everything at once. */
  close(): void;
}

/** The first bytes of a relay. */
export interface RelayStart {
  readonly toFirst: Uint8Array;
  readonly toSecond: Uint8Array;
}

/** Two connections that have been joined. */
export interface Relay {
  /** Bytes that the first has got so far, those of the start included. */
  readonly toFirstBytes: number;
  readonly toSecondBytes: number;
  /** Closes both at once. */
  destroy(): void;
}

/** Where to listen. */
export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  readonly backlog: number;
}

/** A listening socket of this thread. */
export interface Listener {
  readonly host: string;
  /** The port that was asked for, or the one that was chosen for 0 (once `ready`). */
  readonly port: number;
  /** Resolves when connections are taken: at once with the addon. */
  readonly ready: Promise<void>;
  /** How often it had to stop for a moment because no descriptor or memory was left to accept with. */
  readonly stalls: number;
  /** Stops accepting for a while (connections wait in the kernel's queue) and goes on again. */
  pause(): void;
  resume(): void;
  close(): void;
}

/** Where to connect to, and from where. */
export interface ConnectOptions {
  /** Numeric address, v4 or v6; or null with `unix`. */
  readonly address: string | null;
  readonly port: number;
  readonly unix: string | null;
  /** Local address to leave from (IP_BIND_ADDRESS_NO_PORT, port chosen at connect); null for the system's choice. */
  readonly localAddress: string | null;
  /** IP_FREEBIND: bind an address that no interface has (yet). The stand-in cannot: EADDRNOTAVAIL then, as without it. */
  readonly freeBind?: boolean;
  /** IP_TRANSPARENT (needs CAP_NET_ADMIN). */
  readonly transparent?: boolean;
  /** SO_BINDTODEVICE: interface name. */
  readonly device?: string | null;
  /** SO_MARK, for policy routing. */
  readonly mark?: number | null;
  /** TCP_USER_TIMEOUT in ms: how long sent bytes may stay unacknowledged. 0 for the system's. */
  readonly userTimeoutMs?: number;
}

/** What happens to a connection. Handlers must not throw. */
export interface ConnectionHandler {
  /** Up (only after `connect`). */
  onConnect(): void;
  /** Bytes arrived: `buffer[start, end)`, valid only until this call returns. */
  onData(buffer: Buffer, start: number, end: number): void;
  /** The peer will send no more. The connection can still be written to. */
  onEnd(): void;
  /** What was written has left, after `write` had returned false. */
  onDrain(): void;
  /** Gone; called exactly once, also after `destroy`. `fault` tells why, null for an orderly close. */
  onClose(fault: Fault | null): void;
}

/** A connection of this thread, plain TCP or a unix socket. */
export interface Connection {
  /** Set by whoever takes a connection from `listen`, before its callback returns. */
  handler: ConnectionHandler;
  /** Numeric; IPv4 is written as IPv4 also on a listener of both. The path of a unix socket. */
  readonly remoteAddress: string;
  /** 0 for a unix socket. */
  readonly remotePort: number;
  /** Known from `onConnect` on, and after the close; "" for a unix socket. */
  readonly localAddress: string;
  readonly localPort: number;
  /**
   * Queues text of one byte per character (ASCII or Latin-1) for the end of the turn.
   * Returns false when more than 64 KiB now wait: stop and go on in `onDrain`.
   */
  writeText(text: string): boolean;
  /**
   * Queues bytes. Up to 16 KiB are copied at once; more are not, so they must not change until they have left
   * (`pendingBytes` is 0) or `onClose`. Returns as `writeText` does.
   */
  writeBytes(bytes: Uint8Array): boolean;
  /** Bytes written and not yet taken by the kernel. */
  readonly pendingBytes: number;
  /** Stops and restarts reading: back-pressure on the peer. What this batch has already received still arrives. */
  pause(): void;
  resume(): void;
  /**
   * Sends what is queued, then closes both ways; no more `onData`. The peer gets a second or two, and 1 MiB, to end its
   * side, so that no reset destroys our last bytes on their way; then `onClose`.
   */
  end(): void;
  /** Closes at once. Writing to, ending or destroying a closed connection does nothing. */
  destroy(): void;
  /**
   * Gives the socket away, for a TLS upgrade: no handler is called any more, not even `onClose`. Only of an open
   * connection whose output has left (`pendingBytes` is 0). It does not flow until it is wrapped or `resume()`d.
   * @throws {Panic} otherwise.
   */
  detach(): Socket;
}
