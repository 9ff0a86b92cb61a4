/**
 * Lets so many things per second begin, evenly. What was missed is caught up, but never more than one second's worth.
 * Time comes from the caller, monotonic milliseconds.
 */
export class Pace {
  readonly #perMs: number;
  readonly #most: number;
  #saved = 1;
  #lastMs: number;

  /** @param perSecond above 0, fractions allowed. */
  constructor(perSecond: number, nowMs: number) {
    this.#perMs = perSecond / 1000;
    this.#most = Math.max(1, perSecond);
    this.#lastMs = nowMs;
  }

  /** Whether one may begin now; it is then counted. */
  take(nowMs: number): boolean {
    this.#saved = Math.min(this.#most, this.#saved + (nowMs - this.#lastMs) * this.#perMs);
    this.#lastMs = nowMs;
    if (this.#saved < 1) return false;
    this.#saved--;
    return true;
  }
}
