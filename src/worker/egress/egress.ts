/**
 * The sending side of a worker: its paths, its sessions, and what is written down about their outcomes.
 *
 * Runs on   a worker
 * Owns      the paths that the scheduler described and the sessions that it opened
 * When full the scheduler opens no more sessions than its limits allow
 * On failure a session's trouble becomes an outcome; nothing is thrown
 */
import { randomUUID } from "node:crypto";
import { assert, unreachable } from "../../base/assert.js";
import type { PathId, Row, SessionId, ShardIndex, SpoolKey } from "../../base/brands.js";
import type { Clock } from "../../base/clock.js";
import { dieAsOrdered } from "../../base/failpoints.js";
import type { Random } from "../../base/random.js";
import type { IpLookupStrategy } from "../../config/compiled.js";
import type { Connection, ConnectOptions, Reactor } from "../../native/binding.js";
import { OutcomeFlag, OutcomeKind } from "../../protocol/layout/frames.js";
import { type Hand, Work } from "../../protocol/layout/hands.js";
import { MessageFlag } from "../../protocol/message-flag.js";
import { createdMs, messageId } from "../../protocol/message-id.js";
import type { PathDefinition } from "../../protocol/messages.js";
import { Counter } from "../../protocol/metrics.js";
import type { DelayReason, ResponseText } from "../../protocol/records.js";
import type { OutgoingMessage } from "../../smtp/client-envelope.js";
import type { AttemptFacts, MessageFacts, MessageRecordKind } from "../events/record.js";
import type { SpooledMessage, Unreadable } from "../spool/envelope.js";
import { NotedHandler, noteHand } from "./noted.js";
import { EgressPath } from "./path.js";
import { makePlan, type Plan, type ResolvedHost } from "./plan.js";
import { type Assigned, EgressSession, type SessionHost, type SettledEnd } from "./session.js";
import { Unseen } from "./unseen.js";
import type { Fate } from "./verdict.js";

/** What the sending side needs of its worker. */
export interface EgressParts {
  readonly reactor: Reactor;
  readonly clock: Clock;
  readonly random: Random;
  readonly hostname: string;
  /** See `nodeDigits`. */
  readonly node: string;
  readonly counters: Float64Array;
  /** Finds addresses of a host; `done` is called exactly once, with empty lists when there are none. */
  readonly resolve: (
    host: string,
    strategy: IpLookupStrategy,
    done: (v4: readonly string[], v6: readonly string[]) => void,
  ) => void;
  /** Whether this worker writes that shard. */
  readonly owns: (shard: ShardIndex) => boolean;
  /** Mail may be in its owner's memory only. */
  readonly defers: boolean;
  /** A session has taken a message in hand, or gives it back unsettled. */
  readonly inHand: (shard: ShardIndex, key: SpoolKey, inHand: boolean) => void;
  /** Writes the record of a message of this worker's own that exists no more. */
  readonly lost: (shard: ShardIndex, key: SpoolKey) => void;
  /** A session waits for a message that its owner may have in memory only. */
  readonly wanted: (shard: ShardIndex, key: SpoolKey) => void;
  readonly read: (shard: ShardIndex, key: SpoolKey) => SpooledMessage | Unreadable;
  /** The worker's note of what it works on. */
  readonly hand: Hand;
  /** Has a settled message leave the spool as soon as its record is written. Only for shards of this worker. */
  readonly remove: (shard: ShardIndex, key: SpoolKey, row: Row) => void;
  readonly log: (
    kind: MessageRecordKind,
    message: MessageFacts,
    response: ResponseText,
    attempt: AttemptFacts,
    reason: DelayReason | null,
  ) => void;
  readonly outcome: (row: Row, session: SessionId, kind: OutcomeKind, flags: number, code: number) => void;
  readonly sessionUp: (session: SessionId) => void;
  readonly sessionEnded: (session: SessionId) => void;
}

/** See the file's header. */
export class Egress implements SessionHost {
  readonly #parts: EgressParts;
  readonly #paths = new Map<PathId, EgressPath>();
  readonly #sessions = new Map<SessionId, EgressSession>();
  readonly #unseen: Unseen;

  constructor(parts: EgressParts) {
    this.#parts = parts;
    this.#unseen = new Unseen(() => parts.hand.free());
  }

  /** Sessions that are open. */
  get size(): number {
    return this.#sessions.size;
  }

