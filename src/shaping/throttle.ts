import type { Rate } from "../base/units.js";

const SECOND_US = 1_000_000;
/** Waits below this are the rounding of fractions of a microsecond, not waits. */
const ROUNDING_US = 0.01;

/**
 * One rate, kept by GCRA (the generic cell rate algorithm): tokens come at even intervals, and `max_burst` of them may be
 * saved up. All that is stored is the point in time at which it will be full again.
 *
 *     interval = period / quantity          a token is there when   now ≥ max(full, now) + interval − interval × burst
 *
 * Times are microseconds of any clock that never steps; fractions are kept, so that 7/min is neither 8 s nor 9 s apart.
 */
export class Throttle {
  readonly key: string;
  readonly intervalUs: number;
  readonly burst: number;
  /** Holders of this throttle; kept by {@link ThrottleBook}. */
  holders = 0;
  #fullUs = Number.NEGATIVE_INFINITY;

  constructor(key: string, rate: Rate) {
    this.key = key;
    this.intervalUs = (rate.periodSeconds * SECOND_US) / rate.quantity;
    this.burst = rate.maxBurst;
  }

  /** Microseconds until one token is there, 0 when it is. Takes nothing. */
  waitUs(nowUs: number): number {
    const waitUs = Math.max(this.#fullUs, nowUs) + this.intervalUs * (1 - this.burst) - nowUs;
    return waitUs < ROUNDING_US ? 0 : waitUs;
  }

  /** Takes one token, which is there: see {@link waitUs}. */
  take(nowUs: number): void {
    this.#fullUs = Math.max(this.#fullUs, nowUs) + this.intervalUs;
  }

  /** Whether nothing has to be remembered of it: as good as a new one. */
  isFull(nowUs: number): boolean {
    return this.#fullUs <= nowUs;
  }
}

/** Takes one token of each, or, when one has none, of none. Returns the microseconds until all have one, 0 when taken. */
export function takeAll(throttles: readonly Throttle[], nowUs: number): number {
  let longestUs = 0;
  for (let i = 0; i < throttles.length; i++) longestUs = Math.max(longestUs, throttles[i]!.waitUs(nowUs));
  if (longestUs > 0) return longestUs;
  for (let i = 0; i < throttles.length; i++) throttles[i]!.take(nowUs);
  return 0;
}

/** Throttles that nobody holds are looked through when so many have come together, and at each doubling. */
const FIRST_PURGE = 1024;

/**
 * What it is:  all throttles by name and rate, so that whoever names the same one shares it.
 * Runs on:     wherever its owner runs.
 * Owns:        the throttles.
 * When full:   as many as are held, and those that are not and have not filled up again; a full one is as good as new.
 * On failure:  nothing can fail.
 *
 * A throttle's key contains its rate: one whose rate is changed starts afresh (reference §19).
 */
export class ThrottleBook {
  readonly #byKey = new Map<string, Throttle>();
  #purgeAt = FIRST_PURGE;

  get size(): number {
    return this.#byKey.size;
  }

  /** The throttle of that name and rate, held until it is released. */
  hold(name: string, rate: Rate, nowUs: number): Throttle {
    const key = `${name}:${rate.quantity}:${rate.maxBurst}:${rate.periodSeconds}`;
    let throttle = this.#byKey.get(key);
    if (throttle === undefined) {
      if (this.#byKey.size >= this.#purgeAt) this.#purge(nowUs);
      throttle = new Throttle(key, rate);
      this.#byKey.set(key, throttle);
    }
    throttle.holders++;
    return throttle;
  }

  /** A holder needs it no more. Its tokens are remembered until it is full: to let go is no way to new ones. */
  release(throttle: Throttle, nowUs: number): void {
    throttle.holders--;
    if (throttle.holders === 0 && throttle.isFull(nowUs)) this.#byKey.delete(throttle.key);
  }

  #purge(nowUs: number): void {
    for (const throttle of this.#byKey.values()) {
      if (throttle.holders === 0 && throttle.isFull(nowUs)) this.#byKey.delete(throttle.key);
    }
    this.#purgeAt = Math.max(FIRST_PURGE, 2 * this.#byKey.size);
  }
}
