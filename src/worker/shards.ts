/**
 * The spool as one worker sees it: the shards that it writes, and handles for reading those of others.
 *
 * Runs on   a worker
 * Owns      its shards, its reading handles, and removals that wait for their log records to be written
 * When full bounded by the messages in hand
 * On failure a shard reports its fault and refuses mail; reading says why a message cannot be had
 */
import { assert } from "../base/assert.js";
import type { Row, ShardIndex, SpoolKey } from "../base/brands.js";
import type { Clock } from "../base/clock.js";
import { Fault, messageOf } from "../base/fault.js";
import { Counter } from "../protocol/metrics.js";
import type { WorkerInit } from "./init.js";
import { RECENT_CONTENT_BYTES } from "./recent-content.js";
import type { Envelope, SpooledMessage, Unreadable } from "./spool/envelope.js";
import { bodies } from "./spool/lmdb-store.js";
import { Shard, type ShardEvents } from "./spool/shard.js";
import { ShardReader } from "./spool/shard-reader.js";

/** Recently stored messages kept in memory per worker, so that a first attempt need not read them. */
const RECENT_BYTES = 16 * 1024 * 1024;
/** Pause before a shard that failed is opened again; doubled while that fails, up to the longest. */
const FIRST_MEND_MS = 500;
const LONGEST_MEND_MS = 30_000;
/** In the weaker modes of durability, how long after a commit the disk is asked to keep it. */
const SYNC_INTERVAL_MS = 1000;

/** What the worker hears from its shards. */
export interface ShardsEvents {
  /** The entries of these rows are gone. */
  removed(rows: readonly number[]): void;
  /** A batch is over: replies and confirmations can leave. */
  batch(): void;
  /** `envelope` is null when not even that could be read. */
  quarantined(shard: ShardIndex, key: SpoolKey, reason: string, envelope: Envelope | null): void;
  fault(fault: Fault): void;
  /** A shard that had failed was opened again and takes mail. */
  mended(shard: ShardIndex): void;
}

/** See the file's header. */
export class Shards {
  readonly #spoolPath: string;
  readonly #own = new Map<ShardIndex, Shard>();
  readonly #readers = new Map<ShardIndex, ShardReader>();
  readonly #mending = new Set<Shard>();
  readonly #events: ShardsEvents;
  readonly #counters: Float64Array;
  #closed = false;
  readonly #settled: { shard: Shard; key: SpoolKey; row: Row }[] = [];

  /** @throws {Fault} `spool.unwritable`, `spool.damaged`. */
  constructor(init: WorkerInit, clock: Clock, counters: Float64Array, events: ShardsEvents) {
    const { spool } = init.config;
    this.#spoolPath = spool.path;
    this.#events = events;
    this.#counters = counters;
    counters[Counter.shardsUnhealthy] = 0;
    const heard: ShardEvents = {
      onRemoved: (_shard, tokens) => events.removed(tokens),
      onBatch: (index) => {
        const stats = this.own(index).stats;
        counters[Counter.spoolBatches] = stats.commits;
        counters[Counter.spoolBatchedOperations] = stats.stored + stats.removed;
        events.batch();
      },
      onQuarantined: (shard, key, reason, envelope) => events.quarantined(shard, key, reason, envelope),
      onFault: (index, fault) => {
        (counters[Counter.spoolFailures] as number)++;
        events.fault(fault);
        // Not every fault closes a shard, and one may come while it is still being opened.
        const shard = this.#own.get(index);
        if (shard !== undefined && shard.fault !== null) this.#mend(shard, FIRST_MEND_MS);
      },
    };
    for (const { shard, known, newest } of init.shards) {
      const options = {
        spoolPath: spool.path,
        shard,
        durability: spool.durability,
        clock,
        events: heard,
        recentBytes: RECENT_BYTES,
        syncIntervalMs: SYNC_INTERVAL_MS,
        check: !known,
        newest,
      };
      this.#own.set(shard, Shard.open(options));
    }
  }

  /**
   * Closes and opens a shard that failed, until that succeeds: after a failed sync nothing that is still mapped can be
   * trusted, only what is read from disk anew. Meanwhile it refuses mail.
   */
  #mend(shard: Shard, pauseMs: number): void {
    if (this.#mending.has(shard) || this.#closed) return;
    this.#mending.add(shard);
    this.#counters[Counter.shardsUnhealthy] = this.#mending.size;
    setTimeout(() => {
      if (this.#closed) return;
      shard.reopen().then(
        () => {
          this.#mending.delete(shard);
          this.#counters[Counter.shardsUnhealthy] = this.#mending.size;
          this.#events.mended(shard.index);
        },
        (error: unknown) => {
          this.#mending.delete(shard);
          this.#events.fault(error instanceof Fault ? error : new Fault("spool.damaged", messageOf(error)));
          this.#mend(shard, Math.min(LONGEST_MEND_MS, pauseMs * 2));
        },
      );
    }, pauseMs);
  }

  /** A shard that this worker writes. */
  own(shard: ShardIndex): Shard {
    const found = this.#own.get(shard);
    assert(found !== undefined, "only a shard's owner is asked to change it");
    return found;
  }

  owns(shard: ShardIndex): boolean {
    return this.#own.has(shard);
  }

  /** Each own shard with the greatest key that it holds. */
  lastKeys(): { shard: ShardIndex; lastKey: number }[] {
    return [...this.#own].map(([shard, open]) => ({ shard, lastKey: open.store.lastKey() }));
  }

  /** Reads a message of any shard. */
  read(shard: ShardIndex, key: SpoolKey): SpooledMessage | Unreadable {
    const own = this.#own.get(shard);
    if (own !== undefined) return own.read(key);
    const reader = this.#reader(shard);
    return reader instanceof Fault ? { kind: "failed", reason: reader.message } : reader.read(key);
  }

  #reader(shard: ShardIndex): ShardReader | Fault {
    const known = this.#readers.get(shard);
    if (known !== undefined) return known;
    try {
      const opened = ShardReader.open(this.#spoolPath, shard);
      this.#readers.set(shard, opened);
      return opened;
    } catch (error) {
      return error instanceof Fault ? error : new Fault("spool.damaged", messageOf(error));
    }
  }

  /** Gives back the memory of a content that {@link read} gave and that is nobody's any more. */
  releaseBody(content: Buffer): void {
    // Remembered messages are small and not from the pool, which ignores them.
    if (content.length > RECENT_CONTENT_BYTES) bodies.release(content);
  }

  /** Has a message removed once the log, whose record of its end was just made, is written: at {@link settle}. */
  removeSoon(shard: ShardIndex, key: SpoolKey, row: Row): void {
    this.#settled.push({ shard: this.own(shard), key, row });
  }

  /** The log is written: settled messages go, and commits begin. Once a turn. */
  settle(): void {
    for (const { shard, key, row } of this.#settled) shard.remove(key, row);
    this.#settled.length = 0;
    for (const shard of this.#own.values()) shard.commitNow();
  }

  /** Commits and closes everything. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const shard of this.#own.values()) await shard.close();
    for (const reader of this.#readers.values()) await reader.close();
  }
}
