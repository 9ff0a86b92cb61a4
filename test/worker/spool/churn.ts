/**
 * Churn: what hours of traffic do to a shard, in minutes. Messages of mixed sizes come and go while the depth of the queue
 * wanders between its bounds; most leave soon after they came, some wait long, some are rescheduled; another thread reads
 * what it is told of. `npm test` runs a short form, the torture run a long one, the bench prints its course.
 */

import { once } from "node:events";
import { statSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import type { ShardIndex, SpoolKey } from "../../../src/base/brands.js";
import { SystemClock } from "../../../src/base/clock.js";
import { SeededRandom } from "../../../src/base/random.js";
import { shardDirectory } from "../../../src/worker/spool/directories.js";
import { Shard } from "../../../src/worker/spool/shard.js";
import { reception } from "./helpers.js";

/** What is churned. */
export interface ChurnOptions {
  readonly spoolPath: string;
  readonly seed: number;
  /** Ends after so many bytes of content were stored … */
  readonly bytes: number;
  /** … or so many seconds have passed, whichever comes first. */
  readonly seconds: number;
  /** Most bytes of content that wait at a time; the depth wanders between a twentieth of it and all of it. */
  readonly depthBytes: number;
  /** Another thread reads what waits. */
  readonly reader: boolean;
  /** Sizes of contents with their weights. */
  readonly sizes?: readonly { readonly bytes: number; readonly weight: number }[];
  /** Told every second of the run. */
  readonly progress?: (course: ChurnCourse) => void;
}

/** Where a churn is. */
export interface ChurnCourse {
  readonly stored: number;
  readonly storedBytes: number;
  readonly liveBytes: number;
  readonly peakBytes: number;
  readonly fileBytes: number;
}

/** 1 KB to 500 KB, about 20 KB on average: half of the bytes in few large messages. */
export const CHURN_SIZES = [
  { bytes: 1_000, weight: 30 },
  { bytes: 2_500, weight: 18 },
  { bytes: 5_000, weight: 16 },
  { bytes: 12_000, weight: 16 },
  { bytes: 30_000, weight: 12 },
  { bytes: 80_000, weight: 6 },
  { bytes: 200_000, weight: 1.5 },
  { bytes: 500_000, weight: 0.5 },
] as const;

interface Waiting {
  readonly key: SpoolKey;
  readonly bytes: number;
}

/** What a row takes beside its content, about. */
const ROW_BYTES = 160;

/** Churns a fresh shard 0 below `spoolPath`; what is left in it can be asked for with `waiting`. */
export async function churn(options: ChurnOptions): Promise<ChurnCourse> {
  const random = new SeededRandom(options.seed);
  const sizes = options.sizes ?? CHURN_SIZES;
  const total = sizes.reduce((sum, { weight }) => sum + weight, 0);
  const file = join(shardDirectory(options.spoolPath, 0 as ShardIndex), "data.mdb");
  const shard = Shard.open({
    spoolPath: options.spoolPath,
    shard: 0 as ShardIndex,
    durability: "committed",
    clock: new SystemClock(),
    events: {
      onRemoved() {},
      onBatch() {},
      onWritten() {},
      onQuarantined(_shard, key, reason) {
        throw new Error(`key ${key}: ${reason}`);
      },
      onFault(_shard, fault) {
        throw fault;
      },
    },
    recentBytes: 0,
    syncIntervalMs: 60_000,
    check: false,
  });
  const reader = options.reader ? await Reader.start(options.spoolPath) : null;
  const noise = Buffer.alloc(1 << 20);
  for (let i = 0; i < noise.length; i++) noise[i] = random.next() * 256;

  const fresh: Waiting[] = [];
  const old: Waiting[] = [];
  let live = 0;
  let peak = 0;
  let stored = 0;
  let storedBytes = 0;
  let depth = options.depthBytes / 2;
  let nextReport = performance.now() + 1000;
  const end = performance.now() + options.seconds * 1000;
  const course = (): ChurnCourse => ({
    stored,
    storedBytes,
    liveBytes: live,
    peakBytes: peak,
    fileBytes: statSync(file).size,
  });
  const size = (): number => {
    let at = random.next() * total;
    for (const { bytes, weight } of sizes)
      if ((at -= weight) < 0) return Math.round(bytes * (0.6 + 0.8 * random.next()));
    return sizes[0]!.bytes;
  };
  const take = (): Waiting | undefined => {
    // Nine in ten leave soon, in nearly the order in which they came; one in ten waits for long.
    while (fresh.length > 64 && random.next() < 0.1) old.push(fresh.shift()!);
    const from = fresh.length === 0 || (old.length > 0 && random.next() < 0.1) ? old : fresh;
    const near = from === fresh ? Math.min(from.length, 64) : from.length;
    return near === 0 ? undefined : from.splice(Math.floor(random.next() * near), 1)[0];
  };

  while (storedBytes < options.bytes && performance.now() < end) {
    if (random.next() < 0.01) depth = options.depthBytes * (0.05 + 0.95 * random.next());
    const clients = 1 + Math.floor(random.next() * 40);
    const told: number[] = [];
    await new Promise<void>((resolve, reject) => {
      let open = clients;
      for (let i = 0; i < clients; i++) {
        const bytes = size();
        const firstKey = shard.newKeys(1);
        const from = Math.floor(random.next() * (noise.length - bytes));
        const transaction = {
          firstKey,
          content: noise.subarray(from, from + bytes),
          sender: "sender@example.com",
          recipients: [{ recipient: `recipient-${stored}@example.net`, queue: "example.net" }],
          reception,
          meta: null,
          flags: 0,
          dueMs: 0,
          forceFlush: false,
          deferred: false,
          hold: null,
        };
        const refused = shard.storeTransaction(transaction, {
          onStored: (fault) => {
            if (fault !== null) reject(fault);
            else if (--open === 0) resolve();
          },
        });
        if (refused !== null) reject(refused);
        fresh.push({ key: firstKey, bytes });
        told.push(firstKey);
        live += bytes + ROW_BYTES;
        stored++;
        storedBytes += bytes;
      }
    });
    peak = Math.max(peak, live);
    await reader?.read(told);
    while (live > depth) {
      const gone = take();
      if (gone === undefined) break;
      shard.remove(gone.key, 0);
      live -= gone.bytes + ROW_BYTES;
    }
    for (let i = 0; i < 3 && old.length > 0; i++) {
      shard.reschedule(old[Math.floor(random.next() * old.length)]!.key, 1, 1e12);
    }
    if (performance.now() >= nextReport) {
      nextReport += 1000;
      options.progress?.(course());
    }
    await nextTurn();
  }
  await reader?.end();
  await shard.close();
  return course();
}

/** A thread that reads; at most two batches wait for it, as mail leaves a spool only after it was read. */
class Reader {
  readonly #worker: Worker;
  #open = 0;
  #wake: (() => void) | null = null;
  #failed: unknown = null;

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.on("error", (error) => {
      this.#failed = error;
      this.#wake?.();
    });
    worker.on("message", () => {
      this.#open--;
      this.#wake?.();
    });
  }

  static async start(spoolPath: string): Promise<Reader> {
    const worker = new Worker(new URL("./churn-reader.js", import.meta.url), { workerData: { spoolPath } });
    await once(worker, "message");
    return new Reader(worker);
  }

  async read(keys: readonly number[]): Promise<void> {
    this.#open++;
    this.#worker.postMessage(keys);
    while (this.#open > 2 && this.#failed === null) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failed !== null) throw this.#failed;
  }

  async end(): Promise<void> {
    await this.#worker.terminate();
    if (this.#failed !== null) throw this.#failed;
  }
}
