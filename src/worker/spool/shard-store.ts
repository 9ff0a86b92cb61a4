import type { WriteBatch } from "./write-batch.js";

/** A row or body with its key. */
export interface Entry {
  readonly key: number;
  readonly value: Buffer;
}

/** How big a store is. */
export interface StoreUsage {
  /** Bytes of its file. */
  readonly fileBytes: number;
  /** Bytes of the pages in use; the rest of the file is free pages. */
  readonly usedBytes: number;
}

/**
 * The storage below a shard: what LMDB does for it (`lmdb-store.ts`), and what a test may fake.
 * Reads see what was committed when the event turn's snapshot was taken; `refresh` takes a new one.
 */
export interface ShardStore {
  /**
   * Writes the batch in one transaction. `done(null)` comes once it is committed (and synced, unless opened without);
   * `done(error)` when nothing of it was kept. One call at a time; the batch must not change meanwhile.
   */
  commit(batch: WriteBatch, done: (error: unknown) => void): void;
  /** Syncs what was committed so far; only for stores opened without sync. `done(error)` when it failed. */
  sync(done: (error: unknown) => void): void;
  /** A row, as a copy of its own. */
  row(key: number): Buffer | undefined;
  /** A row in memory that the next read overwrites: for looking at it on the spot. */
  peekRow(key: number): Buffer | undefined;
  /** A body, as a copy of its own. */
  body(key: number): Buffer | undefined;
  /** Rows with `after < key <= last`, at most `limit`, in order. */
  rows(after: number, last: number, limit: number): Entry[];
  /** Keys of bodies with `after < key <= last`, in order. */
  bodyKeys(after: number, last: number): number[];
  /** The greatest key of a row or body, 0 when there is none. */
  lastKey(): number;
  /** Number of rows. */
  count(): number;
  /** Number of bodies. */
  bodyCount(): number;
  /** The size of its file, and how much of it is in use. */
  usage(): StoreUsage;
  /** Writes a compacted copy of what is committed now into an empty directory, on another thread. */
  copyTo(directory: string): Promise<void>;
  /** Lets the next read see what others have committed since. */
  refresh(): void;
  /** Waits for what is under way, then closes. */
  close(): Promise<void>;
}
