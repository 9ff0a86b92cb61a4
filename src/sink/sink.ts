/**
 * The built-in receiver: listens, answers like a mailbox provider, counts, throws away.
 *
 * Runs on   whichever thread starts it: the `sink` command's, a test's, or one of its own (`sink-thread.ts`)
 * Owns      its listener and its connections, at most `maxConnections`
 * When full a connection too many is answered 421; a client that does not read its replies is not read from
 * On failure a lost connection ends that session and nothing else
 */
import { type SecureContext, TLSSocket } from "node:tls";
import { type Clock, SystemClock } from "../base/clock.js";
import { SeededRandom } from "../base/random.js";
import { TimesWriter } from "../base/times-file.js";
import type { Connection, ConnectionHandler, Listener, Reactor } from "../native/binding.js";
import { loadNative } from "../native/load.js";
import { SecureConnection } from "../native/secure-connection.js";
import { ProfileBehaviour } from "./behaviour.js";
import { sinkContext } from "./context.js";
import type { SinkOptions } from "./options.js";
import { SinkMachine, type SinkParts } from "./sink-machine.js";
import { SinkCounters, type SinkStats, type SinkTotals } from "./stats.js";

const ARENA_BYTES = 256 * 1024;
const BACKLOG = 1024;
/** RFC 5321 §4.5.3.2.7: a server waits five minutes for the next command. */
const IDLE_MS = 300_000;
const SWEEP_MS = 5000;
const LONGEST_TARPIT_MS = 60_000;

/** A sink that listens. */
export interface RunningSink {
  readonly host: string;
  readonly port: number;
  /** The counters as they are now. */
  stats(): SinkStats;
  /** The sums alone. */
  totals(): SinkTotals;
  /** Drops every connection and stops listening. */
  stop(): Promise<void>;
}

class Session implements ConnectionHandler {
  activeMs: number;
  #connection: Connection;
  readonly #reactor: Reactor;
  readonly #parts: SinkParts;
  readonly #machine: SinkMachine;
  readonly #context: SecureContext | null;
  readonly #gone: (session: Session) => void;
  #refusalsSeen = 0;
  /** Replies that wait for the latency to pass; null when none do. */
  #held: string | null = null;
  #timer: NodeJS.Timeout | null = null;

  constructor(
    connection: Connection,
    reactor: Reactor,
    parts: SinkParts,
    context: SecureContext | null,
    gone: (session: Session) => void,
  ) {
    this.#context = context;
    this.#connection = connection;
    this.#reactor = reactor;
    this.#parts = parts;
    this.#machine = new SinkMachine(parts);
    this.#gone = gone;
    this.activeMs = parts.clock.monoMs();
  }

  greet(): void {
    this.#machine.greet();
    this.#answer();
  }

  /** Ends the session with a 421 of this text. */
  turnAway(text: string): void {
    this.#machine.refuse({ code: 421, text });
    this.#answer();
    this.#reactor.requestTurn();
  }

  destroy(): void {
    this.#connection.destroy();
  }

  onConnect(): void {}

  onData(buffer: Buffer, start: number, end: number): void {
    this.activeMs = this.#parts.clock.monoMs();
    if (this.#machine.security.wantsTls) {
      this.#instead();
      return;
    }
    this.#machine.receive(buffer, start, end);
    this.#answer();
  }

  onEnd(): void {
    if (this.#held === null) this.#connection.end();
    else this.#machine.closing = true;
  }

  onDrain(): void {
    if (this.#held === null) this.#connection.resume();
  }

  onClose(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#gone(this);
  }

  #answer(): void {
    const text = this.#machine.take();
    if (this.#held !== null) {
      this.#held += text;
      return;
    }
    if (text === "") return;
    const delayMs = this.#delayMs();
    if (delayMs === 0) {
      this.#send(text);
      return;
    }
    this.#held = text;
    this.#connection.pause();
    this.#timer = setTimeout(() => this.#release(), delayMs);
  }

  #delayMs(): number {
    const { latencyMs, tarpitMs } = this.#parts.profile;
    const { refusals } = this.#machine;
    const refused = refusals > this.#refusalsSeen;
    this.#refusalsSeen = refusals;
    return latencyMs + (refused ? Math.min(LONGEST_TARPIT_MS, tarpitMs * refusals) : 0);
  }

