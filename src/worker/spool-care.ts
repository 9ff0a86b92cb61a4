/**
 * Looks after the size of a worker's shards: tells it as metrics, compacts on order, and by itself what has been mostly
 * free for a while.
 *
 * Runs on   a worker
 * Owns      the compactions that wait, since when each shard has been mostly free
 * When full one compaction at a time; orders wait in line
 * On failure a compaction that fails leaves its shard as it was, is reported, and is not tried again before the same time
 *           has passed anew
 */
import type { ShardIndex } from "../base/brands.js";
import type { Clock } from "../base/clock.js";
import { messageOf } from "../base/fault.js";
import type { SpoolConfig } from "../config/compiled.js";
import type { ShardCompaction } from "../protocol/messages.js";
import { Counter } from "../protocol/metrics.js";
import type { Reports } from "./reports.js";
import type { Shards } from "./shards.js";
import type { Shard } from "./spool/shard.js";

/** How often the shards are measured. */
const LOOK_MS = 1000;
/** What would be given back must be worth it: at least so many bytes, and this part of the file. */
const WORTH_BYTES = 64 * 1024 * 1024;
const WORTH_SHARE = 0.75;

/** See the file's header. */
export class SpoolCare {
  readonly #shards: Shards;
  readonly #clock: Clock;
  readonly #counters: Float64Array;
  readonly #compactAfterMs: number;
  readonly #reports: Reports;
  readonly #mostlyFreeSince = new Map<ShardIndex, number>();
  #line: Promise<void> = Promise.resolve();
  #busy = false;
  #nextLookMs = 0;

  constructor(shards: Shards, config: SpoolConfig, clock: Clock, counters: Float64Array, reports: Reports) {
    this.#shards = shards;
    this.#clock = clock;
    this.#counters = counters;
    this.#compactAfterMs = config.compactAfterMs;
    this.#reports = reports;
  }

  /** Called a few times a second. */
  sweep(): void {
    this.#shards.closeStaleReaders();
    const nowMs = this.#clock.monoMs();
    if (nowMs < this.#nextLookMs) return;
    this.#nextLookMs = nowMs + LOOK_MS;
    let fileBytes = 0;
    let usedBytes = 0;
    for (const shard of this.#shards.owned()) {
      if (shard.fault !== null) continue;
      const usage = shard.store.usage();
      fileBytes += usage.fileBytes;
      usedBytes += usage.usedBytes;
      this.#judge(shard, usage.fileBytes - usage.usedBytes, usage.fileBytes, nowMs);
    }
    this.#counters[Counter.spoolFileBytes] = fileBytes;
    this.#counters[Counter.spoolUsedBytes] = usedBytes;
  }

  #judge(shard: Shard, freeBytes: number, fileBytes: number, nowMs: number): void {
    if (freeBytes < WORTH_BYTES || freeBytes < fileBytes * WORTH_SHARE) {
      this.#mostlyFreeSince.delete(shard.index);
      return;
    }
    const since = this.#mostlyFreeSince.get(shard.index) ?? nowMs;
    this.#mostlyFreeSince.set(shard.index, since);
    if (this.#compactAfterMs === 0 || nowMs - since < this.#compactAfterMs || this.#busy) return;
    this.#mostlyFreeSince.set(shard.index, nowMs);
    this.#compact([shard], 0);
  }

  /** Compacts all shards of this worker; each is reported. */
  compactAll(request: number): void {
    this.#compact([...this.#shards.owned()], request);
  }

  #compact(shards: readonly Shard[], request: number): void {
    this.#busy = true;
    const run = async (): Promise<void> => {
      for (const [done, shard] of shards.entries()) {
        const result = await this.#compactOne(shard);
        this.#reports.message({ kind: "compacted", request, left: shards.length - done - 1, ...result });
      }
      this.#busy = false;
    };
    this.#line = this.#line.then(run);
  }

  async #compactOne(shard: Shard): Promise<ShardCompaction> {
    const { index } = shard;
    try {
      const { beforeBytes, afterBytes, heldMs } = await this.#shards.compact(shard);
      (this.#counters[Counter.spoolCompactions] as number)++;
      return { shard: index, beforeBytes, afterBytes, heldMs, error: null };
    } catch (error) {
      const { fileBytes } = shard.fault === null ? shard.store.usage() : { fileBytes: 0 };
      return { shard: index, beforeBytes: fileBytes, afterBytes: fileBytes, heldMs: 0, error: messageOf(error) };
    }
  }
}
