/** How long a session waits for a message that it cannot see yet. Its owner stores it when asked, or by itself in 200 ms. */
const LONGEST_WAIT_MS = 2000;
const LOOK_MS = 5;

/** A session that can look again. */
export interface Looking {
  loadAgain(): void;
}

/**
 * Sessions whose message is another worker's and cannot be seen yet: with durability `deferred` it may still be in its
 * owner's memory, which stores what did not find a session of its own. They look again now and then, for a bounded time.
 *
 * Runs on: a worker. Owns: the sessions that wait, and one timer while there are some.
 * When full: as many as the worker has sessions. On failure: after two seconds `wait` says false, and the owner is asked.
 */
export class Unseen {
  readonly #since = new Map<Looking, number>();
  readonly #looked: () => void;
  #timer: NodeJS.Timeout | null = null;

  /** @param looked called after each look that came to its end. */
  constructor(looked: () => void) {
    this.#looked = looked;
  }

  has(session: Looking): boolean {
    return this.#since.has(session);
  }

  /** Whether to wait (again): then the session is told to look. False when it has waited long enough. */
  wait(session: Looking): boolean {
    const nowMs = performance.now();
    const sinceMs = this.#since.get(session) ?? nowMs;
    if (nowMs - sinceMs >= LONGEST_WAIT_MS) return false;
    this.#since.set(session, sinceMs);
    this.#timer ??= setTimeout(() => this.#look(), LOOK_MS);
    return true;
  }

  /** The session waits no more. */
  found(session: Looking): void {
    if (this.#since.size > 0) this.#since.delete(session);
  }

  #look(): void {
    this.#timer = null;
    for (const session of [...this.#since.keys()]) {
      session.loadAgain();
      this.#looked();
    }
    if (this.#since.size > 0) this.#timer ??= setTimeout(() => this.#look(), LOOK_MS);
  }
}
