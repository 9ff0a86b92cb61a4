import type { Clock } from "../base/clock.js";

interface Entry<T> {
  readonly value: T;
  readonly expiresMonoMs: number;
}

/** Answers by question, each until its time is up; when full, the one that has not been asked for longest goes. */
export class TtlCache<T> {
  readonly #entries = new Map<string, Entry<T>>();
  readonly #clock: Clock;
  readonly #capacity: number;

  /** @param capacity most entries, at least 1. */
  constructor(clock: Clock, capacity: number) {
    this.#clock = clock;
    this.#capacity = capacity;
  }

  /** How many entries are held, expired ones included. */
  get size(): number {
    return this.#entries.size;
  }

  /** The value and the milliseconds that it still holds, or undefined. */
  get(key: string): { readonly value: T; readonly leftMs: number } | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    const leftMs = entry.expiresMonoMs - this.#clock.monoMs();
    this.#entries.delete(key);
    if (leftMs <= 0) return undefined;
    // A map keeps the order of insertion: what was asked for last stands last.
    this.#entries.set(key, entry);
    return { value: entry.value, leftMs };
  }

  /** Keeps a value for `ttlMs`. */
  set(key: string, value: T, ttlMs: number): void {
    this.#entries.delete(key);
    if (this.#entries.size >= this.#capacity) {
      const oldest = this.#entries.keys().next();
      if (oldest.done !== true) this.#entries.delete(oldest.value);
    }
    this.#entries.set(key, { value, expiresMonoMs: this.#clock.monoMs() + ttlMs });
  }

  /** Forgets everything. */
  clear(): void {
    this.#entries.clear();
  }
}
