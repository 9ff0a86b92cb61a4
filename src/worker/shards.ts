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
import { Histogram, observe } from "../protocol/histograms.js";
import type { SharedState } from "../protocol/layout/shared-state.js";
import { Counter } from "../protocol/metrics.js";
import type { WorkerInit } from "./init.js";
import type { Compaction } from "./spool/compaction.js";
import type { Envelope, SpooledMessage, Unreadable } from "./spool/envelope.js";
import { tightenBodies } from "./spool/lmdb-store.js";
import { Shard } from "./spool/shard.js";
import type { ShardEvents } from "./spool/shard-options.js";
import { ShardReader } from "./spool/shard-reader.js";
import { SwapGate } from "./spool/swap-gate.js";

/** Recently stored messages kept in memory per worker, so that a first attempt need not read them. */
const RECENT_BYTES = 16 * 1024 * 1024;
/** Pause before a shard that failed is opened again; doubled while that fails, up to the longest. */
const FIRST_MEND_MS = 500;
const LONGEST_MEND_MS = 30_000;
/** How long before that the others are told to let go of it, and how long they leave it alone. */
const NOTICE_MS = 500;
const LET_GO_MS = 1000;
/** In the weaker modes of durability, how long after a commit the disk is asked to keep it. */
const SYNC_INTERVAL_MS = 1000;

const BEING_OPENED = new Fault("spool.unwritable", "its owner is opening the shard anew");

/** A shard of another worker, open for reading. */
interface Reading {
  readonly reader: ShardReader;
  /** The gate's count when it was opened: when it has grown, the file may have been replaced. */
  readonly swaps: number;
}

/** What the worker hears from its shards. */
export interface ShardsEvents {
  /** The entries of these rows are gone. */
  removed(shard: ShardIndex, tokens: readonly number[]): void;
  /** A batch is over: replies and confirmations can leave. */
  batch(): void;
  /** `envelope` is null when not even that could be read. */
  quarantined(shard: ShardIndex, key: SpoolKey, reason: string, envelope: Envelope | null): void;
  fault(shard: ShardIndex, fault: Fault): void;
  /** A shard that has failed is opened anew soon: LMDB begins afresh only when nobody in the process has it open. */
  reopening(shard: ShardIndex): void;
  /** A shard that had failed was opened again and takes mail. */
  mended(shard: ShardIndex): void;
}

/** See the file's header. */
export class Shards {
  readonly #spoolPath: string;
  readonly #own = new Map<ShardIndex, Shard>();
  readonly #readers = new Map<ShardIndex, Reading>();
  /** Shards that are not to be opened for reading before this monotonic time, ms. */
  readonly #leftAlone = new Map<ShardIndex, number>();
  readonly #gate: SwapGate;
  readonly #mending = new Set<Shard>();
  readonly #events: ShardsEvents;
  readonly #counters: Float64Array;
  readonly #histograms: Float64Array;
  /** Mail may be in memory only. */
  readonly defers: boolean;
  #closed = false;
  /** What the shards' own counts were when they were last added to the counters. */
  readonly #shown = new Map<Counter, number>();
  readonly #settled: { shard: Shard; key: SpoolKey; row: Row }[] = [];

  /** @throws {Fault} `spool.unwritable`, `spool.damaged`. */
  constructor(
    init: Pick<WorkerInit, "index" | "config" | "shards" | "swapGate">,
    clock: Clock,
    shared: SharedState,
    events: ShardsEvents,
  ) {
    const counters = shared.counters(1 + init.index);
    const { spool } = init.config;
    this.#spoolPath = spool.path;
    this.#gate = new SwapGate(init.swapGate, init.index);
    this.#events = events;
    this.#counters = counters;
    this.#histograms = shared.histograms(1 + init.index);
    this.defers = spool.durability === "deferred";
    counters[Counter.shardsUnhealthy] = 0;
    const heard: ShardEvents = {
      onRemoved: (shard, tokens) => events.removed(shard, tokens),
      onBatch: () => events.batch(),
      onWritten: (tookMs, stored) => this.#onWritten(tookMs, stored),
      onQuarantined: (shard, key, reason, envelope) => events.quarantined(shard, key, reason, envelope),
      onFault: (index, fault) => {
        (counters[Counter.spoolFailures] as number)++;
        events.fault(index, fault);
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
        deferral: { maxBytes: spool.deferredMemory, waitMs: spool.deferredWaitMs },
        check: !known,
        newest,
      };
      const opened = Shard.open(options);
      this.#own.set(shard, opened);
      opened.recallDoubt();
    }
  }

