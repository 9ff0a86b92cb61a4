import type { SharedState } from "../protocol/layout/shared-state.js";
import { Counter } from "../protocol/metrics.js";

const LOOK_MS = 1000;

/**
 * Says when the event log cannot be written, and when it can be again. A worker cannot say so itself: what it reports
 * waits for the log.
 *
 * Runs on: the main thread. Owns: a timer and what it saw last.
 * When full, on failure: nothing grows, nothing can fail.
 */
export class LogWatch {
  readonly #timer: NodeJS.Timeout;
  #unwritable = false;

  constructor(shared: SharedState, notice: (line: string) => void) {
    this.#timer = setInterval(() => {
      const unwritable = shared.sum(Counter.logsUnwritable) > 0;
      if (unwritable === this.#unwritable) return;
      this.#unwritable = unwritable;
      notice(unwritable ? "no mail is accepted: the event log cannot be written" : "the event log is written again");
    }, LOOK_MS);
    this.#timer.unref();
  }

  /** No more looking. */
  stop(): void {
    clearInterval(this.#timer);
  }
}
