/**
 * The sending side of a worker: its paths, and its sessions with what they ask; `outcomes.ts` writes down what came of them.
 *
 * Runs on   a worker
 * Owns      the paths that the scheduler described and the sessions that it opened
 * When full the scheduler opens no more sessions than its limits allow
 * On failure a session's trouble becomes an outcome; nothing is thrown
 */
import { randomUUID } from "node:crypto";
import { assert } from "../../base/assert.js";
import type { PathId, Row, SessionId, ShardIndex, SpoolKey } from "../../base/brands.js";
import { dieAsOrdered } from "../../base/failpoints.js";
import { TlsTally } from "../../dns/tls-tally.js";
import type { Connection, ConnectionHandler, ConnectOptions } from "../../native/binding.js";
import { OutcomeKind } from "../../protocol/layout/frames.js";
import { Work } from "../../protocol/layout/hands.js";
import { MessageFlag } from "../../protocol/message-flag.js";
import type { PathDefinition } from "../../protocol/messages.js";
import { Counter } from "../../protocol/metrics.js";
import type { ResponseText } from "../../protocol/records.js";
import type { SessionView } from "../../protocol/session-view.js";
import type { OutgoingMessage } from "../../smtp/client-envelope.js";
import type { SpooledMessage } from "../spool/envelope.js";
import { ChunkMemory } from "./chunk-memory.js";
import type { EgressParts } from "./egress-parts.js";
import { lookUpHosts } from "./host-lookup.js";
import type { Assigned } from "./in-hand.js";
import { NotedHandler, noteHand } from "./noted.js";
import { Outcomes } from "./outcomes.js";
import { EgressPath } from "./path.js";
import { makePlan, type Plan, type PlanTarget } from "./plan.js";
import { Plumbing } from "./plumbing.js";
import { connectThrough, type ThroughParts } from "./proxy/through.js";
import { EgressSession } from "./session.js";
import type { SessionHost, SettledEnd } from "./session-host.js";
import { viewOf } from "./session-views.js";
import { type LineSecurity, TlsDesk } from "./tls/desk.js";
import { Unseen } from "./unseen.js";
import type { Fate } from "./verdict.js";

/** Rows of one message about TLS, and such messages per sweep. */
const TLS_ROWS = 50;
const TLS_MESSAGES = 4;
/** Sessions that one frame tells of: a small part of a ring, however long their hosts' names are. */
const VIEWS_PER_MESSAGE = 50;

/** See the file's header. */
export class Egress implements SessionHost {
  readonly #parts: EgressParts;
  readonly #paths = new Map<PathId, EgressPath>();
  readonly #sessions = new Map<SessionId, EgressSession>();
  readonly #unseen: Unseen;
  readonly #tls = new TlsTally();
  readonly #outcomes: Outcomes;
  readonly #plumbing = new Plumbing();
  readonly #through: ThroughParts;
  readonly #desk: TlsDesk;
  readonly #chunks = new ChunkMemory();

