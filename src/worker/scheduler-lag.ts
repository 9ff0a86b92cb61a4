/** What a lag is measured at: the worker's end of its up ring. */
export interface MarkedRing {
  /** How far frames are published. */
  readonly mark: number;
  /** Whether the scheduler has read everything before a mark. */
  passed(mark: number): boolean;
}

/**
 * Longest time that published frames may wait to be read. A turn of the scheduler reads a thousand of each worker and takes
 * milliseconds, so this is hundreds of turns late; a client's patience, and a ring of 1 MiB at full load, last longer.
 */
export const MAX_LAG_MS = 2000;

/**
 * Whether the scheduler leaves this worker's frames unread for too long. Each look checks a mark: as long as the reader has
 * not passed it, the frames before it wait.
 *
 * Runs on: a worker. Owns: one mark and its time. When full, on failure: nothing grows, nothing can fail.
 */
export class SchedulerLag {
  readonly #ring: MarkedRing;
  #mark: number;
  #sinceMs: number;
  #lagging = false;

  constructor(ring: MarkedRing, nowMs: number) {
    this.#ring = ring;
    this.#mark = ring.mark;
    this.#sinceMs = nowMs;
  }

  /** As of the last look. It ends when a mark was passed in time again. */
  get lagging(): boolean {
    return this.#lagging;
  }

  /** Looks; a few times a second, monotonic ms. */
  look(nowMs: number): void {
    const late = nowMs - this.#sinceMs > MAX_LAG_MS;
    if (!this.#ring.passed(this.#mark)) {
      if (late) this.#lagging = true;
      return;
    }
    // When it was passed is not known: a thread that stood still itself must not take that for the scheduler's lag.
    if (!late) this.#lagging = false;
    this.#mark = this.#ring.mark;
    this.#sinceMs = nowMs;
  }
}