  #onWritten(tookMs: number, stored: number): void {
    if (stored < 0) observe(this.#histograms, Histogram.syncSeconds, tookMs / 1000);
    else observe(this.#histograms, Histogram.commitSeconds, tookMs / 1000);
    if (stored > 0) observe(this.#histograms, Histogram.batchMessages, stored);
  }

  /** Shows what is in memory only, and what the disk was made to keep. */
  count(): void {
    let messages = 0;
    let bytes = 0;
    let spilled = 0;
    let forced = 0;
    let batches = 0;
    let operations = 0;
    for (const { deferred, stats } of this.#own.values()) {
      messages += deferred?.count ?? 0;
      bytes += deferred?.bytes ?? 0;
      spilled += deferred?.spilled ?? 0;
      forced += stats.forcedFlushes;
      batches += stats.commits;
      operations += stats.stored + stats.removed;
    }
    this.#counters[Counter.deferredMessages] = messages;
    this.#counters[Counter.deferredBytes] = bytes;
    this.#advance(Counter.deferredStored, spilled);
    this.#advance(Counter.forcedFlushes, forced);
    this.#advance(Counter.spoolBatches, batches);
    this.#advance(Counter.spoolBatchedOperations, operations);
  }

  /** A counter goes on from where the worker before this one left it: it never goes back. */
  #advance(counter: Counter, total: number): void {
    (this.#counters[counter] as number) += total - (this.#shown.get(counter) ?? 0);
    this.#shown.set(counter, total);
  }

  /** A session of this worker has a message in hand, or gives it back: as long as it waits it may be stored. */
  inHand(shard: ShardIndex, key: SpoolKey, inHand: boolean): void {
    if (!this.defers) return;
    const deferred = this.#own.get(shard)?.deferred;
    if (inHand) deferred?.taken(key);
    else deferred?.untaken(key);
  }

  /** The storage failed in a way that no shard was told of: none is trusted before it was opened again. */
  distrust(fault: Fault): void {
    for (const shard of this.#own.values()) shard.distrust(fault);
  }

  /**
   * Closes and opens a shard that failed, until that succeeds: LMDB may refuse to go on with what it has open. After a sync
   * of its own failed the file is rewritten, too (`rewrite.ts`). Meanwhile it refuses mail.
   */
  #mend(shard: Shard, pauseMs: number): void {
    if (this.#mending.has(shard) || this.#closed) return;
    this.#mending.add(shard);
    this.#counters[Counter.shardsUnhealthy] = this.#mending.size;
    setTimeout(() => {
      if (!this.#closed) this.#events.reopening(shard.index);
    }, pauseMs - NOTICE_MS);
    setTimeout(() => {
      if (this.#closed) return;
      shard.reopen(this.#gate).then(
        () => {
          this.#mending.delete(shard);
          this.#counters[Counter.shardsUnhealthy] = this.#mending.size;
          this.#events.mended(shard.index);
        },
        (error: unknown) => {
          this.#mending.delete(shard);
          this.#events.fault(
            shard.index,
            error instanceof Fault ? error : new Fault("spool.damaged", messageOf(error)),
          );
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

  /** Reads a message of any shard. Content that it shares with `alike` is not read again. */
  read(shard: ShardIndex, key: SpoolKey, alike: SpooledMessage | null = null): SpooledMessage | Unreadable {
    const own = this.#own.get(shard);
    if (own !== undefined) return own.read(key, alike);
    const reader = this.#reader(shard);
    return reader instanceof Fault ? { kind: "failed", reason: reader.message } : reader.read(key, alike);
  }

  /** Closes the handle on another worker's shard, and opens none for a second. */
  letGo(shard: ShardIndex): void {
    if (this.#own.has(shard)) return;
    this.#leftAlone.set(shard, performance.now() + LET_GO_MS);
    const known = this.#readers.get(shard);
    if (known !== undefined) this.#closeReader(shard, known);
  }

  #reader(shard: ShardIndex): ShardReader | Fault {
    const { swaps } = this.#gate;
    const known = this.#readers.get(shard);
    if (known !== undefined) {
      if (known.swaps === swaps) return known.reader;
      this.#closeReader(shard, known);
    }
    if ((this.#leftAlone.get(shard) ?? 0) > performance.now()) return BEING_OPENED;
    try {
      const reader = this.#gate.opening(() => ShardReader.open(this.#spoolPath, shard));
      if (reader === null) return new Fault("spool.compaction", "the shard's file is being replaced");
      this.#readers.set(shard, { reader, swaps });
      return reader;
    } catch (error) {
      return error instanceof Fault ? error : new Fault("spool.damaged", messageOf(error));
    }
  }

  /** Closes reading handles of files that were replaced: only then their disk space is free. */
  closeStaleReaders(): void {
    const { swaps } = this.#gate;
    for (const [shard, known] of this.#readers) if (known.swaps !== swaps) this.#closeReader(shard, known);
  }

  #closeReader(shard: ShardIndex, { reader }: Reading): void {
    this.#readers.delete(shard);
    reader.close().catch((error: unknown) => this.#events.fault(shard, new Fault("spool.damaged", messageOf(error))));
  }

  /** Every shard that this worker writes. */
  owned(): Iterable<Shard> {
    return this.#own.values();
  }

  /** Gives the free pages of a shard's file back. @throws {Fault} `spool.compaction`. */
  compact(shard: Shard): Promise<Compaction> {
    return shard.compact(this.#gate);
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
    this.count();
  }

  /** Memory is scarce, or is not any more. */
  tighten(tight: boolean): void {
    tightenBodies(tight);
    for (const shard of this.#own.values()) shard.tighten(tight);
  }

  /** Stores what is in memory only, commits and closes everything. What could not be stored is told as a fault. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const shard of this.#own.values()) {
      await shard.close();
      const lost = shard.deferred?.count ?? 0;
      if (lost === 0) continue;
      const why = shard.fault?.message ?? "the spool is closed";
      this.#events.fault(
        shard.index,
        new Fault("spool.commit-failed", `${lost} messages in memory only are lost: ${why}`),
      );
    }
    this.count();
    for (const { reader } of this.#readers.values()) await reader.close();
  }
}
