import { assert } from "../base/assert.js";
import type { Row, SessionId, ShardIndex, SpoolKey } from "../base/brands.js";
import type { Core } from "./core.js";
import { RowFlag, State } from "./message-table.js";
import type { Lane } from "./ready-queue.js";
import { latestRetryMs } from "./retry-plan.js";
import type { ScheduledQueue } from "./scheduled-queue.js";
import type { WheelSink } from "./timer-wheel.js";

/**
 * The one place that moves a message from one state to another: it leaves the list that it is in and enters the next, and
 * both counts move with it. So a message cannot be in two places or in none, whoever asks for the move.
 *
 *                    accepted
 *                       │
 *      waiting ──────▶ due ──────▶ ready ──────▶ in flight ──────▶ retiring ──────▶ settled
 *         ▲             ▲            │               │  │              ▲
 *         │             └────────────┴── returned ───┘  │              │
 *         └──────────────── retry ──────────────────────┘   dispose ───┘ (from waiting, due, ready)
 */
export class Placement implements WheelSink {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  /**
   * Takes in a message that its worker holds in the spool; it is due, or waits until `dueMs`, but no longer than its
   * queue's back-off from now. Returns 0 when the table is full.
   */
  admit(
    queue: ScheduledQueue,
    shard: ShardIndex,
    key: SpoolKey,
    size: number,
    attempts: number,
    dueMs: number,
    nth: number,
  ): Row {
    const { table, queues, nowMs } = this.#core;
    const row = table.allocate(key, shard, queue.handle, size, attempts);
    if (row === 0) return row;
    table.place(row, nth);
    queue.counts[State.due]++;
    if (queue.rows++ === 0) queues.filled(queue);
    table.dueMs[row] = attempts === 0 ? dueMs : Math.min(dueMs, latestRetryMs(queue.config, attempts, nowMs));
    if (!this.#startWaiting(row, queue, State.due)) this.#becomeDue(row, queue, false);
    return row;
  }

  /** Waits until `dueMs` (steady clock); due at once when that time has come. */
  wait(row: Row, dueMs: number): void {
    const queue = this.#leave(row);
    const { table } = this.#core;
    table.dueMs[row] = dueMs;
    if (!this.#startWaiting(row, queue, table.state[row])) {
      this.#enter(row, queue, State.due);
      this.#becomeDue(row, queue, false);
    }
  }

  /** Called by the wheel: its time has come. The wheel has let go of the row. */
  expired(row: Row): void {
    const queue = this.queueOf(row);
    this.#enter(row, queue, State.due);
    this.#becomeDue(row, queue, false);
  }

  /** Goes back to the front of its queue's due list, untried. */
  giveBack(row: Row): void {
    const queue = this.#leave(row);
    this.#enter(row, queue, State.due);
    this.#becomeDue(row, queue, true);
  }

  /** Enters the lane of a path that has reserved a place. */
  makeReady(row: Row, lane: Lane): void {
    const { table, agenda } = this.#core;
    const queue = this.#leave(row);
    this.#enter(row, queue, State.ready);
    table.lane[row] = lane.index;
    lane.path.ready.add(lane, row, this.#home(row));
    agenda.serviceable.ensure(lane.path.serviceLink);
  }

  /** Handed to a session. */
  handOver(row: Row, session: SessionId): void {
    const queue = this.#leave(row);
    this.#enter(row, queue, State.inFlight);
    this.#core.table.session[row] = session;
  }

  /**
   * Its end is decided. `owe`: the owner must still be told to remove it; otherwise it removes it by itself and confirms
   * (its own outcome, or a `dispose`).
   */
  retire(row: Row, owe: boolean): void {
    this.#enter(row, this.#leave(row), State.retiring);
    this.saved(row);
    if (owe) this.owe(row);
  }

  /**
   * When workers died of it, as often as is enough: no session gets it again, and its owner will be told to move it to
   * quarantine. Returns whether that is so.
   */
  setAsideIfSentenced(row: Row): boolean {
    const { suspects, table, counters } = this.#core;
    if (suspects.size === 0) return false;
    if (suspects.sentence(table.shard[row] as ShardIndex, table.key[row] as SpoolKey) === null) return false;
    this.retire(row, true);
    table.flags[row] |= RowFlag.sentenced;
    counters.quarantined++;
    return true;
  }

  /** Puts a retiring row on its shard's list of retirements that the owner has not been told. */
  owe(row: Row): void {
    const { table, workers } = this.#core;
    table.flags[row] |= RowFlag.owed;
    table.append(workers.owed[table.shard[row]], row);
  }

  /** Takes a row off that list: it has been told. */
  told(row: Row): void {
    const { table, workers } = this.#core;
    table.flags[row] &= ~RowFlag.owed;
    table.unlink(workers.owed[table.shard[row]], row);
  }

  /** It has left the spool: the row is free. */
  settle(row: Row): void {
    const { table, queues, nowMs, suspects } = this.#core;
    const queue = this.#leave(row);
    this.saved(row);
    if (suspects.size > 0) suspects.gone(table.shard[row] as ShardIndex, table.key[row] as SpoolKey);
    queue.counts[table.state[row]]--;
    table.release(row);
    if (--queue.rows === 0) queues.emptied(queue, nowMs);
  }

  /** The spool does not know the row's attempts and due time. */
  unsaved(row: Row): void {
    const { table, workers } = this.#core;
    if (table.has(row, RowFlag.unsaved)) return;
    table.flags[row] |= RowFlag.unsaved;
    workers.unsaved[table.shard[row]]++;
  }

  /** The spool knows them, or will not need them. */
  saved(row: Row): void {
    const { table, workers } = this.#core;
    if (!table.has(row, RowFlag.unsaved)) return;
    table.flags[row] &= ~RowFlag.unsaved;
    workers.unsaved[table.shard[row]]--;
  }

  queueOf(row: Row): ScheduledQueue {
    return this.#core.queues.at(this.#core.table.queue[row]);
  }

  /** The lane that a ready row is in. */
  laneOf(row: Row): Lane {
    return this.queueOf(row).lanes[this.#core.table.lane[row]] as Lane;
  }

  /** Takes the row out of whatever list its state says. Its state stays until it enters the next. */
  #leave(row: Row): ScheduledQueue {
    const { table, wheel } = this.#core;
    const queue = this.queueOf(row);
    switch (table.state[row]) {
      case State.waiting:
        wheel.cancel(row);
        break;
      case State.due:
        table.unlink(queue.due, row);
        break;
      case State.ready:
        this.#leaveLane(row);
        break;
      case State.retiring:
        if (table.has(row, RowFlag.owed)) this.told(row);
        break;
      default:
        assert(table.state[row] === State.inFlight, "a free row does not move");
    }
    return queue;
  }

  #leaveLane(row: Row): void {
    const { agenda } = this.#core;
    const lane = this.laneOf(row);
    const { path } = lane;
    path.ready.remove(lane, row, this.#home(row));
    if (path.ready.parked > 0) agenda.roomy.ensure(path.roomyLink);
    if (path.ready.length > 0) return;
    // The last one may have gone by another way than a session: whoever serves the path will see what it needs no more.
    if (path.sessions === 0 || path.waitsFor !== null) agenda.serviceable.ensure(path.serviceLink);
  }

  #enter(row: Row, queue: ScheduledQueue, state: State): void {
    const { table } = this.#core;
    queue.counts[table.state[row]]--;
    queue.counts[state]++;
    table.setState(row, state);
  }

  #startWaiting(row: Row, queue: ScheduledQueue, from: State): boolean {
    const { table, wheel } = this.#core;
    if (!wheel.insert(row)) return false;
    queue.counts[from]--;
    queue.counts[State.waiting]++;
    table.setState(row, State.waiting);
    return true;
  }

  #becomeDue(row: Row, queue: ScheduledQueue, front: boolean): void {
    const { table, agenda } = this.#core;
    if (front) table.prepend(queue.due, row);
    else table.append(queue.due, row);
    if (queue.hold === "none") agenda.promotable.ensure(queue.agendaLink);
  }

  #home(row: Row) {
    const { table, workers } = this.#core;
    return workers.home[table.shard[row]];
  }
}
