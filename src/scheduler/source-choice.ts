import type { PoolConfig } from "../config/compiled.js";

/** A pool's entries that have a weight, with what the weighted round robin needs of them. */
export interface Pool {
  readonly name: string;
  readonly sources: readonly string[];
  readonly weights: readonly number[];
}

/** Leaves out entries of weight 0: they count as absent (reference §6). */
export function compilePool(config: PoolConfig): Pool {
  const entries = config.entries.filter((entry) => entry.weight > 0);
  return {
    name: config.name,
    sources: entries.map((entry) => entry.name),
    weights: entries.map((entry) => entry.weight),
  };
}

/**
 * One queue's turn among the sources of its pool: weighted round robin (reference §6). The index advances with each
 * pick; on the wrap the current weight falls by the greatest common divisor of the weights, and starts again from the
 * greatest at 0; an entry is taken when its weight reaches the current one.
 *
 *     weights 4 2 1   →   a  a  a b  a b c  | a  a  a b  a b c
 */
export class WeightedTurn {
  #index = -1;
  #current = 0;

  /** The next entry whose `excluded` mark is 0, by index; −1 when none is left. */
  next(weights: readonly number[], excluded: Uint8Array): number {
    if (weights.length === 1) return excluded[0] === 0 ? 0 : -1;
    let greatest = 0;
    let divisor = 0;
    for (let i = 0; i < weights.length; i++) {
      if (excluded[i] !== 0) continue;
      if (weights[i] > greatest) greatest = weights[i];
      divisor = commonDivisor(weights[i], divisor);
    }
    if (greatest === 0) return -1;
    // Every round at a weight up to the greatest takes at least one entry, so this ends within two rounds.
    if (this.#current > greatest) this.#current = greatest;
    for (;;) {
      this.#index++;
      if (this.#index >= weights.length) {
        this.#index = 0;
        this.#current -= divisor;
      }
      if (this.#current <= 0) this.#current = greatest;
      if (excluded[this.#index] === 0 && weights[this.#index] >= this.#current) return this.#index;
    }
  }
}

function commonDivisor(a: number, b: number): number {
  while (b !== 0) {
    const rest = a % b;
    a = b;
    b = rest;
  }
  return a;
}
