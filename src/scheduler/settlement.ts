import { unreachable } from "../base/assert.js";
import type { Row, SessionId, ShardIndex, SpoolKey, WorkerIndex } from "../base/brands.js";
import {
  CloseReason,
  FailureClass,
  failureOf,
  OutcomeFlag,
  OutcomeKind,
  SessionChange,
  wasUnreachable,
} from "../protocol/layout/frames.js";
import type { Core } from "./core.js";
import type { Disposal } from "./disposal.js";
import type { EgressPath } from "./egress-path.js";
import { isOfSource } from "./egress-source.js";
import { inHandOf, RowFlag, State } from "./message-table.js";
import { EXPIRED, earliestRetryMs, nextAttemptMs } from "./retry-plan.js";
import type { Session } from "./session.js";
import type { SourceCare } from "./source-care.js";
import type { SpoolOrders } from "./spool-orders.js";

/** Recipients of one transaction that fail within this time of each other are tried again at the same time. */
const TOGETHER_MS = 1000;

/**
 * What follows from a session's reports. Frames may cross with the end of what they speak of: one about a message that is
 * not in that session's hand any more changes nothing.
 */
export class Settlement {
  readonly #core: Core;
  readonly #orders: SpoolOrders;
  readonly #disposal: Disposal;
  readonly #care: SourceCare;
  /** The message that failed last, 0 for none, and when. */
  #before = 0;
  #beforeMs = 0;

  constructor(core: Core, orders: SpoolOrders, disposal: Disposal, care: SourceCare) {
    this.#core = core;
    this.#care = care;
    this.#orders = orders;
    this.#disposal = disposal;
  }

  /** A message was tried, or handed back. */
  outcome(row: Row, id: SessionId, kind: OutcomeKind, flags: number): void {
    const { table, sessions, counters } = this.#core;
    if (kind === OutcomeKind.disposed) {
      this.#disposed(row);
      return;
    }
    if (kind === OutcomeKind.returned && id === 0) {
      if (!this.#disposal.undone(row, (flags & OutcomeFlag.later) !== 0)) counters.stray++;
      return;
    }
    const session = sessions.find(id);
    const ours = inHandOf(table, row, id);
    if (session !== undefined) {
      if (ours) table.unlink(session.hand, row);
      this.#follow(session, kind, flags);
    }
    if (ours) this.#settle(row, kind, flags);
    else counters.stray++;
  }

  /** A session reports a change of its own. */
  session(id: SessionId, change: SessionChange): void {
    const { sessions, counters, nowMs } = this.#core;
    const session = sessions.find(id);
    if (session === undefined) {
      counters.stray++;
      return;
    }
    const { path } = session;
    switch (change) {
      case SessionChange.up:
        path.failures = 0;
        if (session.state === "opening") session.state = "busy";
        break;
      case SessionChange.ended:
        if (session.deliveries === 0) path.noteFruitless(nowMs);
        this.#end(session);
        break;
      default:
        unreachable(change);
    }
  }

  /**
   * A worker is lost: its sessions are over. Returns the messages in their hands, which stay in flight: what became of
   * them is for the log to say.
   */
  workerLost(worker: WorkerIndex): Row[] {
    const { sessions, table } = this.#core;
    const living = sessions.on(worker);
    const orphans: Row[] = [];
    while (living.first !== null) {
      const session = living.first.owner;
      const { hand } = session;
      while (hand.tail !== 0) {
        orphans.push(hand.tail as Row);
        table.unlink(hand, hand.tail as Row);
      }
      this.#end(session);
    }
    return orphans;
  }

  /** The owner has written the record of a decision: from here on it is a removal like any other. */
  #disposed(row: Row): void {
    const { table, counters } = this.#core;
    if (table.state[row] === State.retiring && table.has(row, RowFlag.disposing)) {
      table.flags[row] &= ~RowFlag.disposing;
    } else counters.stray++;
  }

  /** What an outcome means for its session: of several recipients of one transaction the last one tells. */
  #follow(session: Session, kind: OutcomeKind, flags: number): void {
    const { path } = session;
    session.progressMs = this.#core.nowMs;
    if (session.hand.length > 0 && (flags & OutcomeFlag.sessionEnded) === 0) return;
    if (wasUnreachable(flags)) this.#unreachable(path, failureOf(flags));
    else if (kind === OutcomeKind.returned) path.noteFruitless(this.#core.nowMs);
    else path.noteProgress();
    session.deliveries++;
    if ((flags & OutcomeFlag.sessionEnded) !== 0) this.#end(session);
    else if (session.state !== "closing") this.#free(session, kind);
  }

