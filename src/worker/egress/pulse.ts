/**
 * Since when a session has been where it is, and when it last moved. Looked at a few times a second and when somebody
 * asks, so that a delivery costs nothing: times are known to the interval of the looks. A phase that was left and entered
 * again in between is told by the count of transactions.
 *
 * Runs on   a worker, one per session
 * Owns      what it saw at the last look
 * When full nothing grows
 * On failure nothing can fail
 */
export class Pulse {
  #line: object;
  #phase: string;
  #progress = 0;
  #transactions = 0;
  #phaseSinceMs: number;
  #movedMs: number;
  #stillSinceMs: number;

  constructor(line: object, phase: string, nowMs: number) {
    this.#line = line;
    this.#phase = phase;
    this.#phaseSinceMs = nowMs;
    this.#movedMs = nowMs;
    this.#stillSinceMs = nowMs;
  }

  /** Since when the phase of the last look has lasted. */
  get phaseSinceMs(): number {
    return this.#phaseSinceMs;
  }

  /** When the session was last seen to move. */
  get movedMs(): number {
    return this.#movedMs;
  }

  /**
   * Looks where the session is. Returns for how long it has stood still with a message in hand, ms.
   * @param line the connection, which is another one after a reconnect.
   */
  look(
    line: object,
    phase: string,
    progress: number,
    transactions: number,
    hasMessage: boolean,
    nowMs: number,
  ): number {
    const other = line !== this.#line || phase !== this.#phase || transactions !== this.#transactions;
    const moved = other || progress !== this.#progress;
    if (other) this.#phaseSinceMs = nowMs;
    if (moved) this.#movedMs = nowMs;
    if (moved || !hasMessage) this.#stillSinceMs = nowMs;
    this.#line = line;
    this.#phase = phase;
    this.#progress = progress;
    this.#transactions = transactions;
    return nowMs - this.#stillSinceMs;
  }
}
