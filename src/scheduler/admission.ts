import type { QueueRef, Row, ShardIndex, SpoolKey, WorkerIndex } from "../base/brands.js";
import type { Core } from "./core.js";
import type { Disposal } from "./disposal.js";
import { RowFlag, State } from "./message-table.js";

/** How messages come in and how they leave for good: the two ends of the table. */
export class Admission {
  readonly #core: Core;
  readonly #disposal: Disposal;

  constructor(core: Core, disposal: Disposal) {
    this.#core = core;
    this.#disposal = disposal;
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
  ): void {
    const { queues, placement, counters } = this.#core;
    const queue = queues.of(worker, ref);
    if (placement.admit(queue, shard, key, size, attempts, dueMs) === 0) counters.unlisted++;
  }

  /** A message has left the spool. */
  retired(row: Row): void {
    const { table, placement, counters } = this.#core;
    if (table.state[row] === State.retiring) placement.settle(row);
    else counters.stray++;
  }

  /**
   * A worker has taken over the shards of a lost one. What the lost one had been told and not confirmed is told again:
   * removals at once, attempts and due times by the sweep. A `dispose` that was not confirmed may not have been written,
   * so the message is due again and the same decision will be made anew. Walks the whole table, once per lost worker.
   */
  takenOver(worker: WorkerIndex): void {
    const { table, workers, placement } = this.#core;
    for (let row = 1 as Row; row <= table.highWater; row++) {
      const state = table.state[row];
      if (state === State.free || workers.owner[table.shard[row]] !== worker) continue;
      if (table.has(row, RowFlag.dropped)) this.#disposal.explainDrop(row);
      if (state !== State.retiring) {
        if (table.attempts[row] > 0) placement.unsaved(row);
      } else if (table.has(row, RowFlag.disposing)) {
        table.flags[row] &= ~RowFlag.disposing;
        placement.giveBack(row);
      } else if (!table.has(row, RowFlag.owed)) {
        placement.owe(row);
      }
    }
  }
}
