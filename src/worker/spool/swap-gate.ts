/**
 * Keeps threads from opening a shard while its owner puts another file in its place: LMDB opens two files, the data and
 * the lock, and must never get one of the old and one of the new.
 *
 * Runs on   every worker, over the same SharedArrayBuffer; the main thread for a worker that died
 * Owns      who swaps, who is opening, how many swaps there were
 * When full one swap at a time in the whole process; another one waits
 * On failure what a dead worker claimed is taken back by the main thread
 *
 *     0  i32  1 + the worker that swaps, 0 for none          4  i32  swaps so far
 *     8  i32  per worker: 1 while it opens a shard of another
 *
 * An opener says so and then looks whether anybody swaps; a swapper says so and then looks whether anybody opens. With
 * ordered stores and loads at least one of them sees the other.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { WorkerIndex } from "../../base/brands.js";

const SWAPPER = 0;
const SWAPS = 1;
const OPENERS = 2;
const POLL_MS = 1;

/** Makes the shared part for so many workers. */
export function createSwapGate(workers: number): SharedArrayBuffer {
  return new SharedArrayBuffer((OPENERS + workers) * 4);
}

/** One worker's view. */
export class SwapGate {
  readonly #words: Int32Array;
  readonly #index: number;

  constructor(memory: SharedArrayBuffer, index: WorkerIndex) {
    this.#words = new Int32Array(memory);
    this.#index = index;
  }

  /** Swaps so far in the whole process: when it has changed, open reading handles may be of files that are gone. */
  get swaps(): number {
    return Atomics.load(this.#words, SWAPS);
  }

  /** Runs `open`, which opens a shard of another worker; null, and nothing was done, while a swap is under way. */
  opening<T>(open: () => T): T | null {
    const mine = OPENERS + this.#index;
    Atomics.store(this.#words, mine, 1);
    try {
      return Atomics.load(this.#words, SWAPPER) === 0 ? open() : null;
    } finally {
      Atomics.store(this.#words, mine, 0);
    }
  }

  /** Runs `swap`, which must not wait for anything, while nobody opens a shard. */
  async swapping<T>(swap: () => T): Promise<T> {
    while (Atomics.compareExchange(this.#words, SWAPPER, 0, 1 + this.#index) !== 0) await sleep(POLL_MS);
    try {
      while (this.#anyOpens()) await sleep(POLL_MS);
      return swap();
    } finally {
      Atomics.add(this.#words, SWAPS, 1);
      Atomics.store(this.#words, SWAPPER, 0);
    }
  }

  #anyOpens(): boolean {
    for (let at = OPENERS; at < this.#words.length; at++) if (Atomics.load(this.#words, at) !== 0) return true;
    return false;
  }

  /** Takes back what a worker that died had claimed. */
  static forget(memory: SharedArrayBuffer, index: WorkerIndex): void {
    const words = new Int32Array(memory);
    Atomics.store(words, OPENERS + index, 0);
    Atomics.compareExchange(words, SWAPPER, 1 + index, 0);
  }
}