  #release(): void {
    const text = this.#held ?? "";
    this.#held = null;
    this.#timer = null;
    this.#connection.resume();
    this.#send(text);
    this.#reactor.requestTurn();
  }

  #send(text: string): void {
    const room = this.#connection.writeText(text);
    if (this.#machine.closing) this.#connection.end();
    else if (this.#machine.security.wantsTls) setImmediate(() => this.#upgrade());
    else if (!room) this.#connection.pause();
  }

  /** The reply to STARTTLS has left with the turn that has just ended: nothing of the handshake can have come yet. */
  #upgrade(): void {
    const context = this.#context;
    const fault = this.#parts.profile.tls?.fault;
    if (context === null || fault === "hang" || fault === "garbage") return;
    if (this.#connection.pendingBytes > 0) {
      this.#connection.destroy();
      return;
    }
    this.#connection = new SecureConnection(this.#connection, {
      wrap: (socket) => new TLSSocket(socket, { isServer: true, secureContext: context }),
      event: "secure",
      onHandshake: (error) => {
        if (error === null) this.#machine.secured();
      },
      requestTurn: () => this.#reactor.requestTurn(),
    });
  }

  /** What the handshake gets instead of an answer. */
  #instead(): void {
    if (this.#parts.profile.tls?.fault === "garbage") this.#connection.writeText("500 5.5.1 What is this?\r\n");
  }
}

function makeReactor(): Reactor {
  return loadNative().createReactor({ arenaBytes: ARENA_BYTES, onTurn: () => {} });
}

/**
 * Starts a sink on the calling thread. It shares `reactor` when one is given, and makes its own otherwise.
 * @throws {Fault} `listen.*` when the address cannot be listened on, `log.unwritable` when the file of moments cannot be
 *   made.
 */
export async function startSink(options: SinkOptions, reactor?: Reactor): Promise<RunningSink> {
  const { profile } = options;
  const clock: Clock = new SystemClock();
  const counters = new SinkCounters();
  const reservation = await loadNative().reservePort(options.host, options.port);
  let times: TimesWriter | null = null;
  try {
    times = options.times === undefined ? null : new TimesWriter(options.times);
  } catch (error) {
    reservation.release();
    throw error;
  }
  const parts: SinkParts = {
    profile,
    counters,
    clock,
    times,
    behaviour: new ProfileBehaviour(profile, new SeededRandom(profile.seed)),
    keep: options.onMessage ?? null,
  };
  const context = profile.tls === null ? null : sinkContext(profile, profile.tls, clock.wallMs());
  const own = reactor === undefined ? makeReactor() : null;
  const shared = reactor ?? (own as Reactor);
  const sessions = new Set<Session>();
  const gone = (session: Session) => {
    if (sessions.delete(session)) counters.open--;
  };
  const take = (connection: Connection) => {
    const session = new Session(connection, shared, parts, context, gone);
    connection.handler = session;
    counters.connections++;
    counters.open++;
    sessions.add(session);
    if (counters.open > profile.maxConnections) session.turnAway("4.3.2 Too many connections, try again later");
    else session.greet();
  };
  let listener: Listener;
  try {
    listener = shared.listen({ host: options.host, port: reservation.port, backlog: BACKLOG }, take);
    await listener.ready;
  } catch (error) {
    own?.close();
    reservation.release();
    times?.close();
    throw error;
  }
  const sweep = setInterval(() => {
    const before = clock.monoMs() - IDLE_MS;
    for (const session of sessions) if (session.activeMs < before) session.turnAway("4.4.2 Idle for too long");
  }, SWEEP_MS);
  sweep.unref();
  return {
    host: options.host,
    port: reservation.port,
    stats: () => counters.snapshot(),
    totals: () => counters.totals(),
    async stop() {
      clearInterval(sweep);
      listener.close();
      for (const session of sessions) session.destroy();
      own?.close();
      reservation.release();
      times?.close();
    },
  };
}