  /** Learns of a path, or of its new definition; sessions that are open keep the old one. */
  definePath(definition: PathDefinition): void {
    this.#paths.set(definition.id, new EgressPath(definition, this.#parts.hostname, this.#parts.clock));
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

  /** Gives a message to a session; one that is over hands it back. */
  deliver(id: SessionId, row: Row, shard: ShardIndex, key: SpoolKey, attempts: number): void {
    const session = this.#sessions.get(id);
    const { hand, inHand, outcome } = this.#parts;
    hand.take(shard, key, Work.sending);
    inHand(shard, key, true);
    if (session?.give({ row, shard, key, attempts }) !== true) {
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

  /** Ends all sessions politely, each after the message under way. */
  quitAll(): void {
    for (const session of [...this.#sessions.values()]) this.#noted(session, () => session.quit());
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
  }

  /** Does something about a session, with its message noted. What throws leaves the note: the thread dies of it. */
  #noted(session: EgressSession, act: () => void): void {
    noteHand(this.#parts.hand, session);
    act();
    this.#parts.hand.free();
  }

  // ── what sessions ask ────────────────────────────────────────────────────────────────────────────────────────────

  connect(session: EgressSession, options: ConnectOptions): Connection {
    return this.#parts.reactor.connect(options, new NotedHandler(session, this.#parts.hand));
  }

  plan(session: EgressSession, answer: (plan: Plan) => void): void {
    const { path } = session;
    const done = (plan: Plan): void => this.#noted(session, () => answer(plan));
    const resolved: ResolvedHost[] = [];
    let open = path.hosts.length;
    const found = (host: ResolvedHost): void => {
      resolved.push(host);
      if (--open === 0) done(makePlan(inOrder(path, resolved), path.rules, this.#parts.random));
    };
    if (open === 0) done({ kind: "none" });
    for (const host of path.hosts) {
      if (host.address !== null || host.unix !== null) found({ host, v4: [], v6: [] });
      else this.#parts.resolve(host.name, path.config.ipLookupStrategy, (v4, v6) => found({ host, v4, v6 }));
    }
  }

  load(session: EgressSession, assigned: Assigned): OutgoingMessage | "gone" | "later" {
    const { hand } = this.#parts;
    hand.take(assigned.shard, assigned.key, Work.reading);
    const message = this.#parts.read(assigned.shard, assigned.key);
    if (message.kind === "missing" && this.#elsewhere(assigned)) {
      if (!this.#unseen.has(session)) this.#parts.wanted(assigned.shard, assigned.key);
      if (this.#unseen.wait(session)) return "later";
    }
    this.#unseen.found(session);
    if (message.kind !== "message") {
      this.#unreadable(session, assigned, message, 0);
      return "gone";
    }
    hand.take(assigned.shard, assigned.key, Work.sending);
    message.hold?.take();
    session.loaded = message;
    const { flags, envelope, content } = message;
    dieAsOrdered("egress.send", envelope.recipient);
    return {
      sender: envelope.sender,
      recipients: [envelope.recipient],
      content,
      hasDotLines: (flags & MessageFlag.hasDotLines) !== 0,
      hasBareLineEnds: false,
      has8bit: (flags & MessageFlag.has8bit) !== 0,
      needsUtf8: (flags & MessageFlag.needsUtf8) !== 0,
    };
  }

  up(session: EgressSession): void {
    (this.#parts.counters[Counter.clientConnectionsTotal] as number)++;
    (this.#parts.counters[Counter.clientConnectionsOpen] as number)++;
    this.#parts.sessionUp(session.id);
  }

  settled(session: EgressSession, assigned: Assigned, fate: Fate, end: SettledEnd): void {
    if (end !== "goes-on") this.#forget(session);
    let flags = end === "goes-on" ? 0 : OutcomeFlag.sessionEnded;
    const { loaded } = session;
    session.loaded = null;
    if (fate.kind !== "delivered" && fate.kind !== "bounced") this.#parts.inHand(assigned.shard, assigned.key, false);
    if (fate.kind === "returned") {
      this.#parts.outcome(assigned.row, session.id, OutcomeKind.returned, flags, 0);
      return;
    }
    // A session that could not connect has not read its message yet.
    const message = loaded ?? this.#parts.read(assigned.shard, assigned.key);
    if (message.kind !== "message") {
      if (end === "unreachable") flags |= OutcomeFlag.connectFailed;
      this.#unreadable(session, assigned, message, flags);
      return;
    }
    switch (fate.kind) {
      case "delivered":
        this.#count(Counter.delivered, 1);
        this.#count(Counter.bytesSent, message.content.length);
        this.#record(session, assigned, message, "Delivery", fate.response, null);
        this.#finish(session, assigned, OutcomeKind.delivered, fate.response.code, flags);
        break;
      case "bounced":
        this.#count(Counter.failures, 1);
        this.#record(session, assigned, message, "Bounce", fate.response, fate.reason ?? null);
        this.#finish(session, assigned, OutcomeKind.bounced, fate.response.code, flags);
        break;
      case "transient":
      case "next-host":
      case "again": {
        this.#count(Counter.transientFailures, 1);
        if (end === "unreachable") flags |= OutcomeFlag.connectFailed;
        const reason = (fate.kind === "transient" ? fate.reason : undefined) ?? "LoggedTransientFailure";
        this.#record(session, assigned, message, "TransientFailure", fate.response, reason);
        this.#parts.outcome(assigned.row, session.id, OutcomeKind.transient, flags, fate.response.code);
        break;
      }
      default:
        unreachable(fate);
    }
    // Only what has certainly left, by the peer's own word: a socket that still holds it would send another's bytes.
    if (loaded !== null && session.outputGone) loaded.hold?.drop();
  }

  #count(counter: Counter, by: number): void {
    (this.#parts.counters[counter] as number) += by;
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

  /** The last of a message, after its record: its outcome, and its way out of the spool. */
  #finish(session: EgressSession, assigned: Assigned, kind: OutcomeKind, code: number, flags: number): void {
    const { row, shard, key } = assigned;
    const own = this.#parts.owns(shard);
    if (own) this.#parts.remove(shard, key, row);
    this.#parts.outcome(row, session.id, kind, own ? flags | OutcomeFlag.removing : flags, code);
  }

  #record(
    session: EgressSession,
    assigned: Assigned,
    message: SpooledMessage,
    kind: MessageRecordKind,
    response: ResponseText,
    reason: DelayReason | null,
  ): void {
    const facts: MessageFacts = {
      id: messageId(this.#parts.node, assigned.shard, assigned.key),
      envelope: message.envelope,
      size: message.content.length,
      createdMs: createdMs(assigned.key),
      numAttempts: assigned.attempts,
    };
    this.#parts.log(kind, facts, response, attemptOf(session), reason);
  }

  /** A message that its shard cannot give: gone, or damaged and moved to quarantine by its owner. */
  #unreadable(session: EgressSession, assigned: Assigned, found: Unreadable, flags: number): void {
    const { row, shard, key } = assigned;
    // While the disk cannot be read nothing was tried. Otherwise its owner has the last word: this worker has said it when
    // the entry is its own, and for another's the scheduler asks.
    let kind = found.kind === "failed" ? OutcomeKind.returned : OutcomeKind.quarantined;
    if (kind === OutcomeKind.quarantined && !this.#parts.owns(shard)) kind = OutcomeKind.absent;
    else if (found.kind === "missing") this.#parts.lost(shard, key);
    if (kind === OutcomeKind.returned) this.#parts.inHand(shard, key, false);
    this.#parts.outcome(row, session.id, kind, flags, 0);
  }

  /** Whether a message that cannot be seen may be in another worker's memory. */
  #elsewhere(assigned: Assigned): boolean {
    return this.#parts.defers && !this.#parts.owns(assigned.shard);
  }
}

/** Answers arrive in any order; the path's order counts. */
function inOrder(path: EgressPath, resolved: readonly ResolvedHost[]): readonly ResolvedHost[] {
  return path.hosts.map((host) => resolved.find((one) => one.host === host)!);
}

function attemptOf(session: EgressSession): AttemptFacts {
  const { path, target } = session;
  const peer =
    target === null ? null : { name: target.name, addr: target.address ?? target.unix ?? "", isSecure: false };
  return {
    site: path.name,
    peer,
    egressPool: path.pool,
    egressSource: path.source,
    sourceAddress: session.localAddress,
    deliveryProtocol: "ESMTP",
    tlsCipher: null,
    tlsProtocolVersion: null,
    tlsPeerSubjectName: null,
    providerName: path.config.providerName,
    sessionId: session.logId,
  };
}