  constructor(parts: EgressParts) {
    this.#parts = parts;
    this.#outcomes = new Outcomes(parts, (outcome) => this.#tls.add(outcome));
    this.#desk = new TlsDesk({
      clock: parts.clock,
      counters: parts.counters,
      requestTurn: () => parts.reactor.requestTurn(),
    });
    this.#unseen = new Unseen(() => parts.hand.free());
    const { reactor, names } = parts;
    this.#through = { reactor, resolve: (host, strategy, done) => names.resolve(host, strategy, null, done) };
  }

  /** Sessions that are open. */
  get size(): number {
    return this.#sessions.size;
  }

  /** Gives up what can be had again: memory is short. */
  tighten(tight: boolean): void {
    this.#desk.tighten(tight);
  }

  /** Learns of a path, or of its new definition; sessions that are open keep the old one. */
  definePath(definition: PathDefinition): void {
    const { hostname, clock } = this.#parts;
    this.#paths.set(definition.id, new EgressPath(definition, hostname, clock, this.#plumbing));
  }

  forgetPath(id: PathId): void {
    this.#paths.delete(id);
  }

  /** Opens a session. Its first message follows at once. */
  open(id: SessionId, pathId: PathId): void {
    const path = this.#paths.get(pathId);
    assert(path !== undefined, "a path is described before a session is opened on it");
    const session = new EgressSession(id, path, randomUUID(), this);
    this.#sessions.set(id, session);
    session.start();
  }

  /** Gives a message to a session; one that is over hands it back. `more`: the next one is for the same transaction. */
  deliver(id: SessionId, row: Row, shard: ShardIndex, key: SpoolKey, attempts: number, more: boolean): void {
    const session = this.#sessions.get(id);
    const { hand, inHand, outcome } = this.#parts;
    hand.take(shard, key, Work.sending);
    inHand(shard, key, true);
    if (session?.give({ row, shard, key, attempts, more, loaded: null }) !== true) {
      inHand(shard, key, false);
      outcome(row, id, OutcomeKind.returned, 0, 0);
    }
    hand.free();
  }

  /** Ends a session politely. */
  close(id: SessionId): void {
    const session = this.#sessions.get(id);
    if (session !== undefined) this.#noted(session, () => session.quit());
  }

  /**
   * Ends all sessions: politely, but for those that still have a message in hand. It has had its time
   * (`system_shutdown_timeout`, which the scheduler goes by before workers are told to stop), and goes back.
   */
  endAll(): void {
    for (const session of [...this.#sessions.values()]) {
      this.#noted(session, () => (session.messages > 0 ? session.abort() : session.quit()));
    }
  }

  /** Ends all sessions at once. */
  abortAll(): void {
    for (const session of [...this.#sessions.values()]) this.#noted(session, () => session.abort());
  }

  /** Looks after time-outs; a few times a second. */
  sweep(): void {
    const nowMs = this.#parts.clock.monoMs();
    for (const session of this.#sessions.values()) {
      noteHand(this.#parts.hand, session);
      session.sweep(nowMs);
      this.#parts.hand.free();
    }
    this.reportTls(TLS_MESSAGES);
  }

  /** Tells what has been noted so, in at most `messages` messages. */
  reportTls(messages = Number.POSITIVE_INFINITY): void {
    for (let i = 0; i < messages && this.#tls.size > 0; i++) this.#parts.tlsOutcomes(this.#tls.take(TLS_ROWS));
  }

  /** Tells what these sessions do, of those that are there, in parts; `last` comes with the last one. */
  inspect(ids: readonly number[], tell: (sessions: readonly SessionView[], last: boolean) => void): void {
    const nowMs = this.#parts.clock.monoMs();
    for (let from = 0; ; from += VIEWS_PER_MESSAGE) {
      const found = ids.slice(from, from + VIEWS_PER_MESSAGE).map((id) => this.#sessions.get(id as SessionId));
      const last = from + VIEWS_PER_MESSAGE >= ids.length;
      tell(
        found.flatMap((session) => (session === undefined ? [] : [viewOf(session, nowMs)])),
        last,
      );
      if (last) return;
    }
  }

  /** Does something about a session, with its message noted. What throws leaves the note: the thread dies of it. */
  #noted(session: EgressSession, act: () => void): void {
    noteHand(this.#parts.hand, session);
    act();
    this.#parts.hand.free();
  }

  // ── what sessions ask ────────────────────────────────────────────────────────────────────────────────────────────

  connect(session: EgressSession, handler: ConnectionHandler, options: ConnectOptions): Connection {
    const noted = new NotedHandler(session, handler, this.#parts.hand);
    const { proxy, config } = session.path;
    if (proxy === null) return this.#parts.reactor.connect(options, noted);
    return connectThrough(this.#through, proxy, options, config.connectTimeoutMs, noted);
  }

  security(session: EgressSession, target: PlanTarget, clear: boolean): LineSecurity {
    return this.#desk.security(session.path, target, clear, (act) => this.#noted(session, act));
  }

  plan(session: EgressSession, answer: (plan: Plan) => void): void {
    const { path } = session;
    const done = (plan: Plan): void => this.#noted(session, () => answer(plan));
    lookUpHosts(path, this.#parts.names, (hosts) => {
      done(hosts.length === 0 ? { kind: "none" } : makePlan(hosts, path.rules, this.#parts.random));
    });
  }

  load(session: EgressSession, batch: readonly Assigned[]): OutgoingMessage | "gone" | "later" {
    const { hand } = this.#parts;
    let first: SpooledMessage | null = null;
    const recipients: string[] = [];
    for (const assigned of batch) {
      const message: SpooledMessage | "gone" | "later" = assigned.loaded ?? this.#read(session, assigned, first);
      if (message === "later") return "later";
      if (message === "gone") continue;
      first ??= message;
      assert(message.bodyKey === first.bodyKey, "the recipients of a transaction share their content");
      recipients.push(message.envelope.recipient);
    }
    if (first === null) return "gone";
    const { key, flags, envelope, content } = first;
    hand.take((batch[0] as Assigned).shard, key, Work.sending);
    for (const recipient of recipients) dieAsOrdered("egress.send", recipient);
    return {
      sender: envelope.sender,
      recipients,
      content,
      hasDotLines: (flags & MessageFlag.hasDotLines) !== 0,
      hasBareLineEnds: false,
      has8bit: (flags & MessageFlag.has8bit) !== 0,
      needsUtf8: (flags & MessageFlag.needsUtf8) !== 0,
    };
  }

  /** Reads one message of a session. `alike`: another recipient of the same message, whose content need not be read again. */
  #read(session: EgressSession, assigned: Assigned, alike: SpooledMessage | null): SpooledMessage | "gone" | "later" {
    const { shard, key } = assigned;
    this.#parts.hand.take(shard, key, Work.reading);
    const message = this.#parts.read(shard, key, alike);
    if (message.kind === "missing" && this.#elsewhere(assigned)) {
      if (!this.#unseen.has(session)) this.#parts.wanted(shard, key);
      if (this.#unseen.wait(session)) return "later";
    }
    this.#unseen.found(session);
    if (message.kind !== "message") {
      this.#outcomes.unreadable(session, assigned, message, 0);
      return "gone";
    }
    message.hold?.take();
    assigned.loaded = message;
    return message;
  }

  mayChunk(target: PlanTarget): boolean {
    return this.#chunks.allows(peerOf(target), this.#parts.clock.monoMs());
  }

  chunked(target: PlanTarget, how: "worked" | "lost" | "refused"): void {
    const peer = peerOf(target);
    const nowMs = this.#parts.clock.monoMs();
    if (how === "worked") this.#chunks.worked(peer);
    else if (how === "lost") this.#chunks.lost(peer, nowMs);
    else this.#chunks.refused(peer, nowMs);
  }

  failedOnce(session: EgressSession, assigned: Assigned, response: ResponseText): void {
    this.#outcomes.failedOnce(session, assigned, response);
  }

  up(session: EgressSession): void {
    (this.#parts.counters[Counter.clientConnectionsTotal] as number)++;
    (this.#parts.counters[Counter.clientConnectionsOpen] as number)++;
    this.#parts.sessionUp(session.id);
  }

  settled(session: EgressSession, assigned: Assigned, fate: Fate, end: SettledEnd): void {
    if (end === "ended" || end === "unreachable") this.#forget(session);
    this.#outcomes.settle(session, assigned, fate, end);
  }

  ended(session: EgressSession): void {
    this.#forget(session);
    this.#parts.sessionEnded(session.id);
  }

  #forget(session: EgressSession): void {
    this.#unseen.found(session);
    if (this.#sessions.delete(session.id) && session.wasUp) {
      (this.#parts.counters[Counter.clientConnectionsOpen] as number)--;
    }
  }

  /** Whether a message that cannot be seen may be in another worker's memory. */
  #elsewhere(assigned: Assigned): boolean {
    return this.#parts.defers && !this.#parts.owns(assigned.shard);
  }
}

/** What tells one peer from another. */
function peerOf(target: PlanTarget): string {
  return target.unix ?? `${target.address} ${target.port}`;
}
