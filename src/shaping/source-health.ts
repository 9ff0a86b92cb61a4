import type { SuspendRule } from "../config/compiled.js";

/** Parts of the period that failures are counted in: they leave the count at most a sixtieth of it too late. */
const BUCKETS = 60;

/** How often something happened in the last period: a ring of counts, one per sixtieth of the period. */
export class RollingCount {
  readonly #bucketMs: number;
  readonly #counts = new Float64Array(BUCKETS);
  #newest = Number.NEGATIVE_INFINITY;

  constructor(periodMs: number) {
    this.#bucketMs = Math.max(1, periodMs / BUCKETS);
  }

  /** Counts one at that time; returns how many there are in the period that ends then. */
  add(nowMs: number): number {
    this.#turnTo(nowMs);
    (this.#counts[this.#newest % BUCKETS] as number)++;
    return this.#counts.reduce((sum, count) => sum + count, 0);
  }

  clear(): void {
    this.#counts.fill(0);
  }

  #turnTo(nowMs: number): void {
    const bucket = Math.floor(nowMs / this.#bucketMs);
    if (bucket - this.#newest >= BUCKETS) this.#counts.fill(0);
    else for (let old = this.#newest + 1; old <= bucket; old++) this.#counts[old % BUCKETS] = 0;
    this.#newest = Math.max(this.#newest, bucket);
  }
}

/** Failures that follow a rule: the source is out of use for a while when there are too many. */
export class HealthRule {
  readonly rule: SuspendRule;
  readonly #failures: RollingCount;

  constructor(rule: SuspendRule) {
    this.rule = rule;
    this.#failures = new RollingCount(rule.periodMs);
  }

  /** A failure. Returns until when the source is to be suspended; 0 when the rule does not say so (yet). */
  failed(nowMs: number): number {
    if (this.#failures.add(nowMs) < this.rule.failures) return 0;
    // Whether it is well again is seen afterwards, from the beginning.
    this.#failures.clear();
    return nowMs + this.rule.durationMs;
  }
}
