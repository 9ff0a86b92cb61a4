import type { ShardIndex, WorkerIndex } from "../base/brands.js";
import { RowList } from "./message-table.js";
import type { WorkerPort } from "./ports.js";

/**
 * What it is:  the workers as the scheduler knows them, and whose shards are whose.
 * Runs on:     the scheduler's thread.
 * Owns:        the ports; the owner of each shard; what is owed to owners that are down or have no room.
 * When full:   a port without room is not written to; what is owed stays in lists of the table's own links.
 * On failure:  a lost worker's port is null until its successor is ready.
 */
export class Workers {
  readonly ports: (WorkerPort | null)[];
  /** By shard: the worker that writes it now. */
  readonly owner: WorkerIndex[];
  /**
   * By shard: the worker at home, in whose list a lane keeps the shard's rows. It is the first owner and never changes,
   * so that a new owner moves no rows; a stale home costs nothing but affinity.
   */
  readonly home: readonly WorkerIndex[];
  /** By shard: rows whose retirement the owner has not been told. */
  readonly owed: readonly RowList[];
  /** By shard: rows whose attempts and due time the owner has not been told. */
  readonly unsaved: number[];
  /** Rows in flight that were in the hands of a dead worker, and whose fate is being found out; they have no session. */
  orphaned = 0;

  /** @param shards by worker: the shards that it owns. */
  constructor(ports: readonly (WorkerPort | null)[], shards: readonly (readonly ShardIndex[])[]) {
    this.ports = [...ports];
    const count = shards.reduce((most, owned) => Math.max(most, ...owned.map((shard) => shard + 1)), 0);
    this.owner = new Array<WorkerIndex>(count).fill(0 as WorkerIndex);
    shards.forEach((owned, worker) => {
      for (const shard of owned) this.owner[shard] = worker as WorkerIndex;
    });
    this.home = [...this.owner];
    this.owed = this.owner.map(() => new RowList());
    this.unsaved = this.owner.map(() => 0);
  }

  get count(): number {
    return this.ports.length;
  }

  /** The port of the worker that owns the shard, null while it is down. */
  ownerPort(shard: ShardIndex): WorkerPort | null {
    return this.ports[this.owner[shard]];
  }

  /** Room at this worker, in fixed frames; 0 while it is down. */
  room(worker: WorkerIndex): number {
    return this.ports[worker]?.room() ?? 0;
  }
}
