/**
 * Tells of conditions that come and go, such as a disk that is full: each change once, and one that hovers around its limit
 * only now and then.
 *
 * Runs on   the main thread
 * Owns      per condition: what was told last, and when it began lately
 * When full as many conditions as the program has names for; four times of each
 * On failure nothing can fail
 *
 * A condition that begins for the fourth time within five minutes is restless: that is said, and then nothing more until it
 * has stayed away for a minute.
 */

/** So many beginnings within the window are told like any. */
const TOLD_PER_WINDOW = 3;
const WINDOW_MS = 300_000;
/** A restless condition is over when it has been away for this long. */
const CALM_MS = 60_000;

interface Condition {
  inForce: boolean;
  begun: number[];
  restless: boolean;
  /** Since when it has been away, null while it is there. */
  awayMs: number | null;
}

/** See the file's header. */
export class Restless<Name extends string> {
  readonly #nowMs: () => number;
  readonly #notice: (line: string) => void;
  readonly #conditions = new Map<Name, Condition>();

  /** @param nowMs a clock that does not jump. */
  constructor(nowMs: () => number, notice: (line: string) => void) {
    this.#nowMs = nowMs;
    this.#notice = notice;
  }

  /**
   * Says how a condition stands. To be called again and again, also while nothing changes.
   * @param begun what is said when it begins; null while it is not there.
   * @param over what is said when it is over.
   */
  look(name: Name, begun: string | null, over: string): void {
    let condition = this.#conditions.get(name);
    if (condition === undefined) {
      if (begun === null) return;
      condition = { inForce: false, begun: [], restless: false, awayMs: null };
      this.#conditions.set(name, condition);
    }
    if (begun !== null) this.#there(condition, begun);
    else if (condition.inForce) this.#away(condition, over);
  }

  #there(condition: Condition, begun: string): void {
    condition.awayMs = null;
    if (condition.inForce) return;
    const nowMs = this.#nowMs();
    condition.inForce = true;
    condition.begun = condition.begun.filter((atMs) => atMs > nowMs - WINDOW_MS);
    condition.begun.push(nowMs);
    condition.restless = condition.begun.length > TOLD_PER_WINDOW;
    this.#notice(
      condition.restless
        ? `${begun}; this comes and goes, the next line follows when it has stayed away for a minute`
        : begun,
    );
  }

  #away(condition: Condition, over: string): void {
    if (condition.restless) {
      const nowMs = this.#nowMs();
      condition.awayMs ??= nowMs;
      if (nowMs - condition.awayMs < CALM_MS) return;
      condition.restless = false;
      condition.begun = [];
    }
    condition.awayMs = null;
    condition.inForce = false;
    this.#notice(over);
  }
}
