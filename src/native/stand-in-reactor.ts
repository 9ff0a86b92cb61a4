import { connect, createServer, isIP, type Server, type Socket } from "node:net";
import { assert } from "../base/assert.js";
import { errnoOf, type Fault } from "../base/fault.js";
import type {
  Connection,
  ConnectionHandler,
  ConnectOptions,
  Listener,
  ListenOptions,
  Reactor,
  ReactorOptions,
  Relay,
  RelayStart,
} from "./binding.js";
import { listenFault } from "./faults.js";
import { Lingering } from "./linger.js";
import { noHandler } from "./no-handler.js";
import { StandInConnection, type StandInHost } from "./stand-in-connection.js";
import { StreamRelay } from "./stream-relay.js";
import { Turn } from "./turn.js";

/**
 * The reactor on Node's own sockets: handlers are called as Node's events come, the turn follows them by `setImmediate`.
 * Runs on: the thread that made it.
 * Owns: its connections and listeners. (Node receives into memory of its own; the arena does not exist.)
 * When full: as the addon's; a paused listener holds `backlog` connections and closes what comes above.
 * On failure: as the addon's.
 */
export class StandInReactor implements Reactor, StandInHost {
  readonly #turn: Turn<StandInConnection>;
  readonly #lingering = new Lingering<StandInConnection>();
  readonly #connections = new Set<StandInConnection>();
  readonly #listeners = new Set<StandInListener>();
  readonly #relays = new Set<StreamRelay>();
  readonly #hasReusePort: boolean;
  /** An open reactor keeps the event loop alive, as the addon's does. */
  readonly #keepAlive = setInterval(() => {}, 0x7fffffff);
  #isClosed = false;

  /** @param hasReusePort whether this Node can listen with SO_REUSEPORT. */
  constructor(options: ReactorOptions, hasReusePort: boolean) {
    this.#turn = new Turn(options.onTurn, () => {});
    this.#hasReusePort = hasReusePort;
  }

  get size(): number {
    return this.#turn.size;
  }

  listen(options: ListenOptions, onConnection: (connection: Connection) => void): Listener {
    const listener = new StandInListener(
      options,
      this.#hasReusePort,
      (socket) => this.#accept(socket, onConnection),
      (closed) => this.#listeners.delete(closed),
    );
    this.#listeners.add(listener);
    return listener;
  }

