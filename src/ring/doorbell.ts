/**
 * A doorbell: how one thread wakes another's event loop. The only file that waits or wakes.
 *
 * Runs on   the sleeper makes a `Sleeper`, whoever has news for it a `Bell`, over the same word of shared memory
 * Owns      one Int32 word: 0 awake, 1 asleep
 * When full nothing to fill: rings while awake are free and do nothing
 * On failure a thread that ended while asleep is simply never woken
 *
 * The word is set before the sleeper looks for work a last time, and the bell is rung after the news is published, so
 * one of the two always sees the other. `Atomics.waitAsync` does not keep an event loop alive; sockets and timers do.
 */
const AWAKE = 0;
const ASLEEP = 1;

/** The side that rings. */
export class Bell {
  readonly #words: Int32Array;
  readonly #index: number;

  /** @param words shared memory; @param index the sleeper's word in it, on a cache line of its own. */
  constructor(words: Int32Array, index: number) {
    this.#words = words;
    this.#index = index;
  }

  /** Wakes the sleeper if it sleeps; costs one load when it does not. */
  ring(): void {
    if (Atomics.load(this.#words, this.#index) === AWAKE) return;
    if (Atomics.compareExchange(this.#words, this.#index, ASLEEP, AWAKE) === ASLEEP) {
      Atomics.notify(this.#words, this.#index);
    }
  }
}

/** The side that sleeps: `onWake` runs in a turn of its own after a bell rang. */
export class Sleeper {
  readonly #words: Int32Array;
  readonly #index: number;
  readonly #wake: () => void;
  #waiting = false;

  constructor(words: Int32Array, index: number, onWake: () => void) {
    this.#words = words;
    this.#index = index;
    this.#wake = (): void => {
      this.#waiting = false;
      Atomics.store(this.#words, this.#index, AWAKE);
      onWake();
    };
  }

  /**
   * Says that this thread goes to sleep. The caller must look for work once more after this and, if it finds some, go on
   * (a bell that rings meanwhile costs one needless wake-up, never a lost one).
   */
  sleep(): void {
    Atomics.store(this.#words, this.#index, ASLEEP);
    if (this.#waiting) return;
    const wait = Atomics.waitAsync(this.#words, this.#index, ASLEEP);
    if (wait.async) {
      this.#waiting = true;
      void wait.value.then(this.#wake);
    } else {
      // Rung between the store and the wait.
      queueMicrotask(this.#wake);
    }
  }

  /** Takes the sleep back: bells that ring from now on cost nothing. */
  stayAwake(): void {
    Atomics.store(this.#words, this.#index, AWAKE);
  }
}
