import type { ShardIndex, WorkerIndex } from "../base/brands.js";
import type { CompiledConfig } from "../config/compiled.js";
import type { LogSegment, Sentence } from "../protocol/messages.js";

/** Rows with `after < key <= through` of a shard are to be announced to the scheduler. */
export interface KeyRange {
  readonly after: number;
  readonly through: number;
}

/** A shard that a worker is to write. */
export interface ShardInit {
  readonly shard: ShardIndex;
  readonly announce: readonly KeyRange[];
  /** Keys of messages that an earlier run settled, by its log: they leave the spool instead of being announced. */
  readonly settled: Float64Array;
  /** The greatest key that the log names, 0 for none: new ones are greater, also when the clock was set back. */
  readonly newest: number;
  /** This process has had the shard open before, so its pages need no check. */
  readonly known: boolean;
  /** Messages that workers died of: they are moved to quarantine instead of being taken apart. */
  readonly sentences: readonly Sentence[];
}

/** What a worker is given when it starts; structured-cloned by the pool. */
export interface WorkerInit {
  readonly index: WorkerIndex;
  readonly workers: number;
  readonly config: CompiledConfig;
  /** The shards that this worker writes, its primary one (index equal to the worker's) first. */
  readonly shards: readonly ShardInit[];
  /** Worker to scheduler, worker reads nothing there. */
  readonly up: SharedArrayBuffer;
  readonly down: SharedArrayBuffer;
  /** See `protocol/layout/shared-state.ts`. */
  readonly shared: SharedArrayBuffer;
  /** See `worker/events/log-shared.ts`. */
  readonly logShared: SharedArrayBuffer;
  /** See `protocol/layout/hands.ts`: a file to map, or the memory itself. */
  readonly hands: string | SharedArrayBuffer;
  /** See `worker/spool/swap-gate.ts`. */
  readonly swapGate: SharedArrayBuffer;
  /** The log segment to begin with. */
  readonly segment: LogSegment;
  /** Ports of the listeners, in the configuration's order, as reserved by the main thread. */
  readonly ports: readonly number[];
  /** In sandbox mode, where the built-in sink listens. */
  readonly sink: { readonly host: string; readonly port: number } | null;
}
