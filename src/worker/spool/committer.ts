import { getSystemErrorName } from "node:util";
import { assert } from "../../base/assert.js";
import { errnoOf, Fault, messageOf } from "../../base/fault.js";
import type { ShardStore } from "./shard-store.js";
import { type StoreWaiter, WriteBatch } from "./write-batch.js";

/** How long removals and patches wait for stores to go with, ms. */
const LEISURE_MS = 25;

/** What the committer tells its shard. */
export interface CommitterEvents {
  /** The batch is as durable as was asked for; its waiters have not been told yet. `tookMs`: its commit alone. */
  onCommitted(batch: WriteBatch, tookMs: number): void;
  /** A sync of its own has succeeded: one that a message asked for, or one in the background. */
  onSynced(tookMs: number, forced: boolean): void;
  /** Removals that are done; valid during the call. */
  onRemoved(tokens: readonly number[]): void;
  /** Everyone concerned was told. */
  onBatch(): void;
  /** A sync failed: what was committed before it may read better than the disk holds it. Comes before `onFault`. */
  onDoubt(): void;
  /** A commit or a sync failed; the committer stands still until `resume`. */
  onFault(fault: Fault): void;
}

/**
 * The cycle of a shard's commits: one batch is written while the next one fills, and a batch takes all that came
 * meanwhile (bench/micro/commit.ts shows what that is worth).
 *
 *     filling ──▶ committing ──▶ (synced) ──▶ waiters told ──▶ onRemoved ──▶ next commit ──▶ onBatch
 *
 * Runs on: the worker that owns the shard. Owns: the two batches, the health, the background sync of the weaker modes.
 * When full: what fills is bounded by the callers' sessions. On failure: new mail of both batches is refused, removals
 * and patches go to the front of the next batch; nothing is written until `resume`.
 */
export class Committer {
  readonly #events: CommitterEvents;
  readonly #flushes: boolean;
  readonly #syncIntervalMs: number;
  #store: ShardStore;
  #filling = new WriteBatch();
  #committing = new WriteBatch();
  #busy = false;
  #scheduled = false;
  #closed = false;
  #fault: Fault | null = null;
  #held = false;
  #unsynced = false;
  #syncTimer: NodeJS.Timeout | null = null;
  /** What fills has waited long enough for stores to go with. */
  #overdue = false;
  #leisureTimer: NodeJS.Timeout | null = null;
  #syncs = 0;
  #whenIdle: (() => void)[] = [];
  /** When the commit under way began, and how long it took; monotonic ms. */
  #begunMs = 0;
  #tookMs = 0;
  /** Commits that failed, and syncs. */
  failures = 0;

  /**
   * @param flushes true: a commit is a sync; false: a sync follows within `syncIntervalMs`, or before the waiters are
   *   told where one of them wants it.
   */
  constructor(store: ShardStore, flushes: boolean, syncIntervalMs: number, events: CommitterEvents) {
    this.#store = store;
    this.#flushes = flushes;
    this.#syncIntervalMs = syncIntervalMs;
    this.#events = events;
  }

  /** The batch that takes what comes now. Call `schedule` after putting something in. */
  get filling(): WriteBatch {
    return this.#filling;
  }

