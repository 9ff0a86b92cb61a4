import { assert } from "../../base/assert.js";
import type { SpoolKey } from "../../base/brands.js";
import type { Sentence } from "../../protocol/messages.js";
import type { DeferredMail } from "./deferred.js";

/** What became of a message that is to be set aside. */
export type SetAsideResult =
  /** It is in quarantine, and its removal is under way. */
  | "gone"
  /** It was neither in the spool nor in memory; its removal is confirmed all the same. */
  | "missing"
  /** It could not be moved: it and its body must stay, and the call is to be repeated. */
  | "stays";

/** What a shard does for {@link Sentenced}. */
export interface SentencedParts {
  /** The shard's mail in memory, null when it keeps none there. */
  readonly deferred: () => DeferredMail | null;
  /** Whether there is a row of this key. Throws what the storage throws. */
  readonly hasRow: (key: SpoolKey) => boolean;
  /** Told what the storage threw. */
  readonly failed: (error: unknown) => void;
  /** Moves an entry to quarantine, no deeper than allowed; false when that failed, which has been told. */
  readonly quarantine: (sentence: Sentence) => boolean;
  /** Has a row removed without looking at it, and `token` (0 for nobody) confirmed. */
  readonly removeRow: (key: SpoolKey, token: number) => void;
}

/**
 * The messages of one shard that workers died of: each goes to quarantine once, without anybody doing what they died of.
 *
 * Runs on: the owning worker. Owns: what was sentenced when the shard was opened, and what has been moved since.
 * When full: as few as there are sentences (`threads/strikes.ts` bounds them).
 * On failure: what cannot be moved stays in the spool, and the call may be repeated.
 */
export class Sentenced {
  readonly #parts: SentencedParts;
  readonly #sentences = new Map<SpoolKey, Sentence>();
  /** Those that have their record. */
  readonly #moved = new Set<SpoolKey>();
  /** Those that neither the scheduler knows nor a scan has met. */
  readonly #unmet = new Set<SpoolKey>();
  /** Those that have their terminal record, sentenced or not, and may still have a row. */
  #settled: ReadonlySet<number> = new Set();
  #isKnown: (key: SpoolKey) => boolean = () => false;

  constructor(parts: SentencedParts) {
    this.#parts = parts;
  }

  /**
   * What is known when the shard is opened; those of `settled` have their record, of an earlier worker, and merely go.
   * `isKnown`: whether the scheduler has a message, so that it asks for the removal itself.
   */
  begin(sentences: readonly Sentence[], settled: ReadonlySet<number>, isKnown: (key: SpoolKey) => boolean): void {
    this.#isKnown = isKnown;
    this.#settled = settled;
    for (const sentence of sentences) {
      this.#sentences.set(sentence.key, sentence);
      if (!isKnown(sentence.key)) this.#unmet.add(sentence.key);
    }
  }

  /** Whether the message was sentenced when the shard was opened. */
  has(key: SpoolKey): boolean {
    return this.#sentences.has(key);
  }

  /**
   * A scan has met a row that cannot be read. One that has its record already, because its worker died before it was
   * removed, is removed without another one; false for all others.
   */
  passOver(key: SpoolKey): boolean {
    if (!this.#settled.has(key)) return false;
    this.#parts.removeRow(key, 0);
    return true;
  }

  /** A scan has met this row, which is one of these. Its removal is confirmed with −key, unless the scheduler knows it. */
  meet(key: SpoolKey): SetAsideResult {
    const sentence = this.#sentences.get(key);
    assert(sentence !== undefined, "only what is sentenced is set aside by a scan");
    this.#unmet.delete(key);
    return this.setAside(sentence, this.#isKnown(key) ? 0 : -key);
  }

  /** The scan is over: those that had left the spool before it, without anybody having been told. */
  get leftBefore(): Iterable<SpoolKey> {
    return this.#unmet;
  }

  /** Moves a message to quarantine, once. */
  setAside(sentence: Sentence, token: number): SetAsideResult {
    const { key } = sentence;
    if (sentence.recorded || this.#settled.has(key)) this.#moved.add(key);
    let result: SetAsideResult = "gone";
    if (!this.#moved.has(key)) {
      result = this.#move(sentence);
      if (result === "stays") return result;
      this.#moved.add(key);
    }
    this.#parts.removeRow(key, token);
    return result;
  }

  #move(sentence: Sentence): SetAsideResult {
    const { deferred, hasRow, failed, quarantine } = this.#parts;
    const { key } = sentence;
    const memory = deferred();
    if (memory?.get(key) !== undefined) {
      memory.save(key);
      return "stays";
    }
    try {
      if (!hasRow(key)) return "missing";
    } catch (error) {
      failed(error);
      return "stays";
    }
    return quarantine(sentence) ? "gone" : "stays";
  }
}
