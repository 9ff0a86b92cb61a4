import type { Row, ShardIndex, SpoolKey } from "../base/brands.js";
import type { Core } from "./core.js";
import { RowFlag } from "./message-table.js";
import type { WorkerPort } from "./ports.js";

/** Says why, where more messages kill than strikes are kept. */
const FORGOTTEN = "workers died with it in hand";

/** What the owners of shards are told of their messages: new attempts and due times, and removals. */
export class SpoolOrders {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  /**
   * Has the owner store the row's attempts and due time. When it is down or its ring is full the row is marked, and the
   * sweep saves it later: a crash meanwhile only makes the next attempt earlier. Returns whether it was told.
   */
  save(row: Row): boolean {
    const { table, workers, placement } = this.#core;
    const shard = table.shard[row] as ShardIndex;
    const port = workers.ownerPort(shard);
    if (port === null || port.room() === 0) {
      placement.unsaved(row);
      return false;
    }
    port.reschedule(shard, table.key[row] as SpoolKey, table.attempts[row], table.dueMs[row]);
    placement.saved(row);
    return true;
  }

  /** Tells owners with room of the removals that are owed to them, at most `max` each shard; returns how many. */
  retire(max: number): number {
    const { workers } = this.#core;
    let told = 0;
    for (let shard = 0; shard < workers.owed.length; shard++) {
      if (workers.owed[shard].length > 0) told += this.#retireShard(shard as ShardIndex, max);
    }
    return told;
  }

  /** Whether rows wait to be saved whose owner has room now. */
  get canSave(): boolean {
    const { workers } = this.#core;
    for (let shard = 0; shard < workers.unsaved.length; shard++) {
      if (workers.unsaved[shard] > 0 && workers.room(workers.owner[shard]) > 0) return true;
    }
    return false;
  }

  #retireShard(shard: ShardIndex, max: number): number {
    const { table, workers, placement } = this.#core;
    const port = workers.ownerPort(shard);
    if (port === null) return 0;
    const owed = workers.owed[shard];
    let room = Math.min(max, port.room());
    const told = Math.min(room, owed.length);
    for (; room > 0 && owed.head !== 0; room--) {
      const row = owed.head as Row;
      if (table.has(row, RowFlag.sentenced)) {
        if (!port.roomForRare()) break;
        this.#setAside(port, row, shard);
        continue;
      }
      placement.told(row);
      port.retire(row, shard, table.key[row] as SpoolKey);
    }
    if (owed.head !== 0) this.#core.block();
    return told;
  }

  #setAside(port: WorkerPort, row: Row, shard: ShardIndex): void {
    const { table, placement, suspects } = this.#core;
    const key = table.key[row] as SpoolKey;
    const sentence = suspects.sentence(shard, key) ?? {
      shard,
      key,
      reason: FORGOTTEN,
      depth: "header",
      recorded: false,
    };
    placement.told(row);
    port.setAside({ kind: "setAside", row, ...sentence });
  }
}