  /** The session can take the next message, or leaves. */
  #free(session: Session, kind: OutcomeKind): void {
    const { path } = session;
    session.state = "idle";
    session.idleSinceMs = this.#core.nowMs;
    if (session.freeLink.linked) return;
    if (kind === OutcomeKind.returned) this.#leave(session, CloseReason.pathGone);
    else {
      const reason = path.unwanted(session);
      if (reason === null) {
        path.free.append(session.freeLink);
        this.#core.sessions.spare.append(session.spareLink);
      } else this.#leave(session, reason);
    }
    this.#core.agenda.serviceable.ensure(path.serviceLink);
  }

  #leave(session: Session, reason: CloseReason): void {
    session.leaving = reason;
    session.path.leaving.append(session.freeLink);
  }

  #end(session: Session): void {
    const { sessions, agenda, placement, table } = this.#core;
    const { path, hand } = session;
    // The last one first: each goes to the front of its queue.
    while (hand.tail !== 0) {
      const row = hand.tail as Row;
      table.unlink(hand, row);
      if (!placement.setAsideIfSentenced(row)) placement.giveBack(row);
    }
    if (session.state === "closing") path.closing--;
    path.sessions--;
    path.tolerated = path.sessions > path.sessionLimit ? Math.min(path.tolerated, path.sessions) : 0;
    sessions.drop(session);
    this.#core.leases.free(session.claims);
    this.#core.paths.callNext(session.claims);
    agenda.serviceable.ensure(path.serviceLink);
  }

  /** No host of the path could be connected to. Too often in a row by the hosts' fault: the whole ready queue fails. */
  #unreachable(path: EgressPath, failure: FailureClass): void {
    const { agenda, counters, nowMs } = this.#core;
    if (isOfSource(failure) || failure === FailureClass.proxyDestination) {
      // The hosts are not blamed, and until it is mended it is tried less and less often.
      path.noteFruitless(nowMs);
      if (isOfSource(failure)) this.#care.failed(path, failure);
      return;
    }
    path.failures++;
    if (path.failures <= path.config.consecutiveConnectionFailuresBeforeDelay) return;
    if (path.failing || path.ready.length === 0) return;
    path.failing = true;
    counters.pathsFailed++;
    agenda.failing.append(path.failingLink);
  }

  #settle(row: Row, kind: OutcomeKind, flags: number): void {
    const { placement, counters } = this.#core;
    const removing = (flags & OutcomeFlag.removing) !== 0;
    switch (kind) {
      case OutcomeKind.delivered:
        counters.delivered++;
        placement.retire(row, !removing);
        break;
      case OutcomeKind.bounced:
        counters.bounced++;
        placement.retire(row, !removing);
        break;
      case OutcomeKind.transient:
        counters.transient++;
        if (!wasUnreachable(flags)) this.#survived(row);
        if (!placement.setAsideIfSentenced(row)) this.#retry(row);
        break;
      case OutcomeKind.returned:
        counters.returned++;
        if (placement.setAsideIfSentenced(row)) break;
        if ((flags & OutcomeFlag.later) !== 0) this.#disposal.putOff(row);
        else placement.giveBack(row);
        break;
      case OutcomeKind.quarantined:
        counters.quarantined++;
        if (removing) placement.retire(row, false);
        else placement.settle(row);
        break;
      case OutcomeKind.absent:
        counters.absent++;
        if (!placement.setAsideIfSentenced(row)) this.#disposal.account(row);
        break;
      case OutcomeKind.disposed:
        break;
      default:
        unreachable(kind);
    }
  }

  /** The message has been in a worker's hands from its reading to its record. */
  #survived(row: Row): void {
    const { suspects, table } = this.#core;
    if (suspects.size > 0) suspects.survived(table.shard[row] as ShardIndex, table.key[row] as SpoolKey);
  }

  /** Whether the message that failed last was another recipient of the same transaction: then they wait, and go, together. */
  #failedWithBefore(row: Row, nowMs: number): boolean {
    const before = this.#before;
    if (before === 0 || nowMs - this.#beforeMs > TOGETHER_MS) return false;
    const { table } = this.#core;
    if (table.state[before] !== State.waiting || table.queue[before] !== table.queue[row]) return false;
    return table.together(before, row) && table.attempts[before] === table.attempts[row] + 1;
  }

  #retry(row: Row): void {
    const { table, placement, random, clock } = this.#core;
    const { config } = placement.queueOf(row);
    const key = table.key[row] as SpoolKey;
    // The clock itself: a dying worker's last frames are read between two turns.
    const nowMs = clock.steadyMs();
    const attempts = table.attempts[row];
    let dueMs = nextAttemptMs(config, key, attempts, nowMs, random);
    if (dueMs !== EXPIRED && this.#failedWithBefore(row, nowMs)) {
      dueMs = Math.max(table.dueMs[this.#before], earliestRetryMs(config, attempts, nowMs));
    }
    this.#before = dueMs === EXPIRED ? 0 : row;
    this.#beforeMs = nowMs;
    table.countAttempt(row);
    if (dueMs === EXPIRED) {
      this.#disposal.doom(row);
    } else {
      placement.wait(row, dueMs);
      this.#orders.save(row);
    }
  }
}
