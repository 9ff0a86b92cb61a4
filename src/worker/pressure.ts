import type { SharedState } from "../protocol/layout/shared-state.js";
import { Counter } from "../protocol/metrics.js";
import { Relief, type Shrinkable } from "./relief.js";
import { type MarkedRing, SchedulerLag } from "./scheduler-lag.js";

/** What a worker looks at a few times a second for the sake of the whole process. */
export interface PressureParts {
  readonly shared: SharedState;
  readonly counters: Float64Array;
  readonly ring: MarkedRing;
  readonly reactor: { readonly size: number };
  /** What can be made smaller when memory is scarce. */
  readonly shrinkable: readonly Shrinkable[];
}

/**
 * A worker's part in keeping the process within its means: its sockets, its view of the scheduler's lag, its memory.
 *
 * Runs on: a worker. Owns: the counters `sockets` and `schedulerLagging` of its thread.
 * When full, on failure: see its parts.
 */
export class Pressure {
  readonly #parts: PressureParts;
  readonly #lag: SchedulerLag;
  readonly #relief: Relief;

  constructor(parts: PressureParts, nowMs: number) {
    this.#parts = parts;
    this.#lag = new SchedulerLag(parts.ring, nowMs);
    this.#relief = new Relief(parts.shared, parts.shrinkable);
  }

  /** Whether the scheduler leaves what this worker tells unread for too long. */
  get lagging(): boolean {
    return this.#lag.lagging;
  }

  /** Brings the count of this thread's sockets up to date. */
  countSockets(): void {
    this.#parts.counters[Counter.sockets] = this.#parts.reactor.size;
  }

  /** Looks at everything. Monotonic ms. */
  look(nowMs: number): void {
    this.countSockets();
    this.#lag.look(nowMs);
    this.#parts.counters[Counter.schedulerLagging] = this.#lag.lagging ? 1 : 0;
    this.#relief.look(nowMs);
  }
}
