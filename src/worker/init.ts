import type { ShardIndex, WorkerIndex } from "../base/brands.js";
import type { CompiledConfig } from "../config/compiled.js";

/** Rows with `after < key <= through` of a shard are to be announced to the scheduler. */
export interface KeyRange {
  readonly after: number;
  readonly through: number;
}

/** What a worker is given when it starts; structured-cloned by the pool. */
export interface WorkerInit {
  readonly index: WorkerIndex;
  readonly workers: number;
  readonly config: CompiledConfig;
  /** The shards that this worker writes, its primary one (index equal to the worker's) first. */
  readonly shards: readonly { readonly shard: ShardIndex; readonly announce: readonly KeyRange[] }[];
  /** Worker to scheduler, worker reads nothing there. */
  readonly up: SharedArrayBuffer;
  readonly down: SharedArrayBuffer;
  /** See `protocol/layout/shared-state.ts`. */
  readonly shared: SharedArrayBuffer;
  /** See `worker/events/log-shared.ts`. */
  readonly logShared: SharedArrayBuffer;
  /** Path of the log segment to begin with. */
  readonly segment: string;
  /** Ports of the listeners, in the configuration's order, as reserved by the main thread. */
  readonly ports: readonly number[];
  /** In sandbox mode, where the built-in sink listens. */
  readonly sink: { readonly host: string; readonly port: number } | null;
}
