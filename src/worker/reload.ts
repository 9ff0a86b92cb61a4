/**
 * Tells the scheduler of the messages that a shard held when it was opened, as fast as the scheduler takes them.
 *
 * Runs on   a worker
 * Owns      the scans that are under way, one shard after the other
 * When full a step stops when the ring has no comfortable room; the next turn goes on
 * On failure a damaged row is quarantined by its shard and the scan goes on; storage that cannot be read at all is
 *           reported as a fault, and what was not announced stays on disk for the next start
 */
import type { ShardIndex, SpoolKey } from "../base/brands.js";
import { dieAsOrdered } from "../base/failpoints.js";
import { Fault } from "../base/fault.js";
import { type Hand, Work } from "../protocol/layout/hands.js";
import type { KeyRange, ShardInit } from "./init.js";
import type { Replay, ReplaySink } from "./spool/replay.js";
import type { Shard } from "./spool/shard.js";

/** Rows per step: a step takes a few milliseconds at most. */
const ROWS_PER_STEP = 1000;

/** What the reload needs of its worker. */
export interface ReloadParts {
  /** Whether the ring has room for a step's rows. */
  readonly roomy: () => boolean;
  readonly announce: (
    shard: ShardIndex,
    key: SpoolKey,
    queue: string,
    size: number,
    attempts: number,
    dueMs: number,
    nth: number,
  ) => boolean;
  /** The worker's note of what it works on. */
  readonly hand: Hand;
  readonly loaded: (shard: ShardIndex, rows: number, quarantined: number, settled: number) => void;
  /** A message that workers died of is not in the spool any more, and the scheduler does not know it. */
  readonly left: (shard: ShardIndex, key: SpoolKey) => void;
  readonly failed: (shard: ShardIndex, fault: Fault) => void;
}

interface Scan {
  readonly shard: Shard;
  readonly replay: Replay;
  /** Rows that an earlier run had settled. */
  settled: number;
}

interface HeldRow {
  readonly shard: ShardIndex;
  readonly key: SpoolKey;
  readonly queue: string;
  readonly size: number;
  readonly attempts: number;
  readonly dueMs: number;
  readonly nth: number;
}

/** See the file's header. */
export class Reload {
  readonly #parts: ReloadParts;
  readonly #scans: Scan[] = [];
  /** Rows that a step found and the ring had no room for. */
  readonly #held: HeldRow[] = [];

  constructor(parts: ReloadParts) {
    this.#parts = parts;
  }

  /** Whether anything remains to be announced. */
  get busy(): boolean {
    return this.#scans.length > 0;
  }

  /**
   * Adds a shard. Only rows in its ranges are announced; all are counted. Those that are settled have their terminal
   * record from an earlier run and leave the spool; those that are sentenced go to quarantine.
   */
  add(shard: Shard, { announce: ranges, settled, sentences }: ShardInit): void {
    const from = ranges[0]?.after ?? Number.MAX_SAFE_INTEGER;
    const ended: ReadonlySet<number> = new Set(settled);
    shard.sentenced.begin(sentences, ended, (key) => !isAmong(key, ranges));
    const scan: Scan = {
      shard,
      replay: shard.replay(
        this.#sink(shard, ranges, ended, () => scan.settled++),
        from,
      ),
      settled: 0,
    };
    this.#scans.push(scan);
  }

  #sink(shard: Shard, ranges: readonly KeyRange[], ended: ReadonlySet<number>, onSettled: () => void): ReplaySink {
    return {
      onSetAside: (key) => this.#parts.hand.take(shard.index, key, Work.settingAside),
      onBegin: (key) => this.#parts.hand.take(shard.index, key, Work.announcing),
      onRow: (key, queue, size, attempts, dueMs, nth) => {
        dieAsOrdered("spool.announce", queue);
        if (!isAmong(key, ranges)) return;
        if (ended.has(key)) {
          onSettled();
          shard.remove(key, 0);
          return;
        }
        const announced =
          this.#held.length === 0 && this.#parts.announce(shard.index, key, queue, size, attempts, dueMs, nth);
        if (!announced) this.#held.push({ shard: shard.index, key, queue, size, attempts, dueMs, nth });
      },
    };
  }

  /** One bounded step; called every turn. */
  step(): void {
    const scan = this.#scans[0];
    if (scan === undefined || !this.#sendHeld() || !this.#parts.roomy()) return;
    let finished: boolean;
    try {
      finished = scan.replay.step(ROWS_PER_STEP);
      this.#parts.hand.free();
    } catch (error) {
      // What the storage throws comes as a fault. Anything else is a bug that this row has met: the thread dies of it, and
      // the note names the row.
      if (!(error instanceof Fault)) throw error;
      this.#parts.hand.free();
      this.#scans.shift();
      this.#parts.failed(scan.shard.index, error);
      return;
    }
    if (finished && this.#sendHeld()) this.#finish(scan);
  }

  #finish(scan: Scan): void {
    this.#scans.shift();
    const { shard, replay, settled } = scan;
    for (const key of shard.sentenced.leftBefore) this.#parts.left(shard.index, key);
    this.#parts.loaded(shard.index, replay.reported - settled, replay.quarantined, settled);
  }

  #sendHeld(): boolean {
    let sent = 0;
    for (const row of this.#held) {
      const { shard, key, queue, size, attempts, dueMs, nth } = row;
      if (!this.#parts.announce(shard, key, queue, size, attempts, dueMs, nth)) break;
      sent++;
    }
    this.#held.splice(0, sent);
    return this.#held.length === 0;
  }
}

function isAmong(key: SpoolKey, ranges: readonly KeyRange[]): boolean {
  return ranges.some((range) => key > range.after && key <= range.through);
}
