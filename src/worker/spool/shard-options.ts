import type { ShardIndex, SpoolKey } from "../../base/brands.js";
import type { Clock } from "../../base/clock.js";
import type { Fault } from "../../base/fault.js";
import type { Durability } from "../../config/compiled.js";
import type { Envelope } from "./envelope.js";
import type { ShardStore } from "./shard-store.js";

/** What a shard tells its worker. Called from the end of a batch or from inside `read`, `reschedule` and `replay`. */
export interface ShardEvents {
  /** These removals are done; the tokens are those given to `remove`. The array is only valid during the call. */
  onRemoved(shard: ShardIndex, tokens: readonly number[]): void;
  /** A batch is over and everyone concerned was told: the moment to send replies and ring doorbells. */
  onBatch(shard: ShardIndex): void;
  /** A commit, or a sync of its own, has succeeded. `stored`: messages of the commit; −1 for a sync. */
  onWritten(tookMs: number, stored: number): void;
  /** An entry was damaged; it was moved to quarantine and its removal is under way. */
  onQuarantined(shard: ShardIndex, key: SpoolKey, reason: string, envelope: Envelope | null): void;
  /** A commit or sync failed (the shard takes no mail until `reopen`), or something could not be quarantined. */
  onFault(shard: ShardIndex, fault: Fault): void;
}

/** What a shard is opened with. */
export interface ShardOptions {
  /** The spool's path; the shard is a directory below it. */
  readonly spoolPath: string;
  readonly shard: ShardIndex;
  readonly durability: Durability;
  readonly clock: Clock;
  readonly events: ShardEvents;
  /** Bytes of recently stored messages to keep in memory, 0 for none. */
  readonly recentBytes: number;
  /** Not `flushed`: how long after a commit a background sync follows, ms. */
  readonly syncIntervalMs: number;
  /** `deferred`: most bytes of mail in memory only, and how long it may wait there for its first attempt, ms. */
  readonly deferral?: { readonly maxBytes: number; readonly waitMs: number };
  /** Walk the database's pages before opening it. Leave it out only where this process had the shard open before. */
  readonly check: boolean;
  /** A key that was used before, 0 for none: new ones are greater. */
  readonly newest?: number;
  /** For tests: what to use instead of LMDB. */
  readonly openStore?: () => ShardStore;
}

/** Counters since the shard was opened. */
export interface ShardStats {
  commits: number;
  stored: number;
  removed: number;
  quarantined: number;
  orphans: number;
  failedCommits: number;
  forcedFlushes: number;
}

/** A shard that has just been opened. */
export function noStats(): ShardStats {
  return { commits: 0, stored: 0, removed: 0, quarantined: 0, orphans: 0, failedCommits: 0, forcedFlushes: 0 };
}
