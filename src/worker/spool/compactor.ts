import { Fault } from "../../base/fault.js";
import type { Committer } from "./committer.js";
import { type Compaction, type CompactionTarget, compact, type TouchedKeys } from "./compaction.js";
import type { ShardStore } from "./shard-store.js";
import type { SwapGate } from "./swap-gate.js";
import type { WriteBatch } from "./write-batch.js";

/** What a compactor asks of its shard. */
export interface Compactable {
  store(): ShardStore;
  /** Whether the scan at start is over. */
  counted(): boolean;
  /** Opens the shard's directory anew and works with that. @throws {Fault} */
  adopt(): void;
  /** Whether its file's name is on disk is not known. */
  doubt(): void;
}

/**
 * A shard's compactions: one at a time, and none when the shard is not well.
 *
 * Runs on: the owning worker. Owns: the compaction under way, and the keys that commits change meanwhile.
 * When full: a second one is refused. On failure: the fault says why; the shard goes on with the file that it has.
 */
export class Compactor implements CompactionTarget {
  readonly directory: string;
  readonly #committer: Committer;
  readonly #shard: Compactable;
  #running: Promise<void> | null = null;
  #touched: TouchedKeys | null = null;
  #closing = false;

  constructor(directory: string, committer: Committer, shard: Compactable) {
    this.directory = directory;
    this.#committer = committer;
    this.#shard = shard;
  }

  /** A batch was committed. */
  committed(batch: WriteBatch): void {
    this.#touched?.add(batch);
  }

  /** @throws {Fault} `spool.compaction`. */
  async run(gate: SwapGate): Promise<Compaction> {
    if (this.#running !== null) throw new Fault("spool.compaction", "a compaction is under way");
    if (!this.#shard.counted()) throw new Fault("spool.compaction", "the shard is still being loaded");
    const obstacle = this.obstacle();
    if (obstacle !== null) throw obstacle;
    const run = compact(this, gate);
    const over = (): void => {
      this.#running = null;
    };
    this.#running = run.then(over, over);
    return run;
  }

  /** Resolves when none is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }

  /** Ends the one under way at its next step and begins no other. */
  async close(): Promise<void> {
    this.#closing = true;
    await this.#running;
  }

  // ── what a compaction asks ───────────────────────────────────────────────────────────────────────────────────────

  get store(): ShardStore {
    return this.#shard.store();
  }

  obstacle(): Fault | null {
    if (this.#closing) return new Fault("spool.compaction", "the shard is being closed");
    const { fault } = this.#committer;
    return fault === null ? null : new Fault("spool.compaction", fault.message, { errno: fault.errno, cause: fault });
  }

  track(touched: TouchedKeys | null): void {
    this.#touched = touched;
  }

  hold(): Promise<void> {
    return this.#committer.hold();
  }

  release(): void {
    this.#committer.release();
  }

  adopt(): void {
    this.#shard.adopt();
  }

  fail(fault: Fault): void {
    this.#shard.doubt();
    this.#committer.distrust(fault);
  }
}
