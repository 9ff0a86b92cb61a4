import type { Fault } from "../../base/fault.js";
import type { Hold } from "../../base/hold.js";
import type { SpooledMessage } from "./envelope.js";

/** Whoever waits for a transaction to be stored. */
export interface StoreWaiter {
  /**
   * Called once: null when every recipient of the transaction is as durable as was asked for; else why nothing of it was
   * kept. It is called from the shard's walk over a whole batch: write replies to buffers here, flush them in `onBatch`.
   */
  onStored(fault: Fault | null): void;
}

/**
 * What one LMDB transaction writes: parallel lists, so that a message costs no objects of its own. Two of them take
 * turns: one is being committed while the other fills.
 */
export class WriteBatch {
  /** New bodies, and new rows in rising order of their keys. */
  readonly bodyKeys: number[] = [];
  readonly bodies: Buffer[] = [];
  readonly rowKeys: number[] = [];
  readonly rows: Buffer[] = [];
  /** Rows written anew with other attempts and another due time. */
  readonly patchedKeys: number[] = [];
  readonly patchedRows: Buffer[] = [];
  /** Rows and bodies that go. */
  readonly removedRows: number[] = [];
  readonly removedBodies: number[] = [];

  /** One per transaction that is stored. */
  readonly waiters: StoreWaiter[] = [];
  /** One per transaction that was promised already, in memory, and is only now written. */
  readonly spills: StoreWaiter[] = [];
  /** Those whose mail is in memory only and must not be announced before the mail of {@link waiters}, which is older. */
  readonly behind: StoreWaiter[] = [];
  /** One per removal that somebody wants to hear of. */
  readonly tokens: number[] = [];
  /** Memory of contents that is used until the batch is written. */
  readonly holds: Hold[] = [];
  /** What the recent messages take up when the batch is good; empty when they are switched off. */
  readonly recent: SpooledMessage[] = [];
  /** Key and recipients of each new body that has several. */
  readonly sharedBodies: number[] = [];
  readonly sharedCounts: number[] = [];
  /** Somebody in this batch wants a flush although the server's mode does without. */
  forceFlush = false;

  get empty(): boolean {
    return (
      this.rowKeys.length === 0 &&
      this.patchedKeys.length === 0 &&
      this.removedRows.length === 0 &&
      this.removedBodies.length === 0
    );
  }

  /** Somebody waits for this batch: it holds mail that is to be stored. */
  get urgent(): boolean {
    return this.rowKeys.length > 0;
  }

  /** Forgets the stores: their waiters were told that they failed. */
  clearStores(): void {
    this.bodyKeys.length = 0;
    this.bodies.length = 0;
    this.rowKeys.length = 0;
    this.rows.length = 0;
    this.waiters.length = 0;
    this.spills.length = 0;
    this.behind.length = 0;
    // Those of a batch that failed are left to the collector.
    this.holds.length = 0;
    this.recent.length = 0;
    this.sharedBodies.length = 0;
    this.sharedCounts.length = 0;
    this.forceFlush = false;
  }

  /** Forgets everything; the lists keep their room. */
  clear(): void {
    this.clearStores();
    this.patchedKeys.length = 0;
    this.patchedRows.length = 0;
    this.removedRows.length = 0;
    this.removedBodies.length = 0;
    this.tokens.length = 0;
  }

  /** Puts the removals and patches of a failed batch before those of this one: they are tried again, in order. */
  takeBack(failed: WriteBatch): void {
    prepend(this.patchedKeys, failed.patchedKeys);
    prepend(this.patchedRows, failed.patchedRows);
    prepend(this.removedRows, failed.removedRows);
    prepend(this.removedBodies, failed.removedBodies);
    prepend(this.tokens, failed.tokens);
  }
}

function prepend<T>(list: T[], before: readonly T[]): void {
  const own = list.splice(0);
  for (const item of before) list.push(item);
  for (const item of own) list.push(item);
}
