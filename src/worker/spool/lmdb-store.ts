import { existsSync, renameSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Database, open, type RootDatabase } from "lmdb";
import { assert } from "../../base/assert.js";
import { BufferPool } from "../../base/buffer-pool.js";
import { faultOrder, orderedError } from "../../base/failpoints.js";
import { errnoOf, Fault, messageOf } from "../../base/fault.js";
import { Hold } from "../../base/hold.js";
import { markShard, prepareShard } from "./directories.js";
import { checkPages, type PageReport } from "./page-check.js";
import type { Entry, ShardStore, StoreUsage } from "./shard-store.js";
import type { WriteBatch } from "./write-batch.js";

/**
 * A shard's LMDB environment: the only file that knows lmdb-js.
 *
 * Runs on: the owning worker (and, through `openForReading`, any other worker).
 * Owns: one environment with the databases `meta` and `body`, keyed by spool keys as lmdb's own numbers, which order as
 *   the numbers do.
 * When full: the map grows by itself; a full disk fails the commit.
 * On failure: the whole transaction is absent (`overlappingSync` off, promises.md §2), `commit` says so; after one such
 *   failure the environment must be closed and opened again before it is written to: LMDB may refuse further
 *   transactions in a way that lmdb-js never reports.
 */

/** Address space for the map, not memory: it grows by itself beyond, but moving a map under readers is best avoided. */
const MAP_BYTES = 16 * 1024 ** 3;
/** Most bytes of a database that was being made and had no mark yet, so that no mail was ever in it: a few pages. */
const UNFINISHED_BYTES = 64 * 1024;
/** Reader slots: one per thread and read transaction; far above any number of workers (a full table is an error). */
const MAX_READERS = 1024;

/** The failpoint `spool.commit hang`: how often to look whether it goes on. */
const HANG_LOOK_MS = 20;

type Numbered = Database<Buffer, number>;

/** What lmdb-js has and its declarations leave out. */
interface Undeclared {
  put(key: number, value: Buffer, options: { readonly append: true }): Promise<boolean>;
  sync(done: (error?: unknown) => void): void;
  getStats(): TreeStats & { readonly root: TreeStats; readonly free: TreeStats };
}

/** Pages of one of LMDB's trees. */
interface TreeStats {
  readonly pageSize: number;
  readonly treeBranchPageCount: number;
  readonly treeLeafPageCount: number;
  readonly overflowPages: number;
}

const APPEND = { append: true } as const;

/** See the header of this file. */
/** Bodies from this size on are read into memory of {@link bodies}. */
const POOLED_BYTES = 4 * 1024 + 1;

/** Memory of bodies that were read, until they are sent. One per thread. */
const bodies = new BufferPool(32 * 1024 * 1024);

/** Memory is scarce, or is not any more: see `BufferPool.tighten`. */
export function tightenBodies(tight: boolean): void {
  bodies.tighten(tight);
}

/** The hold on a body that {@link LmdbStore.body} gave; null when it is too small to be used again. */
export function bodyHold(body: Buffer): Hold | null {
  return body.length < POOLED_BYTES ? null : new Hold(bodies, body);
}

/** One shard's environment. */
export class LmdbStore implements ShardStore {
  readonly #path: string;
  readonly #root: RootDatabase<Buffer, number>;
  readonly #meta: Numbered;
  readonly #body: Numbered;
  readonly #bodyAppend: Undeclared;
  readonly #metaAppend: Undeclared;
  /** Greatest keys written: greater ones are appended, which fills pages to the brim. */
  #lastRow: number;
  #lastBody: number;
  #closed = false;
  /** A commit is synced. */
  readonly #syncs: boolean;

  private constructor(
    directory: string,
    root: RootDatabase<Buffer, number>,
    meta: Numbered,
    body: Numbered,
    syncs: boolean,
  ) {
    this.#path = join(directory, "data.mdb");
    this.#syncs = syncs;
    this.#root = root;
    this.#meta = meta;
    this.#body = body;
    this.#bodyAppend = body as unknown as Undeclared;
    this.#metaAppend = meta as unknown as Undeclared;
    this.#lastRow = greatestKey(meta);
    this.#lastBody = greatestKey(body);
  }

