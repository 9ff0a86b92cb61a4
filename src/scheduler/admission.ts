import type { QueueRef, Row, ShardIndex, SpoolKey, WorkerIndex } from "../base/brands.js";
import type { Core } from "./core.js";
import { State } from "./message-table.js";

/** How messages come in and how they leave for good: the two ends of the table. */
export class Admission {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  /**
   * A message is durable in its shard. With the table full it is counted and forgotten: it stays in the spool, and the
   * next start finds it. Intake refuses long before that (see `MessageTable`).
   */
  accepted(
    worker: WorkerIndex,
    shard: ShardIndex,
    key: SpoolKey,
    ref: QueueRef,
    size: number,
    attempts: number,
    dueMs: number,
    nth: number,
  ): void {
    const { queues, placement, counters } = this.#core;
    const queue = queues.of(worker, ref);
    if (placement.admit(queue, shard, key, size, attempts, dueMs, nth) === 0) counters.unlisted++;
  }

  /** A message has left the spool. */
  retired(row: Row): void {
    const { table, placement, counters } = this.#core;
    if (table.state[row] === State.retiring) placement.settle(row);
    else counters.stray++;
  }
}
