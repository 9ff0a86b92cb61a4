import type { Row, ShardIndex, SpoolKey } from "../base/brands.js";
import type { DelayReason, RecordKind, ResponseText } from "../protocol/records.js";
import type { Core } from "./core.js";
import type { EgressPath } from "./egress-path.js";
import { RowFlag, State } from "./message-table.js";
import type { WorkerPort } from "./ports.js";
import { DISCARDED, DROPPED, LOST, NO_SUCH_DOMAIN, NO_TIME_LEFT, NULL_MX, TOO_OLD } from "./replies.js";
import { ageMs, EXPIRED, nextAttemptMs, requeueMs } from "./retry-plan.js";

/**
 * Decisions about messages without a session. The owner of the message writes the record, so nothing is decided that it
 * cannot be told: with its ring full the caller stops and goes on in a later turn, and while it is down the message is
 * put off for up to a minute, no attempt counted, and decided anew.
 *
 * Every method returns false when the ring was full and nothing was done.
 */
export class Disposal {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  /** Too old, or it would be at its next attempt: Expiration, removed at once. */
  expire(row: Row): boolean {
    const { table, placement, nowMs } = this.#core;
    const tooOld = ageMs(table.key[row] as SpoolKey, nowMs) > placement.queueOf(row).config.maxAgeMs;
    return this.#end(row, "Expiration", tooOld ? TOO_OLD : NO_TIME_LEFT, null);
  }

  /** The domain takes no mail: Bounce. */
  nullMx(row: Row): boolean {
    return this.#end(row, "Bounce", NULL_MX, "FailedDueToNullMx");
  }

  /** The domain does not exist: Bounce. */
  noSuchDomain(row: Row): boolean {
    return this.#end(row, "Bounce", NO_SUCH_DOMAIN, null);
  }

  /** The queue discards: a Delivery record that says so, or the sums would not balance. */
  discard(row: Row): boolean {
    return this.#end(row, "Delivery", DISCARDED, null);
  }

  /** Failed for now: TransientFailure, an attempt, and the next one by the queue's back-off; or expiry instead. */
  fail(row: Row, response: ResponseText, reason: DelayReason | null, path: EgressPath | null): boolean {
    const { table, placement, counters, random, nowMs } = this.#core;
    const port = this.#owner(row);
    if (port === null) return this.putOff(row);
    if (!port.roomForRare()) return this.#full();
    const { config } = placement.queueOf(row);
    const dueMs = nextAttemptMs(config, table.key[row] as SpoolKey, table.attempts[row], nowMs, random);
    if (dueMs === EXPIRED) return this.expire(row);
    table.countAttempt(row);
    this.#write(port, row, "TransientFailure", response, reason, dueMs, path);
    placement.saved(row);
    placement.wait(row, dueMs);
    counters.transientHere++;
    return true;
  }

  /** Expires a message that its retry plan gave up; when its owner cannot be told now, it is marked and looked at soon. */
  doom(row: Row): void {
    const { table, placement, random } = this.#core;
    // Also while its owner is told: should that one die before it has written the record, this is all that is known.
    table.flags[row] |= RowFlag.doomed;
    if (this.#owner(row) !== null && this.expire(row)) return;
    placement.wait(row, requeueMs(this.#core.nowMs, random));
    placement.unsaved(row);
  }

  /**
   * Says of a message that was in the hand of a worker when it died why it waits: a Delayed record, no attempt. Returns
   * false while its own owner is down: then the row stays marked, and the call is to be repeated. Not worth stopping for:
   * with the ring full, or the message on its way again, nothing is written.
   */
  explainDrop(row: Row): boolean {
    const { table, nowMs } = this.#core;
    const port = this.#owner(row);
    if (port === null) {
      table.flags[row] |= RowFlag.dropped;
      return false;
    }
    table.flags[row] &= ~RowFlag.dropped;
    const waits = table.state[row] !== State.inFlight && table.state[row] !== State.retiring;
    if (waits && port.roomForRare()) this.#write(port, row, "Delayed", DROPPED, "DispatcherDrop", nowMs, null);
    return true;
  }

  /**
   * A session of another worker could not find it: its owner says whether it still exists. If it does it comes back
   * ({@link undone}); if not (it was in the memory of a worker that died) the owner writes the record of its loss. While
   * the owner cannot be asked it is put off.
   */
  account(row: Row): void {
    const { table, placement } = this.#core;
    const port = this.#owner(row);
    if (port === null || !port.roomForRare()) {
      this.putOff(row);
      return;
    }
    this.#write(port, row, "AdminBounce", LOST, null, 0, null, true);
    placement.retire(row, false);
    table.flags[row] |= RowFlag.disposing;
  }

  /** The owner has not done what it was told: the message waits again, `later` not at once. False for a stray answer. */
  undone(row: Row, later: boolean): boolean {
    const { table, placement } = this.#core;
    if (table.state[row] !== State.retiring || !table.has(row, RowFlag.disposing)) return false;
    table.flags[row] &= ~RowFlag.disposing;
    if (placement.setAsideIfSentenced(row)) return true;
    if (later) this.putOff(row);
    else placement.giveBack(row);
    return true;
  }

  #end(row: Row, record: RecordKind, response: ResponseText, reason: DelayReason | null): boolean {
    const { table, placement, counters } = this.#core;
    const port = this.#owner(row);
    if (port === null) return this.putOff(row);
    if (!port.roomForRare()) return this.#full();
    this.#write(port, row, record, response, reason, 0, null);
    placement.retire(row, false);
    table.flags[row] |= RowFlag.disposing;
    if (record === "Expiration") counters.expired++;
    else if (record === "Delivery") counters.discarded++;
    else counters.bouncedHere++;
    return true;
  }

  #write(
    port: WorkerPort,
    row: Row,
    record: RecordKind,
    response: ResponseText,
    reason: DelayReason | null,
    dueMs: number,
    path: EgressPath | null,
    ifMissing = false,
  ): void {
    const { table, placement } = this.#core;
    port.dispose({
      kind: "dispose",
      row,
      shard: table.shard[row] as ShardIndex,
      key: table.key[row] as SpoolKey,
      record,
      response,
      attempts: table.attempts[row],
      dueMs,
      reason,
      site: path?.definition.name ?? "",
      pool: placement.queueOf(row).pool.name,
      source: path?.definition.source.name ?? null,
      ifMissing,
    });
  }

  #owner(row: Row): WorkerPort | null {
    return this.#core.workers.ownerPort(this.#core.table.shard[row] as ShardIndex);
  }

  /** It waits for up to a minute, untried; always true. */
  putOff(row: Row): boolean {
    const { placement, counters, random, nowMs } = this.#core;
    placement.wait(row, requeueMs(nowMs, random));
    counters.putOff++;
    return true;
  }

  #full(): boolean {
    this.#core.block();
    return false;
  }
}