  /**
   * Opens the environment in `directory`, making it when it is new. `sync` false gives the `committed` mode: a commit
   * is in the page cache only. `check` walks the pages first (leave it out only when this process had it open before).
   * `mapBytes` is where the map begins.
   * @throws {Fault} `spool.unwritable`, `spool.damaged`.
   */
  static open(
    directory: string,
    sync: boolean,
    check: boolean,
    mapBytes: number = MAP_BYTES,
  ): { store: LmdbStore; report: PageReport } {
    const state = prepareShard(directory);
    let report: PageReport = { pages: 0, entries: 0, mended: 0 };
    if (state !== "new" && check) {
      const file = join(directory, "data.mdb");
      try {
        report = checkPages(file);
      } catch (error) {
        if (state === "existing" || statSync(file).size > UNFINISHED_BYTES) throw error;
        // A crash of the machine while the file was made: it is begun anew, and the pieces are kept beside it.
        renameSync(file, `${file}.unfinished`);
      }
    }
    const store = LmdbStore.#open(directory, sync, mapBytes);
    markShard(directory);
    return { store, report };
  }

  /**
   * A handle for reading what another thread of this process owns. It is opened like the owner's, not read-only: the
   * threads of a process share one environment, and a read-only one would be forced on an owner that comes after.
   * @throws {Fault} `spool.unwritable` when there is no database.
   */
  static openForReading(directory: string, mapBytes: number = MAP_BYTES): LmdbStore {
    const path = join(directory, "data.mdb");
    if (!existsSync(path)) throw new Fault("spool.unwritable", `${path} does not exist`, { errno: "ENOENT" });
    return LmdbStore.#open(directory, true, mapBytes);
  }

  /** A copy made by {@link copyTo}, for writing; it is only synced as a whole, by whoever has closed it. */
  static openCopy(directory: string): LmdbStore {
    return LmdbStore.#open(directory, false, MAP_BYTES);
  }