  /** Why nothing is written, null when all is well. */
  get fault(): Fault | null {
    return this.#fault;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Has the filling batch committed at the end of the event turn, or as soon as the current one is done. */
  schedule(): void {
    if (this.#scheduled || this.#busy || this.#held || this.#fault !== null) return;
    this.#scheduled = true;
    setImmediate(this.#onTurn);
  }

  /**
   * Starts committing now, unless a commit is under way: then it follows by itself. What nobody waits for (removals, patches)
   * goes with the next stores, or by itself after {@link LEISURE_MS}: a commit of removals alone would hold up the stores
   * that come meanwhile for a whole sync.
   */
  commitNow(): void {
    if (this.#busy || this.#held || this.#closed || this.#fault !== null || this.#filling.empty) return;
    if (!this.#filling.urgent && !this.#overdue) {
      this.#leisureTimer ??= setTimeout(this.#onLeisureOver, LEISURE_MS);
      return;
    }
    this.#overdue = false;
    if (this.#leisureTimer !== null) clearTimeout(this.#leisureTimer);
    this.#leisureTimer = null;
    const batch = this.#filling;
    this.#filling = this.#committing;
    this.#committing = batch;
    this.#busy = true;
    this.#begunMs = performance.now();
    this.#store.commit(batch, this.#onCommit);
  }

  /**
   * Calls the waiter of mail that is in memory: at once, or right after the stores that were begun before it, so that mail
   * is announced in the order of its keys.
   */
  tellInOrder(waiter: StoreWaiter): void {
    if (this.#filling.waiters.length > 0) this.#filling.behind.push(waiter);
    else if (this.#busy && this.#committing.waiters.length > 0) this.#committing.behind.push(waiter);
    else waiter.onStored(null);
  }

  /** The storage has failed in a way that no commit reported: whatever is under way is not believed. */
  distrust(fault: Fault): void {
    if (this.#fault !== null || this.#closed) return;
    this.#fault = fault;
    this.failures++;
    const { waiters, behind, spills } = this.#takeStores(this.#filling);
    tellAll(waiters, fault);
    tellAll(behind, null);
    tellAll(spills, fault);
    this.#events.onFault(fault);
  }

  /** Resolves when nothing is being written. */
  idle(): Promise<void> {
    if (!this.#busy && this.#syncs === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  /** Begins no commit until `release`; resolves when none is under way. What comes meanwhile fills the next batch. */
  hold(): Promise<void> {
    this.#held = true;
    return this.idle();
  }

  /** Goes on after `hold`. */
  release(): void {
    this.#held = false;
    if (this.#unsynced) this.#syncSoon();
    this.commitNow();
  }

  /** While held: works with another store, which holds and has synced all that the former one did. */
  replaceStore(store: ShardStore): void {
    assert(this.#held && !this.#busy && this.#syncs === 0, "a store is replaced while nothing is written");
    this.#store = store;
    this.#unsynced = false;
  }

  /** Goes on after a fault, with a store that was opened anew. */
  resume(store: ShardStore): void {
    this.#store = store;
    this.#unsynced = false;
    this.#fault = null;
    this.schedule();
  }

  /** Commits what waits, then syncs what needs it. Afterwards nothing more is written. */
  async close(): Promise<void> {
    while (this.#busy || (this.#fault === null && !this.#filling.empty)) {
      this.#overdue = true;
      this.commitNow();
      await this.idle();
    }
    this.#closed = true;
    if (this.#leisureTimer !== null) clearTimeout(this.#leisureTimer);
    if (this.#syncTimer !== null) clearTimeout(this.#syncTimer);
    if (this.#unsynced && this.#fault === null) this.#sync();
    await this.idle();
  }

  readonly #onLeisureOver = (): void => {
    this.#leisureTimer = null;
    this.#overdue = true;
    this.commitNow();
  };

  readonly #onTurn = (): void => {
    this.#scheduled = false;
    this.commitNow();
  };

  readonly #onCommit = (error: unknown): void => {
    const doubt = this.#fault;
    this.#tookMs = performance.now() - this.#begunMs;
    if (error !== null) this.#failed("commit", error, false);
    else if (doubt !== null) this.#failed("commit", doubt.cause ?? doubt, true);
    else if (!this.#flushes && this.#committing.forceFlush) {
      this.#syncs++;
      this.#begunMs = performance.now();
      this.#store.sync(this.#onForcedSync);
    } else this.#succeeded();
  };

  readonly #onForcedSync = (error: unknown): void => {
    this.#syncs--;
    if (error !== null) this.#events.onDoubt();
    if (error !== null || this.#fault !== null) {
      this.#failed("sync", error ?? this.#fault, true);
      return;
    }
    this.#events.onSynced(performance.now() - this.#begunMs, true);
    this.#succeeded();
  };

  #succeeded(): void {
    this.#events.onCommitted(this.#committing, this.#tookMs);
    if (!this.#flushes) this.#syncSoon();
    this.#tell(null);
  }

  /** `kept`: the transaction was committed, only its sync failed; so its mail must be taken out again. */
  #failed(what: string, error: unknown, kept: boolean): void {
    const batch = this.#committing;
    const filling = this.#filling;
    const fault = commitFault(what, error);
    this.#fault = fault;
    this.failures++;
    const refused = this.#takeStores(filling);
    if (kept) {
      for (const key of batch.rowKeys) filling.removedRows.push(key);
      for (const key of batch.bodyKeys) filling.removedBodies.push(key);
    } else {
      filling.takeBack(batch);
      batch.tokens.length = 0;
    }
    this.#tell(fault);
    tellAll(refused.waiters, fault);
    tellAll(refused.behind, null);
    tellAll(refused.spills, fault);
    this.#events.onFault(fault);
  }

  /** Takes the stores out of a batch, so that whoever waits for them can be told; removals and patches stay in it. */
  #takeStores(batch: WriteBatch): { waiters: StoreWaiter[]; behind: StoreWaiter[]; spills: StoreWaiter[] } {
    const taken = { waiters: batch.waiters.slice(), behind: batch.behind.slice(), spills: batch.spills.slice() };
    batch.clearStores();
    return taken;
  }

  #tell(fault: Fault | null): void {
    const batch = this.#committing;
    tellAll(batch.waiters, fault);
    tellAll(batch.behind, null);
    tellAll(batch.spills, fault);
    if (batch.tokens.length > 0) this.#events.onRemoved(batch.tokens);
    batch.clear();
    // Only now may the batch be filled again. The next commit starts before replies are sent: the disk is the slower one.
    this.#busy = false;
    this.commitNow();
    this.#events.onBatch();
    this.#wakeIdle();
  }

  #syncSoon(): void {
    this.#unsynced = true;
    this.#syncTimer ??= setTimeout(() => {
      this.#syncTimer = null;
      if (!this.#held) this.#sync();
    }, this.#syncIntervalMs);
  }

  /** The background sync of the weaker modes. A failure ends the trust in what was committed since the last one. */
  #sync(): void {
    this.#unsynced = false;
    this.#syncs++;
    const begunMs = performance.now();
    this.#store.sync((error) => {
      this.#syncs--;
      if (error !== null) this.#events.onDoubt();
      if (error === null) this.#events.onSynced(performance.now() - begunMs, false);
      else if (this.#fault === null) {
        this.#fault = commitFault("sync", error);
        this.failures++;
        this.#events.onFault(this.#fault);
      }
      this.#wakeIdle();
    });
  }

  #wakeIdle(): void {
    if (this.#busy || this.#syncs > 0) return;
    const waiting = this.#whenIdle;
    this.#whenIdle = [];
    for (const resolve of waiting) resolve();
  }
}

/** A list may grow while it is told. */
function tellAll(waiters: readonly StoreWaiter[], fault: Fault | null): void {
  for (const waiter of waiters) waiter.onStored(fault);
}

/** The fault that a failure of the storage becomes. */
export function commitFault(what: string, error: unknown): Fault {
  return new Fault("spool.commit-failed", `spool ${what} failed: ${messageOf(error)}`, {
    errno: errnoName(error),
    cause: error,
  });
}

/** lmdb-js gives the system's error number where Node gives its name. */
function errnoName(error: unknown): string | null {
  if (error instanceof Error && "code" in error && typeof error.code === "number" && error.code > 0) {
    return getSystemErrorName(-error.code);
  }
  return errnoOf(error);
}
