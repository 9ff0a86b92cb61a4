import type { Row, ShardIndex, SpoolKey } from "../../base/brands.js";
import type { SpooledMessage } from "../spool/envelope.js";

/** A message that the scheduler gave to a session: one recipient. */
export interface Assigned {
  readonly row: Row;
  readonly shard: ShardIndex;
  readonly key: SpoolKey;
  readonly attempts: number;
  /** The next one given is another recipient of the same message: both go into one transaction. */
  readonly more: boolean;
  /** As it was read for sending; null before. Kept by the host for its record. */
  loaded: SpooledMessage | null;
}

const NONE: readonly Assigned[] = [];

/**
 * What a session has in its hand: the recipients of the transaction under way, or of the next one, and those behind.
 *
 * Runs on: a worker, one per session. Owns: the order of what the scheduler gave, and which of it belongs together.
 * When full: the scheduler gives one transaction at a time. On failure: nothing can fail.
 *
 *     [a b c] batch │ d more→ e more→ f │ g more→ …        the batch is sent when its last one has come
 */
export class InHand {
  #batch: readonly Assigned[] = NONE;
  readonly #behind: Assigned[] = [];

  /** The first of all; undefined when there is none. */
  get first(): Assigned | undefined {
    return this.#batch[0] ?? this.#behind[0];
  }

  get length(): number {
    return this.#batch.length + this.#behind.length;
  }

  add(assigned: Assigned): void {
    this.#behind.push(assigned);
  }

  /** The recipients of the transaction under way, or of the next one; empty when it is not complete yet. */
  batch(): readonly Assigned[] {
    if (this.#batch.length > 0) return this.#batch;
    const behind = this.#behind;
    for (let i = 0; i < behind.length; i++) {
      if ((behind[i] as Assigned).more) continue;
      this.#batch = behind.splice(0, i + 1);
      return this.#batch;
    }
    return NONE;
  }

  /** Of the batch only these are left: they make the next transaction. The others are settled. */
  keep(left: readonly Assigned[]): void {
    this.#batch = left;
  }

  /** Takes everything, the last one first: so what goes back to the front of a queue one by one has its order again. */
  takeAll(): Assigned[] {
    const all = [...this.#batch, ...this.#behind.splice(0)];
    this.#batch = NONE;
    return all.reverse();
  }
}