  static #open(directory: string, sync: boolean, mapBytes: number): LmdbStore {
    try {
      const root = open<Buffer, number>({
        path: directory,
        encoding: "binary",
        overlappingSync: false,
        noSync: !sync,
        // Shards gather batches themselves, one in flight at a time.
        eventTurnBatching: false,
        maxDbs: 4,
        maxReaders: MAX_READERS,
        mapSize: mapBytes,
      });
      const meta = root.openDB<Buffer, number>({ name: "meta", encoding: "binary" });
      const body = root.openDB<Buffer, number>({ name: "body", encoding: "binary" });
      return new LmdbStore(directory, root, meta, body, sync);
    } catch (error) {
      const text = messageOf(error);
      const damaged = /MDB_(INVALID|CORRUPTED|VERSION_MISMATCH|PANIC|PAGE_NOTFOUND)/.test(text);
      throw new Fault(damaged ? "spool.damaged" : "spool.unwritable", `cannot open ${directory}: ${text}`, {
        errno: errnoOf(error),
        cause: error,
      });
    }
  }

  commit(batch: WriteBatch, done: (error: unknown) => void): void {
    const ordered = orderedError("spool.commit") ?? (this.#syncs ? orderedError("spool.sync") : null);
    if (ordered !== null) {
      setImmediate(done, ordered);
      return;
    }
    if (faultOrder("spool.commit")?.action === "hang") {
      setTimeout(() => this.commit(batch, done), HANG_LOOK_MS);
      return;
    }
    rejectOnOrder();
    let last: Promise<boolean> | null = null;
    let whole: Promise<boolean>;
    try {
      whole = this.#root.batch(() => {
        last = this.#write(batch);
      });
    } catch (error) {
      done(error);
      return;
    }
    const failed = (error: unknown): void => reportCommitError(error, done);
    if (last === null) {
      whole.then(() => done(null), failed);
    } else {
      // Promises settle in the order of the writes: the last append is settled when all are.
      whole.then(ignore, ignore);
      (last as Promise<boolean>).then((stored) => {
        checkAppended(stored);
        done(null);
      }, failed);
    }
  }

  /** Hands the batch's writes to lmdb-js; returns the promise of the last append, null when there was none. */
  #write(batch: WriteBatch): Promise<boolean> | null {
    let last: Promise<boolean> | null = null;
    for (let i = 0; i < batch.patchedKeys.length; i++) this.#meta.put(batch.patchedKeys[i]!, batch.patchedRows[i]!);
    for (let i = 0; i < batch.removedRows.length; i++) this.#meta.remove(batch.removedRows[i]!);
    for (let i = 0; i < batch.removedBodies.length; i++) this.#body.remove(batch.removedBodies[i]!);
    for (let i = 0; i < batch.bodyKeys.length; i++) {
      const key = batch.bodyKeys[i]!;
      if (key > this.#lastBody) {
        this.#lastBody = key;
        if (last !== null) last.then(checkAppended, ignore);
        last = this.#bodyAppend.put(key, batch.bodies[i]!, APPEND);
      } else this.#body.put(key, batch.bodies[i]!);
    }
    for (let i = 0; i < batch.rowKeys.length; i++) {
      const key = batch.rowKeys[i]!;
      if (key > this.#lastRow) {
        this.#lastRow = key;
        if (last !== null) last.then(checkAppended, ignore);
        last = this.#metaAppend.put(key, batch.rows[i]!, APPEND);
      } else this.#meta.put(key, batch.rows[i]!);
    }
    return last;
  }

  sync(done: (error: unknown) => void): void {
    const ordered = orderedError("spool.sync");
    if (ordered !== null) {
      setImmediate(done, ordered);
      return;
    }
    try {
      (this.#root as unknown as Undeclared).sync((error) => done(error ?? null));
    } catch (error) {
      done(error);
    }
  }

  row(key: number): Buffer | undefined {
    return this.#meta.getBinary(key);
  }

  peekRow(key: number): Buffer | undefined {
    const seen = this.#meta.getBinaryFast(key);
    return seen?.subarray(0, seen.length);
  }

  body(key: number): Buffer | undefined {
    const seen = this.#body.getBinaryFast(key);
    if (seen === undefined) return undefined;
    // Cheaper than lmdb-js's own copy, which clears its memory first (bench/micro/spool-read.ts); large ones come from a
    // pool, for memory that is made anew for every message keeps the collector busy.
    const { length } = seen;
    const copy = length < POOLED_BYTES ? Buffer.allocUnsafe(length) : bodies.take(length).subarray(0, length);
    copy.set(seen.subarray(0, length));
    return copy;
  }

  rows(after: number, last: number, limit: number): Entry[] {
    const range = { start: after, exclusiveStart: true, end: last, inclusiveEnd: true, limit };
    return Array.from(this.#meta.getRange(range));
  }

  bodyKeys(after: number, last: number): number[] {
    return Array.from(this.#body.getKeys({ start: after, exclusiveStart: true, end: last, inclusiveEnd: true }));
  }

  lastKey(): number {
    return Math.max(greatestKey(this.#meta), greatestKey(this.#body));
  }

  count(): number {
    return this.#meta.getKeysCount();
  }

  bodyCount(): number {
    return this.#body.getKeysCount();
  }

  usage(): StoreUsage {
    const meta = (this.#meta as unknown as Undeclared).getStats();
    const body = (this.#body as unknown as Undeclared).getStats();
    // Two pages in front hold the roots.
    let pages = 2;
    for (const tree of [meta, body, body.root, body.free]) {
      pages += tree.treeBranchPageCount + tree.treeLeafPageCount + tree.overflowPages;
    }
    return { fileBytes: statSync(this.#path).size, usedBytes: pages * body.pageSize };
  }

  copyTo(directory: string): Promise<void> {
    return this.#root.backup(directory, true);
  }

  refresh(): void {
    this.#meta.resetReadTxn();
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#root.close();
  }
}

function greatestKey(database: Numbered): number {
  for (const key of database.getKeys({ reverse: true, limit: 1 })) return key;
  return 0;
}

function ignore(): void {}

/** The failpoint `spool.commit stray`: what lmdb-js does at times, a rejection that nobody has a hand on. */
function rejectOnOrder(): void {
  if (faultOrder("spool.commit")?.action !== "stray") return;
  void Promise.reject(Object.assign(new Error("Commit failed (see commitError for details)"), { code: 5 }));
}

/** Whether an error that came without its cause is of the storage: a rejection of lmdb-js that nobody listened to. */
export function isStoreError(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  // lmdb-js gives the system's number where Node gives its name.
  const numbered = "code" in error && typeof error.code === "number";
  return (
    numbered || "commitError" in error || /MDB_|^Commit failed|^Input\/output error|^No space left/.test(error.message)
  );
}

/** An append is refused only when a greater key exists, which this file's own count excludes. */
function checkAppended(stored: boolean): void {
  assert(stored, "spool: an append found a greater key");
}

/**
 * lmdb-js rejects a write at once with "Commit failed" and tells the cause by a second promise, which nobody else
 * listens to: unheard, it would end the process.
 */
function reportCommitError(error: unknown, done: (error: unknown) => void): void {
  if (error instanceof Error && "commitError" in error && error.commitError instanceof Promise) {
    error.commitError.then(
      () => done(error),
      (cause: unknown) => done(cause),
    );
  } else done(error);
}
