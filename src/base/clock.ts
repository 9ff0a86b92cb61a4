/**
 * Time comes from outside: every engine takes a `Clock`, so that tests and the simulation can crank it.
 *
 * Intervals are measured on the monotonic clock. Points in time that must survive a restart (a message's creation, its
 * due time, its expiry) use the *steady wall clock*: the wall clock as read at start plus monotonic time since, so that
 * a step of the system's clock neither expires nor wakes a queue full of mail. Time stamps that people read
 * (log records, headers) use the true wall clock.
 */
export interface Clock {
  /** Monotonic milliseconds with fractions; only differences mean something. */
  monoMs(): number;
  /** Steady wall clock: whole milliseconds since 1970, never stepping while the process runs. */
  steadyMs(): number;
  /** True wall clock: whole milliseconds since 1970, may step. */
  wallMs(): number;
}

/** The machine's clocks. */
export class SystemClock implements Clock {
  readonly #wallAtStart: number;
  readonly #monoAtStart: number;

  constructor() {
    this.#wallAtStart = Date.now();
    this.#monoAtStart = performance.now();
  }

  monoMs(): number {
    return performance.now();
  }

  steadyMs(): number {
    return this.#wallAtStart + Math.floor(performance.now() - this.#monoAtStart);
  }

  wallMs(): number {
    return Date.now();
  }
}

/** A clock that moves only when told; `step` moves the wall alone, as an operator's `date -s` does. */
export class ManualClock implements Clock {
  #mono = 0;
  #wallOffset: number;
  readonly #steadyOffset: number;

  /** @param startMs the wall clock at the start, milliseconds since 1970. */
  constructor(startMs = 1_800_000_000_000) {
    this.#wallOffset = startMs;
    this.#steadyOffset = startMs;
  }

  monoMs(): number {
    return this.#mono;
  }

  steadyMs(): number {
    return this.#steadyOffset + Math.floor(this.#mono);
  }

  wallMs(): number {
    return this.#wallOffset + Math.floor(this.#mono);
  }

  /** Lets `ms` milliseconds pass; never negative. */
  advance(ms: number): void {
    this.#mono += Math.max(0, ms);
  }

  /** Steps the wall clock by `ms`, forward or back, without time passing. */
  step(ms: number): void {
    this.#wallOffset += ms;
  }
}
