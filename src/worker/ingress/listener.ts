/**
 * One SMTP listener of one worker: its socket, its rules and its sessions.
 *
 * Runs on   a worker
 * Owns      the listening socket and the sessions that came through it
 * When full connections over `max_connections`, or over what the limit of open files allows, hear 421 and are closed; when
 *           too many even of these come, they wait in the kernel's queue
 * On failure a socket that cannot listen is a fault of the start
 */

import { assert } from "../../base/assert.js";
import { BufferPool } from "../../base/buffer-pool.js";
import type { Clock } from "../../base/clock.js";
import type { Durability, SmtpListenerConfig } from "../../config/compiled.js";
import { countHops } from "../../mail/headers.js";
import type { Connection, Listener, Reactor } from "../../native/binding.js";
import { loadNative } from "../../native/load.js";
import type { SharedState } from "../../protocol/layout/shared-state.js";
import { Counter } from "../../protocol/metrics.js";
import type { ResponseText } from "../../protocol/records.js";
import { clientRoom } from "../../protocol/socket-limits.js";
import { Reply } from "../../smtp/reply.js";
import { ServerSettings } from "../../smtp/server-settings.js";
import type { Intake } from "./intake.js";
import { RelayRules } from "./relay.js";
import { IngressSession } from "./session.js";

const TOO_MANY_FILES = new Reply(421, [4, 3, 2], "Too many open files, try again later");
const TOO_MANY_CONNECTIONS = new Reply(421, [4, 3, 2], "Too many connections, try again later");
/** Connections that wait in the kernel for us to accept them. */
const BACKLOG = 1024;
/** Receive buffers kept for the next messages, per listener and worker. */
const POOL_BYTES = 16 * 1024 * 1024;

/** What a listener needs of its worker. */
export interface ListenerParts {
  readonly clock: Clock;
  readonly intake: Intake;
  readonly shared: SharedState;
  /** The worker's thread number in {@link SharedState}: 1 + its index. */
  readonly thread: number;
  readonly counters: Float64Array;
  readonly durability: Durability;
  /** Brings this thread's count of sockets up to date. */
  readonly countSockets: () => void;
  /** Writes a Rejection record. */
  readonly logRejection: (session: IngressSession, response: ResponseText, sender: string, recipient: string) => void;
}

/** See the file's header. */
export class IngressListener {
  config: SmtpListenerConfig;
  /** Of sessions that begin from now on; one that is open keeps what it began with. */
  settings: ServerSettings;
  relay: RelayRules;
  readonly pool = new BufferPool(POOL_BYTES);
  /** Monotonic ms as of the last sweep: fine enough for time-outs, and free to read. */
  nowMs: number;
  readonly #index: number;
  readonly #parts: ListenerParts;
  readonly #sessions = new Set<IngressSession>();
  readonly #openCounts: Float64Array;
  #socket: Listener | null = null;
  #stopping = false;
  #waiting = false;

  /** @param index the listener's place in the configuration. */
  constructor(config: SmtpListenerConfig, index: number, parts: ListenerParts) {
    this.config = config;
    this.#index = index;
    this.#parts = parts;
    this.settings = settingsOf(config);
    this.relay = new RelayRules(config);
    this.nowMs = parts.clock.monoMs();
    this.#openCounts = parts.shared.listenerConnections(parts.thread);
  }

  get intake(): Intake {
    return this.#parts.intake;
  }

  get durability(): Durability {
    return this.#parts.durability;
  }

  /** A reload: other options, at the same address. */
  reconfigure(config: SmtpListenerConfig): void {
    this.config = config;
    this.settings = settingsOf(config);
    this.relay = new RelayRules(config);
  }

  /** Sessions that are open. */
  get size(): number {
    return this.#sessions.size;
  }

  /**
   * Begins to accept on `port`.
   * @throws {Fault} `listen.*`.
   */
  async listen(reactor: Reactor, port: number): Promise<Listener> {
    assert(this.#socket === null, "a listener listens once");
    const options = { host: this.config.listen.host, port, backlog: BACKLOG };
    const socket = reactor.listen(options, (connection) => this.#accept(connection));
    await socket.ready;
    this.#socket = socket;
    return socket;
  }

  #accept(connection: Connection): void {
    const { counters, shared, intake } = this.#parts;
    (counters[Counter.connectionsTotal] as number)++;
    const session = new IngressSession(connection, this);
    connection.handler = session;
    this.#sessions.add(session);
    this.#count(1);
    let refusal = this.#stopping ? null : intake.connectRefusal();
    if (refusal === null && shared.openConnections(this.#index) > this.config.maxConnections) {
      refusal = TOO_MANY_CONNECTIONS;
      (counters[Counter.shedConnections] as number)++;
    }
    if (!this.#hasRoom()) {
      refusal ??= TOO_MANY_FILES;
      if (refusal === TOO_MANY_FILES) (counters[Counter.shedDescriptors] as number)++;
    }
    if (refusal !== null) (counters[Counter.connectionsDenied] as number)++;
    session.begin(refusal);
    if (this.#stopping) session.shutdown();
  }

  /** Whether descriptors are left for one more client; when none are even for a refusal, no more are accepted for now. */
  #hasRoom(): boolean {
    this.#parts.countSockets();
    const room = clientRoom(this.#parts.shared, 0);
    if (room === "waiting" && !this.#waiting) {
      this.#waiting = true;
      this.#socket?.pause();
    }
    return room === "served";
  }

  /** A session's connection is gone. */
  closed(session: IngressSession): void {
    if (this.#sessions.delete(session)) this.#count(-1);
  }

  #count(by: number): void {
    (this.#parts.counters[Counter.connectionsOpen] as number) += by;
    (this.#openCounts[this.#index] as number) += by;
  }

  /** A client was refused something. */
  rejected(session: IngressSession, response: ResponseText, sender: string, recipient: string): void {
    (this.#parts.counters[Counter.rejections] as number)++;
    this.#parts.logRejection(session, response, sender, recipient);
  }

  /** Looks after time-outs; a few times a second. */
  sweep(): void {
    this.nowMs = this.#parts.clock.monoMs();
    for (const session of this.#sessions) session.sweep(this.nowMs);
    if (!this.#waiting || clientRoom(this.#parts.shared, 1) === "waiting") return;
    this.#waiting = false;
    this.#socket?.resume();
  }

  /** Accepts no more and ends the sessions with 421, each when it has no message in hand. */
  stop(): void {
    this.#stopping = true;
    this.#socket?.close();
    for (const session of this.#sessions) session.shutdown();
  }

  /** Closes what is left. */
  destroy(): void {
    for (const session of this.#sessions) session.destroy();
  }
}

function settingsOf(config: SmtpListenerConfig): ServerSettings {
  return new ServerSettings({ ...config, countHops, scan: loadNative().scanContent });
}
