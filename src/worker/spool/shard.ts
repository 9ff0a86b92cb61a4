import { assert } from "../../base/assert.js";
import type { ShardIndex, SpoolKey } from "../../base/brands.js";
import { Fault } from "../../base/fault.js";
import { MessageFlag } from "../../protocol/message-flag.js";
import { SpoolKeys } from "../../protocol/message-id.js";
import type { Depth } from "../../protocol/messages.js";
import type { BodyRefs } from "./body-refs.js";
import { Committer, commitFault } from "./committer.js";
import type { Compaction } from "./compaction.js";
import { Compactor } from "./compactor.js";
import { DeferredMail } from "./deferred.js";
import { shardDirectory } from "./directories.js";
import { Doubt } from "./doubt.js";
import type { SpooledMessage, Unreadable } from "./envelope.js";
import { fillBatch } from "./fill-batch.js";
import { openStore } from "./open-store.js";
import { tryReadMessage } from "./read-message.js";
import { RecentMessages } from "./recent.js";
import { Removals } from "./removals.js";
import { Replay, type ReplaySink, type ReplayTarget } from "./replay.js";
import { Reschedules } from "./reschedules.js";
import { rewrite } from "./rewrite.js";
import { RowHeader } from "./row-codec.js";
import { Sentenced } from "./sentenced.js";
import { SetAside } from "./set-aside.js";
import { noStats, type ShardEvents, type ShardOptions, type ShardStats } from "./shard-options.js";
import type { ShardStore } from "./shard-store.js";
import type { SwapGate } from "./swap-gate.js";
import type { NewTransaction } from "./transaction.js";
import type { StoreWaiter, WriteBatch } from "./write-batch.js";

const SET_ASIDE: Unreadable = { kind: "damaged", reason: "it is in quarantine" };

/**
 * One spool shard, seen by its owner. All that is stored, rescheduled and removed while a commit is under way goes into
 * the next one: one LMDB transaction, one sync, one walk over those who wait (bench/micro/commit.ts).
 *
 *     store ─┐                 ┌─ waiters: onStored
 *     remove ├─▶ filling ──▶ committing ─┼─ events: onRemoved
 *     resch. ┘   (batch)      (batch)    └─ events: onBatch
 *
 * Durability. `flushed`: told when a sync that began after the data was written has succeeded. `committed`: told when the
 * data is in the page cache; a sync follows within `syncIntervalMs`. What a crash of the machine then loses is the mail of
 * that interval, and, where the file system writes out of order, possibly more: LMDB's own pages may be torn, and a shard
 * whose pages do not hold together is refused at the next start. `deferred`: told when it is in memory (`deferred.ts`); what
 * is stored after all is stored as in `committed`. Whatever the mode, `forceFlush` gives a message the first promise.
 *
 * Runs on: the worker that owns the shard. Owns: the LMDB environment for writing, recent mail.
 * When full: callers are bounded by their sessions; a full disk fails the commit.
 * On failure: nothing of the batch's new mail is kept and its waiters get a fault `spool.commit-failed`; removals and
 *   reschedules are kept for later; the shard refuses new mail until `reopen` has succeeded.
 */
