import { setImmediate as nextTurn } from "node:timers/promises";
import { assert } from "../../base/assert.js";
import type { SpoolKey } from "../../base/brands.js";
import { errnoOf, Fault, messageOf } from "../../base/fault.js";
import { MessageFlag } from "../../protocol/message-flag.js";
import type { BodyRefs } from "./body-refs.js";
import { RowHeader, readHeader, readQueue } from "./row-codec.js";
import type { Sentenced } from "./sentenced.js";
import type { Entry, ShardStore } from "./shard-store.js";

/** Whoever wants to know the rows of a shard: the worker, which sends them to the scheduler. */
export interface ReplaySink {
  /** A row that workers died of is about to be moved to quarantine. */
  onSetAside?(key: SpoolKey): void;
  /** A row is about to be taken apart. */
  onBegin?(key: SpoolKey): void;
  /** One waiting message. `dueMs` is steady wall clock, 0 for at once; `nth` its place among those that share its body. */
  onRow(key: SpoolKey, queue: string, size: number, attempts: number, dueMs: number, nth: number): void;
}

/** What the scan changes in its shard. */
export interface ReplayTarget {
  readonly store: ShardStore;
  readonly refs: BodyRefs;
  /** Moves a row that cannot be trusted out of the spool. */
  quarantine(key: SpoolKey, reason: string): void;
  readonly sentenced: Sentenced;
  /** Removes a body that no row mentions. */
  removeOrphan(bodyKey: number): void;
  /** The scan is over: the counts of shared bodies are complete. */
  finished(): void;
}

/**
 * The scan of one shard at start, in steps: tells every row that was there when it began, counts the rows of shared
 * bodies, quarantines what is damaged, removes bodies without rows. Mail may be received meanwhile: its keys are greater.
 *
 *     rows    k1 k2 k3 │ k4 …        one step takes the next rows and the bodies up to the last row's key,
 *     bodies  k1    k3 │ k4 …        from one snapshot, so both agree
 *
 * Runs on: the owning worker. Owns: its place in the scan, and the bodies seen whose rows are still to come.
 * When full: a step takes as many rows as its caller has room for.
 * On failure: a damaged row is set aside and the scan goes on; what the storage throws ends it as a fault.
 */
export class Replay {
  readonly #target: ReplayTarget;
  readonly #sink: ReplaySink;
  readonly #reportAfter: number;
  readonly #last: number;
  readonly #expected: number;
  readonly #header = new RowHeader();
  /** Bodies whose own row is gone: the rows of other recipients follow, or they are orphans. */
  readonly #unclaimed = new Set<number>();
  #at = 0;
  #finished = false;
  /** Rows told to the sink. */
  reported = 0;
  /** Rows read. */
  rows = 0;
  quarantined = 0;
  orphans = 0;

  /** @param reportAfter only rows with greater keys are told, 0 for all; all are counted. */
  constructor(target: ReplayTarget, sink: ReplaySink, reportAfter: number) {
    this.#target = target;
    this.#sink = sink;
    this.#reportAfter = reportAfter;
    target.store.refresh();
    this.#last = target.store.lastKey();
    this.#expected = target.store.count();
  }

  /** Rows that were there when the scan began. */
  get expected(): number {
    return this.#expected;
  }

  get finished(): boolean {
    return this.#finished;
  }

  /**
   * Reads at most `max` rows (at least 1); returns true when the scan is over.
   * @throws {Fault} `spool.damaged` when the storage cannot be read.
   */
  step(max: number): boolean {
    assert(max > 0, "a replay step reads at least one row");
    if (this.#finished) return true;
    const { entries, through, bodies } = this.#next(max);
    this.#at = through;
    let next = 0;
    for (const entry of entries) {
      while (next < bodies.length && bodies[next]! < entry.key) this.#unclaimed.add(bodies[next++]!);
      const hasBody = bodies[next] === entry.key;
      if (hasBody) next++;
      this.#row(entry, hasBody);
    }
    while (next < bodies.length) this.#unclaimed.add(bodies[next++]!);
    if (through < this.#last) return false;
    this.#finish();
    return true;
  }

  /** Runs to the end, `rowsPerTurn` at a time, with event turns in between. */
  async run(rowsPerTurn: number): Promise<void> {
    while (!this.step(rowsPerTurn)) await nextTurn();
  }

  #next(max: number): { entries: Entry[]; through: number; bodies: number[] } {
    const store = this.#target.store;
    try {
      const entries = store.rows(this.#at, this.#last, max);
      const through = entries.length < max ? this.#last : entries[entries.length - 1]!.key;
      return { entries, through, bodies: store.bodyKeys(this.#at, through) };
    } catch (error) {
      throw new Fault("spool.damaged", `the spool cannot be read beyond key ${this.#at}: ${messageOf(error)}`, {
        errno: errnoOf(error),
        cause: error,
      });
    }
  }

  #row(entry: Entry, hasBody: boolean): void {
    this.rows++;
    const header = this.#header;
    const key = entry.key as SpoolKey;
    const { sentenced } = this.#target;
    if (sentenced.has(key)) {
      // Before anything is done about it: what kills here is this row, not the one before it.
      this.#sink.onSetAside?.(key);
      const aside = sentenced.meet(key);
      // Other rows, which follow, may have a share in its body.
      if (aside === "gone") this.quarantined++;
      if (hasBody && aside === "gone") this.#unclaimed.add(key);
      if (hasBody && aside === "stays") this.#target.refs.add(key);
      return;
    }
    this.#sink.onBegin?.(key);
    let wrong = readHeader(entry.value, header);
    const shared = (header.flags & MessageFlag.sharedBody) !== 0;
    if (wrong === null && !this.#bodyExists(header.bodyKey, key, hasBody)) wrong = "the body is missing";
    if (wrong !== null) {
      // A body under the row's own key may still be shared by sound rows; if not, it is an orphan at the end.
      if (!sentenced.passOver(key)) {
        this.#target.quarantine(key, wrong);
        this.quarantined++;
      }
      if (hasBody) this.#unclaimed.add(key);
      return;
    }
    if (shared) {
      this.#target.refs.add(header.bodyKey);
      this.#unclaimed.delete(header.bodyKey);
    }
    if (key <= this.#reportAfter) return;
    this.reported++;
    const { size, attempts, dueMs, bodyKey } = header;
    this.#sink.onRow(key, readQueue(entry.value, header), size, attempts, dueMs, key - bodyKey);
  }

  #bodyExists(bodyKey: number, key: number, hasBody: boolean): boolean {
    if (bodyKey === key) return hasBody;
    return this.#unclaimed.has(bodyKey) || this.#target.refs.has(bodyKey);
  }

  #finish(): void {
    this.#finished = true;
    for (const bodyKey of this.#unclaimed) {
      this.orphans++;
      this.#target.removeOrphan(bodyKey);
    }
    this.#unclaimed.clear();
    this.#target.finished();
  }
}