  connect(options: ConnectOptions, handler: ConnectionHandler): Connection {
    const peer = options.unix ?? options.address ?? "";
    const port = options.unix === null ? options.port : 0;
    const connection = new StandInConnection(this, this.#start(options), peer, port, false);
    this.#adopt(connection);
    connection.handler = handler;
    if (connection.socket === null) connection.fail(this.#isClosed ? "EBADF" : refusalOf(options));
    return connection;
  }

  relay(first: Connection, second: Connection, start: RelayStart, onEnd: (fault: Fault | null) => void): Relay {
    assert(first.pendingBytes === 0 && second.pendingBytes === 0, "a relay begins when what was written has left");
    const relay = new StreamRelay(first.detach(), second.detach(), start, (fault) => {
      this.#relays.delete(relay);
      this.#turn.request();
      onEnd(fault);
    });
    this.#relays.add(relay);
    return relay;
  }

  requestTurn(): void {
    this.#turn.request();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const listener of this.#listeners) listener.close();
    for (const connection of this.#connections) connection.destroy();
    for (const relay of this.#relays) relay.destroy();
    this.#turn.stop();
    this.#lingering.stop();
    clearInterval(this.#keepAlive);
  }

  // ── for connections ────────────────────────────────────────────────────────────────────────────────────────────────

  noteDirty(connection: StandInConnection): void {
    this.#turn.noteDirty(connection);
  }

  noteDrained(connection: StandInConnection): void {
    this.#turn.noteDrained(connection);
  }

  noteLingering(connection: StandInConnection): void {
    this.#lingering.add(connection);
  }

  noteClosed(connection: StandInConnection): void {
    this.#connections.delete(connection);
    this.#lingering.remove(connection);
    this.#turn.noteClosed(connection);
  }

  noteDetached(connection: StandInConnection, socket: Socket): void {
    this.#connections.delete(connection);
    // It stays a socket of this thread, for TLS or a relay.
    socket.once("close", () => this.#turn.size--);
  }

  /** Null when it cannot even be tried. */
  #start(options: ConnectOptions): Socket | null {
    if (this.#isClosed || refusalOf(options) !== "") return null;
    const common = { allowHalfOpen: true, noDelay: true, autoSelectFamily: false };
    if (options.unix !== null) return connect({ ...common, path: options.unix });
    const local = options.localAddress === null ? {} : { localAddress: options.localAddress };
    return connect({ ...common, ...local, host: options.address ?? "", port: options.port });
  }

  #accept(socket: Socket, onConnection: (connection: Connection) => void): void {
    const address = (socket.remoteAddress ?? "").replace(/^::ffff:(?=\d+\.)/, "");
    const connection = new StandInConnection(this, socket, address, socket.remotePort ?? 0, true);
    this.#adopt(connection);
    onConnection(connection);
    assert(connection.handler !== noHandler, "whoever takes a connection sets its handler");
  }

  #adopt(connection: StandInConnection): void {
    this.#connections.add(connection);
    this.#turn.size++;
  }
}

/** The errno of what this reactor cannot do, or "". */
function refusalOf(options: ConnectOptions): string {
  if (options.unix !== null) return options.unix === "" ? "ENOENT" : "";
  if (isIP(options.address ?? "") === 0) return "EINVAL";
  if (options.localAddress !== null && isIP(options.localAddress) === 0) return "EINVAL";
  const needsAddon = options.transparent || (options.device ?? null) !== null || (options.mark ?? null) !== null;
  // Not `freeBind`: an address that some interface has needs none, and one that no interface has is EADDRNOTAVAIL.
  return needsAddon || (options.userTimeoutMs ?? 0) !== 0 ? "ENOTSUP" : "";
}

/**
 * A listening socket of Node's.
 * Runs on: the reactor's thread. Owns: its server, and the connections that came while it was paused.
 * When full: see the reactor. On failure: `ready` rejects when it cannot listen; Node itself copes with a lack of
 * descriptors while it accepts.
 */
class StandInListener implements Listener {
  readonly host: string;
  port: number;
  readonly ready: Promise<void>;
  readonly stalls = 0;

  readonly #server: Server;
  readonly #onSocket: (socket: Socket) => void;
  readonly #onClose: (listener: StandInListener) => void;
  readonly #backlog: number;
  #held: Socket[] = [];
  #isPaused = false;
  #isClosed = false;

  constructor(
    options: ListenOptions,
    reusePort: boolean,
    onSocket: (socket: Socket) => void,
    onClose: (listener: StandInListener) => void,
  ) {
    const { host, port, backlog } = options;
    this.host = host;
    this.port = port;
    this.#backlog = backlog;
    this.#onSocket = onSocket;
    this.#onClose = onClose;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, pauseOnConnect: true }, (socket) => {
      this.#take(socket);
    });
    const ipv6Only = host.includes(":") && host !== "::";
    const listenOptions = { host, port, backlog, ipv6Only, exclusive: true, ...(reusePort ? { reusePort: true } : {}) };
    this.ready = new Promise((resolve, reject) => {
      this.#server.on("error", (error) => reject(listenFault(host, port, errnoOf(error) ?? "EUNKNOWN")));
      if (isIP(host) === 0) {
        reject(listenFault(host, port, "EINVAL"));
        return;
      }
      this.#server.listen(listenOptions, () => {
        const address = this.#server.address();
        if (typeof address === "object" && address !== null) this.port = address.port;
        resolve();
      });
    });
  }

  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    const held = this.#held;
    this.#held = [];
    for (const socket of held) this.#onSocket(socket);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const socket of this.#held) socket.destroy();
    this.#server.close();
    this.#onClose(this);
  }

  #take(socket: Socket): void {
    if (!this.#isPaused) this.#onSocket(socket);
    else if (this.#held.length < this.#backlog) this.#held.push(socket);
    else socket.destroy();
  }
}
