/**
 * Which of a shard's stored rows the scheduler has been told of: so that a worker that replaces a dead one announces
 * exactly the others, none twice.
 *
 * Runs on   the main thread, one per shard
 * Owns      the ranges of keys that remain to be announced
 *           the messages whose end a worker wrote down without anybody knowing that they have left the spool
 * When full at most one range is added per lost worker that had opened the shard; as many messages as were quarantined,
 *           and those that dead workers settled in their last turn
 * On failure nothing can fail
 *
 * A worker announces its ranges in rising order of keys, and new messages in the order of their keys, which lie behind
 * all ranges. So one number per range says how far it got.
 */
import type { KeyRange } from "../worker/init.js";

/** See the file's header. */
export class ShardProgress {
  #open: { after: number; through: number }[] = [{ after: 0, through: Number.MAX_SAFE_INTEGER }];
  #newest = 0;
  #known = false;
  readonly #settled = new Set<number>();

  /** Whether a worker of this process has opened the shard, and so checked its pages. */
  get known(): boolean {
    return this.#known;
  }

  /** The greatest key known of the shard; mail in memory only may be behind what is stored. */
  get newest(): number {
    return this.#newest;
  }

  /** A worker has opened the shard, whose greatest key is `lastKey`: keys above it will be new ones. */
  opened(lastKey: number): void {
    this.#known = true;
    for (const range of this.#open) range.through = Math.min(range.through, lastKey);
    this.#newest = Math.max(this.#newest, lastKey);
  }

  /** A row with this key was announced. */
  announced(key: number): void {
    for (const range of this.#open) {
      if (key <= range.through) {
        if (key > range.after) range.after = key;
        return;
      }
    }
    if (key > this.#newest) this.#newest = key;
  }

  /** The message has its terminal record. Should its row be found again it merely goes, also when it cannot be read. */
  recorded(key: number): void {
    this.#settled.add(key);
  }

  /** Everything that has its record: what the log of earlier runs says, and what came since. */
  settled(before: Float64Array): Float64Array {
    return this.#settled.size === 0 ? before : Float64Array.from([...before, ...this.#settled]);
  }

  /** The worker has announced everything that its scan found. */
  loaded(): void {
    this.#open = [];
  }

  /** The worker is lost: everything stored behind the newest announced row must be announced by the next one. */
  lost(): void {
    // It died before it had opened the shard: the range of its predecessor has no end yet. A second one of the same keys would
    // not advance with the first, and the next successor but one would announce them again.
    if (this.#open.at(-1)?.through === Number.MAX_SAFE_INTEGER) return;
    this.#open.push({ after: this.#newest, through: Number.MAX_SAFE_INTEGER });
  }

  /** The ranges that remain, in rising order. */
  ranges(): readonly KeyRange[] {
    return this.#open.filter((range) => range.after < range.through).map((range) => ({ ...range }));
  }
}