export class Shard implements ReplayTarget {
  readonly index: ShardIndex;
  readonly #options: ShardOptions;
  readonly #events: ShardEvents;
  readonly #keys: SpoolKeys;
  readonly #recent: RecentMessages;
  readonly #header = new RowHeader();
  readonly stats: ShardStats = noStats();
  readonly #committer: Committer;
  /** Mail in memory only; null in the other modes. */
  readonly deferred: DeferredMail | null;
  #store: ShardStore;
  readonly #removals: Removals;
  readonly #compactor: Compactor;
  readonly #setAside: SetAside;
  readonly #doubt: Doubt;
  #reopening: Promise<void> = Promise.resolve();
  readonly #reschedules: Reschedules;
  /** Messages that workers died of. */
  readonly sentenced = new Sentenced({
    deferred: () => this.deferred,
    hasRow: (key) => this.#store.row(key) !== undefined,
    failed: (error) => this.#readFailed(error),
    quarantine: ({ key, reason, depth }) => this.quarantine(key, reason, depth),
    removeRow: (key, token) => {
      if (!this.#setAside.remove(key, token)) this.#removals.removeRow(key, token);
    },
  });

  private constructor(options: ShardOptions, store: ShardStore) {
    this.#options = options;
    this.#events = options.events;
    this.index = options.shard;
    this.#recent = new RecentMessages(options.recentBytes);
    this.#store = store;
    this.#doubt = new Doubt(shardDirectory(options.spoolPath, options.shard));
    const last = store.lastKey();
    this.#keys = new SpoolKeys(Math.max(last, options.newest ?? 0));
    this.#committer = new Committer(store, options.durability === "flushed", options.syncIntervalMs, {
      onCommitted: (batch, tookMs) => this.#committed(batch, tookMs),
      onSynced: (tookMs, forced) => {
        if (forced) this.stats.forcedFlushes++;
        this.#events.onWritten(tookMs, -1);
      },
      onRemoved: (tokens) => this.#events.onRemoved(this.index, tokens),
      onBatch: () => this.#events.onBatch(this.index),
      onDoubt: () => this.#doubt.raise(),
      onFault: (fault) => {
        this.stats.failedCommits = this.#committer.failures;
        this.#events.onFault(this.index, fault);
      },
    });
    const rows = {
      store: () => this.#store,
      header: this.#header,
      failed: (error: unknown) => this.#readFailed(error),
    };
    this.#removals = new Removals(rows, this.#committer, last === 0);
    this.#setAside = new SetAside({
      spoolPath: options.spoolPath,
      shard: options.shard,
      store: () => this.#store,
      header: this.#header,
      removals: this.#removals,
      failed: (fault) => this.#events.onFault(this.index, fault),
      moved: (key, reason, envelope) => {
        this.stats.quarantined++;
        this.#recent.delete(key);
        this.#events.onQuarantined(this.index, key, reason, envelope);
      },
    });
    this.#reschedules = new Reschedules({
      ...rows,
      committer: this.#committer,
      isAside: (key) => this.#setAside.has(key),
      damaged: (key, reason) => this.quarantine(key, reason),
    });
    const { deferral, durability } = options;
    this.deferred = durability === "deferred" && deferral !== undefined ? this.#deferredMail(deferral) : null;
    this.#compactor = new Compactor(shardDirectory(options.spoolPath, options.shard), this.#committer, {
      store: () => this.#store,
      counted: () => this.#removals.counted,
      adopt: () => this.#adopt(),
      doubt: () => this.#doubt.raise(),
    });
  }

  #deferredMail(limits: NonNullable<ShardOptions["deferral"]>): DeferredMail {
    return new DeferredMail({
      ...limits,
      monoMs: () => this.#options.clock.monoMs(),
      filling: () => (this.#committer.fault === null ? this.#committer.filling : null),
      schedule: () => this.#committer.schedule(),
      gone: (token) => this.#events.onRemoved(this.index, [token]),
      remove: (key, token) => this.remove(key, token),
      reschedule: (key, attempts, dueMs) => this.reschedule(key, attempts, dueMs),
    });
  }

  /**
   * Opens the shard, making it when it does not exist.
   * @throws {Fault} `spool.unwritable` when the directory cannot be used, `spool.damaged` when what is there cannot be
   *   trusted; it is never replaced by an empty one.
   */
  static open(options: ShardOptions): Shard {
    return new Shard(options, openStore(options, options.check));
  }

  /** Rows of each shared body. */
  get refs(): BodyRefs {
    return this.#removals.refs;
  }

  get store(): ShardStore {
    return this.#store;
  }

  /** Why the shard takes no mail, null when it does. */
  get fault(): Fault | null {
    return this.#committer.fault;
  }

  /** Messages in it, as committed. */
  count(): number {
    return this.#store.count();
  }

  /** Keys for the recipients of one transaction: `count` consecutive ones; the first is returned. */
  newKeys(count: number): SpoolKey {
    const nowMs = this.#options.clock.steadyMs();
    const first = this.#keys.next(nowMs);
    for (let i = 1; i < count; i++) this.#keys.next(nowMs);
    return first;
  }

  /** Whether a transaction of this size may be kept in memory only. */
  canDefer(bytes: number): boolean {
    return this.deferred?.hasRoom(bytes) ?? false;
  }

  /**
   * Null when it was taken: then the waiter is called once, later, or from inside when it is deferred. The shard's fault when
   * it takes no mail: then the waiter is not called.
   */
  storeTransaction(transaction: NewTransaction, waiter: StoreWaiter): Fault | null {
    if (this.#committer.fault !== null) return this.#committer.fault;
    assert(!this.#committer.closed && transaction.recipients.length > 0, "a transaction is stored in an open shard");
    if (transaction.deferred && this.deferred !== null) {
      this.deferred.add(transaction);
      this.#committer.tellInOrder(waiter);
      return null;
    }
    const batch = this.#committer.filling;
    fillBatch(batch, transaction, this.#recent.enabled);
    batch.waiters.push(waiter);
    if (transaction.forceFlush) batch.forceFlush = true;
    this.#committer.schedule();
    return null;
  }

  /**
   * Reads a message for delivery. A damaged one is moved to quarantine on the spot (`onQuarantined`) and `damaged` is
   * returned; `failed` leaves it where it is.
   * @param alike a message whose content this one may share; it is not read again then.
   */
  read(key: SpoolKey, alike: SpooledMessage | null = null): SpooledMessage | Unreadable {
    const recent = this.deferred?.get(key) ?? this.#recent.get(key);
    if (recent !== undefined) return recent;
    if (this.#setAside.has(key)) return SET_ASIDE;
    const found = tryReadMessage(this.#store, key, alike);
    if (found.kind === "damaged" && !this.quarantine(key, found.reason)) {
      return { kind: "failed", reason: `damaged, and quarantine cannot be written: ${found.reason}` };
    }
    return found;
  }

  /** Stores other attempts and another due time (steady wall clock, ms) of a waiting message. Tried until it succeeds. */
  reschedule(key: SpoolKey, attempts: number, dueMs: number): void {
    if (this.deferred?.reschedule(key, attempts, dueMs) === true) return;
    this.#recent.delete(key);
    this.#reschedules.write(key, attempts, dueMs);
  }

  /**
   * Removes a settled message: its terminal record has been written. `token` (not 0) comes back in `onRemoved`; 0 for
   * nobody. Tried until it succeeds, also over `reopen`; removing what is gone succeeds.
   */
  remove(key: SpoolKey, token: number): void {
    if (this.deferred?.remove(key, token) === true) return;
    this.#reschedules.forget(key);
    if (this.#setAside.remove(key, token)) return;
    const recent = this.#recent.get(key);
    if (recent === undefined) {
      this.#removals.removeStored(key, token);
      return;
    }
    this.#recent.delete(key);
    this.#removals.remove(key, recent.bodyKey, (recent.flags & MessageFlag.sharedBody) !== 0, token);
  }

  /**
   * Begins the scan that a start needs; only one per opening. Until it is finished, rows of shared bodies are not
   * removed. `reportAfter`: only rows with greater keys are told, 0 for all.
   */
  replay(sink: ReplaySink, reportAfter: number): Replay {
    return new Replay(this, sink, reportAfter);
  }

  /**
   * Starts committing what waits now instead of at the end of the turn: for a worker that ends its turns itself. What was
   * moved to quarantine leaves the spool only with this call, which comes when its record is in the log.
   */
  commitNow(): void {
    this.#setAside.letGo();
    this.#committer.commitNow();
  }

  /**
   * Closes and opens the database again after a fault, and takes mail again; after a failed sync the file is rewritten
   * first. Other threads that read this shard must have closed their handles for LMDB itself to start afresh.
   * @throws {Fault} when it cannot be opened or rewritten; the shard takes no mail then, and the call may be repeated.
   */
  reopen(gate: SwapGate): Promise<void> {
    const reopening = this.#reopen(gate);
    this.#reopening = reopening.catch(() => {});
    return reopening;
  }

  async #reopen(gate: SwapGate): Promise<void> {
    await this.#compactor.idle();
    await this.#committer.idle();
    await this.#store.close();
    this.#store = openStore(this.#options, true);
    this.#recent.clear();
    if (this.#doubt.raised) {
      const { directory } = this.#compactor;
      const old = this.#store;
      const adopt = (): void => {
        this.#store = openStore(this.#options, false);
      };
      await rewrite({ store: old, directory, adopt, fail: () => {} }, gate);
      await old.close();
      this.#doubt.settle();
    }
    this.#committer.resume(this.#store);
    for (const [key, { attempts, dueMs }] of this.#reschedules.takeUnread()) this.reschedule(key, attempts, dueMs);
  }

  /** Something of the storage failed unseen: nothing is believed or taken until the shard is open again. */
  distrust(fault: Fault): void {
    if (this.#options.durability !== "flushed") this.#doubt.raise();
    this.#committer.distrust(fault);
  }

  /** Takes no mail before `reopen` when a sync of the file failed in an earlier life: the kernel may still hide it. */
  recallDoubt(): void {
    if (!this.#doubt.raised) return;
    this.#committer.distrust(new Fault("spool.commit-failed", "a sync of the spool failed before the last start"));
  }

  /** Gives the file's free pages back, in use: see `compaction.ts`. @throws {Fault} `spool.compaction`. */
  compact(gate: SwapGate): Promise<Compaction> {
    return this.#compactor.run(gate);
  }

  /** Another file lies in the place of the shard's. */
  #adopt(): void {
    const old = this.#store;
    this.#store = openStore(this.#options, false);
    this.#committer.replaceStore(this.#store);
    old.close().catch((error: unknown) => this.#events.onFault(this.index, commitFault("close", error)));
  }

  /** Memory is scarce (or not any more): nothing is kept there that is on disk, and what is not is stored. */
  tighten(tight: boolean): void {
    this.#recent.tighten(tight);
    this.deferred?.tighten(tight);
  }

  /** Stores what is in memory only, commits what waits, syncs, closes. Afterwards only `stats` may be asked for. */
  async close(): Promise<void> {
    await this.#reopening;
    this.deferred?.close();
    await this.#compactor.close();
    await this.#committer.close();
    await this.#store.close();
  }

  /** Copies an entry into quarantine, read no deeper than allowed; it leaves with `commitNow`. False: nothing was done. */
  quarantine(key: SpoolKey, reason: string, depth: Depth = "envelope"): boolean {
    return this.#setAside.quarantine(key, reason, depth);
  }

  /** Part of the replay. */
  removeOrphan(bodyKey: number): void {
    this.stats.orphans++;
    this.#removals.removeBody(bodyKey);
  }

  /** Part of the replay. */
  finished(): void {
    this.#removals.finished();
  }

  #readFailed(error: unknown): void {
    this.#events.onFault(this.index, commitFault("read", error));
  }

  #committed(batch: WriteBatch, tookMs: number): void {
    this.#compactor.committed(batch);
    for (let i = 0; i < batch.sharedBodies.length; i++) this.refs.set(batch.sharedBodies[i]!, batch.sharedCounts[i]!);
    for (const message of batch.recent) this.#recent.add(message);
    for (const hold of batch.holds) hold.drop();
    this.stats.commits++;
    this.stats.stored += batch.rowKeys.length;
    this.stats.removed += batch.removedRows.length;
    this.#events.onWritten(tookMs, batch.rowKeys.length);
  }
}
