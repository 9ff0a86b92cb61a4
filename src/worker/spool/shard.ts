import { assert } from "../../base/assert.js";
import type { ShardIndex, SpoolKey } from "../../base/brands.js";
import { Fault } from "../../base/fault.js";
import { MessageFlag } from "../../protocol/message-flag.js";
import { SpoolKeys } from "../../protocol/message-id.js";
import type { Depth } from "../../protocol/messages.js";
import { BodyRefs } from "./body-refs.js";
import { Committer, commitFault } from "./committer.js";
import type { Compaction } from "./compaction.js";
import { Compactor } from "./compactor.js";
import { DeferredMail } from "./deferred.js";
import { shardDirectory } from "./directories.js";
import type { Envelope, SpooledMessage, Unreadable } from "./envelope.js";
import { fillBatch } from "./fill-batch.js";
import { openStore } from "./open-store.js";
import { writeQuarantine } from "./quarantine.js";
import { tryReadMessage } from "./read-message.js";
import { RecentMessages } from "./recent.js";
import { Replay, type ReplaySink, type ReplayTarget } from "./replay.js";
import { patchRow, RowHeader, readEnvelope, readHeader } from "./row-codec.js";
import { Sentenced } from "./sentenced.js";
import type { ShardEvents, ShardOptions, ShardStats } from "./shard-options.js";
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
 * Runs on: the worker that owns the shard. Owns: the LMDB environment for writing, counts of shared bodies, recent mail.
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
  readonly refs = new BodyRefs();
  readonly stats: ShardStats = {
    commits: 0,
    stored: 0,
    removed: 0,
    quarantined: 0,
    orphans: 0,
    failedCommits: 0,
    forcedFlushes: 0,
  };
  readonly #committer: Committer;
  /** Mail in memory only; null in the other modes. */
  readonly deferred: DeferredMail | null;
  #store: ShardStore;
  /** False until a replay has counted the rows of shared bodies. */
  #counted: boolean;
  readonly #compactor: Compactor;
  /** What is in quarantine and still in the spool, until its record is in the log. */
  readonly #setAside = new Map<SpoolKey, { bodyKey: number; shared: boolean; rowOnly: boolean; token: number }>();
  /** Attempts and due times of rows that could not be read when they were to be stored: tried again after `reopen`. */
  readonly #unread = new Map<SpoolKey, { attempts: number; dueMs: number }>();
  /** Removals of rows with shared bodies that came before the counts were complete. */
  #held: { key: SpoolKey; bodyKey: number; token: number }[] = [];
  /** Messages that workers died of. */
  readonly sentenced = new Sentenced({
    deferred: () => this.deferred,
    hasRow: (key) => this.#store.row(key) !== undefined,
    failed: (error) => this.#events.onFault(this.index, commitFault("read", error)),
    quarantine: ({ key, reason, depth }) => this.quarantine(key, reason, depth),
    removeRow: (key, token) => {
      const aside = this.#setAside.get(key);
      if (aside === undefined) this.#removeRow(key, token);
      else if (token !== 0) aside.token = token;
    },
  });

  private constructor(options: ShardOptions, store: ShardStore) {
    this.#options = options;
    this.#events = options.events;
    this.index = options.shard;
    this.#recent = new RecentMessages(options.recentBytes);
    this.#store = store;
    const last = store.lastKey();
    this.#keys = new SpoolKeys(Math.max(last, options.newest ?? 0));
    this.#counted = last === 0;
    this.#committer = new Committer(store, options.durability === "flushed", options.syncIntervalMs, {
      onCommitted: (batch, tookMs) => this.#committed(batch, tookMs),
      onSynced: (tookMs, forced) => {
        if (forced) this.stats.forcedFlushes++;
        this.#events.onWritten(tookMs, -1);
      },
      onRemoved: (tokens) => this.#events.onRemoved(this.index, tokens),
      onBatch: () => this.#events.onBatch(this.index),
      onFault: (fault) => {
        this.stats.failedCommits = this.#committer.failures;
        this.#events.onFault(this.index, fault);
      },
    });
    const { deferral, durability } = options;
    this.deferred = durability === "deferred" && deferral !== undefined ? this.#deferredMail(deferral) : null;
    this.#compactor = new Compactor(shardDirectory(options.spoolPath, options.shard), this.#committer, {
      store: () => this.#store,
      counted: () => this.#counted,
      adopt: () => this.#adopt(),
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
   */
  read(key: SpoolKey): SpooledMessage | Unreadable {
    const recent = this.deferred?.get(key) ?? this.#recent.get(key);
    if (recent !== undefined) return recent;
    if (this.#setAside.has(key)) return SET_ASIDE;
    const found = tryReadMessage(this.#store, key);
    if (found.kind === "damaged" && !this.quarantine(key, found.reason)) {
      return { kind: "failed", reason: `damaged, and quarantine cannot be written: ${found.reason}` };
    }
    return found;
  }

  /** Stores other attempts and another due time (steady wall clock, ms) of a waiting message. Tried until it succeeds. */
  reschedule(key: SpoolKey, attempts: number, dueMs: number): void {
    if (this.deferred?.reschedule(key, attempts, dueMs) === true) return;
    this.#recent.delete(key);
    let row: Buffer | undefined;
    try {
      row = this.#store.row(key);
    } catch (error) {
      this.#unread.set(key, { attempts, dueMs });
      this.#events.onFault(this.index, commitFault("read", error));
      return;
    }
    if (row === undefined || this.#setAside.has(key)) return;
    const wrong = readHeader(row, this.#header);
    if (wrong !== null) {
      this.quarantine(key, wrong);
      return;
    }
    patchRow(row, attempts, dueMs);
    this.#committer.filling.patchedKeys.push(key);
    this.#committer.filling.patchedRows.push(row);
    this.#committer.schedule();
  }

  /**
   * Removes a settled message: its terminal record has been written. `token` (not 0) comes back in `onRemoved`; 0 for
   * nobody. Tried until it succeeds, also over `reopen`; removing what is gone succeeds.
   */
  remove(key: SpoolKey, token: number): void {
    if (this.deferred?.remove(key, token) === true) return;
    this.#unread.delete(key);
    const aside = this.#setAside.get(key);
    if (aside !== undefined) {
      if (token !== 0) aside.token = token;
      return;
    }
    let bodyKey: number = key;
    let shared = false;
    const recent = this.#recent.get(key);
    if (recent !== undefined) {
      bodyKey = recent.bodyKey;
      shared = (recent.flags & MessageFlag.sharedBody) !== 0;
      this.#recent.delete(key);
    } else if (!this.#counted || this.refs.size > 0) {
      const row = this.#tryRow(key);
      if (row !== null && readHeader(row, this.#header) === null) {
        bodyKey = this.#header.bodyKey;
        shared = (this.#header.flags & MessageFlag.sharedBody) !== 0;
      } else shared = this.refs.has(key);
    }
    if (shared && !this.#counted) this.#held.push({ key, bodyKey, token });
    else this.#remove(key, bodyKey, shared, token);
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
    for (const [key, { bodyKey, shared, rowOnly, token }] of this.#setAside) {
      if (rowOnly) this.#removeRow(key, token);
      else this.#remove(key, bodyKey, shared, token);
    }
    this.#setAside.clear();
    this.#committer.commitNow();
  }

  /**
   * Closes and opens the database again after a fault, and takes mail again. Other threads that read this shard must
   * have closed their handles for LMDB itself to start afresh.
   * @throws {Fault} when it cannot be opened; the shard stays as it was, and the call may be repeated.
   */
  async reopen(): Promise<void> {
    await this.#compactor.idle();
    await this.#committer.idle();
    await this.#store.close();
    this.#store = openStore(this.#options, true);
    this.#recent.clear();
    this.#committer.resume(this.#store);
    const unread = [...this.#unread];
    this.#unread.clear();
    for (const [key, { attempts, dueMs }] of unread) this.reschedule(key, attempts, dueMs);
  }

  /** Something of the storage failed unseen: nothing is believed or taken until the shard is open again. */
  distrust(fault: Fault): void {
    this.#committer.distrust(fault);
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
    this.deferred?.close();
    await this.#compactor.close();
    await this.#committer.close();
    await this.#store.close();
  }

  /** Copies an entry into quarantine, read no deeper than allowed; it leaves with `commitNow`. False: nothing was done. */
  quarantine(key: SpoolKey, reason: string, depth: Depth = "envelope"): boolean {
    if (this.#setAside.has(key)) return true;
    let bodyKey: number = key;
    let shared = false;
    let envelope: Envelope | null = null;
    try {
      const row = this.#store.row(key);
      if (row !== undefined && depth !== "bytes" && readHeader(row, this.#header) === null) {
        if (depth === "envelope") envelope = readEnvelope(row, this.#header);
        bodyKey = this.#header.bodyKey;
        shared = (this.#header.flags & MessageFlag.sharedBody) !== 0;
      } else shared = !this.#counted || this.refs.has(key);
      writeQuarantine(this.#options.spoolPath, this.index, key, row, this.#store.body(bodyKey));
    } catch (error) {
      this.#events.onFault(this.index, error instanceof Fault ? error : commitFault("quarantine", error));
      return false;
    }
    this.stats.quarantined++;
    this.#recent.delete(key);
    // Before the counts are complete a body that may be shared is left to the end of the replay, which did not count this row.
    this.#setAside.set(key, { bodyKey, shared, rowOnly: shared && !this.#counted, token: 0 });
    this.#events.onQuarantined(this.index, key, reason, envelope);
    return true;
  }

  /** Part of the replay. */
  removeOrphan(bodyKey: number): void {
    this.stats.orphans++;
    this.#committer.filling.removedBodies.push(bodyKey);
    this.#committer.schedule();
  }

  /** Part of the replay. */
  finished(): void {
    this.#counted = true;
    for (const { key, bodyKey, token } of this.#held.splice(0)) this.#remove(key, bodyKey, true, token);
  }

  #remove(key: SpoolKey, bodyKey: number, shared: boolean, token: number): void {
    if (!shared || this.refs.release(bodyKey)) this.#committer.filling.removedBodies.push(bodyKey);
    this.#removeRow(key, token);
  }

  #removeRow(key: SpoolKey, token: number): void {
    if (token !== 0) this.#committer.filling.tokens.push(token);
    this.#committer.filling.removedRows.push(key);
    this.#committer.schedule();
  }

  #tryRow(key: SpoolKey): Buffer | null {
    try {
      return this.#store.row(key) ?? null;
    } catch (error) {
      this.#events.onFault(this.index, commitFault("read", error));
      return null;
    }
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
