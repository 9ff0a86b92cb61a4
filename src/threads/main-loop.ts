/**
 * When the scheduler takes its turns: after a bell, after a timer, and again at once while a turn says that it hit one of
 * its bounds. Between two turns the event loop serves whatever else lives on the main thread.
 *
 * A turn that a bell began is followed by a short pause with the bell switched off, and then by a look: under load there
 * is one turn per pause, which finds the work of many sessions, instead of one wake-up per message on either side. Alone,
 * a message is served at once. (Measured on the whole server: see docs/decisions.md.)
 *
 * Runs on   the main thread
 * Owns      the main doorbell's sleeping side and one timer
 * When full turns are bounded by their makers; the loop adds nothing
 * On failure a turn that throws is a bug of ours and ends the process (`onPanic`)
 */
import { faultOrder } from "../base/failpoints.js";
import { Sleeper } from "../ring/doorbell.js";

/** The pause after a turn that found work. Two milliseconds halve what one does without, and three gain no more. */
const PAUSE_MS = 2;
/** Longest sleep; a turn without work costs microseconds. */
const LONGEST_SLEEP_MS = 1000;

/** See the file's header. */
export class MainLoop {
  readonly #turn: () => number;
  readonly #waiting: () => boolean;
  readonly #onPanic: (error: unknown) => void;
  readonly #sleeper: Sleeper;
  readonly #run: () => void;
  #queued = false;
  /** The turn under way found something that a worker had sent. */
  #busy = false;
  #stopped = false;
  #timer: NodeJS.Timeout | null = null;
  #timerAt = Number.POSITIVE_INFINITY;
  /** Since when a turn is wanted. */
  #wantedAt = Number.POSITIVE_INFINITY;
  readonly #note: (lateMs: number, tookMs: number) => void;

  /**
   * @param turn does a bounded piece of work and returns the milliseconds until it wants to run again.
   * @param waiting whether a worker has sent something meanwhile.
   * @param note told of each turn how much later than wanted it began and how long it took.
   */
  constructor(
    words: Int32Array,
    bellIndex: number,
    turn: () => number,
    waiting: () => boolean,
    onPanic: (error: unknown) => void,
    note: (lateMs: number, tookMs: number) => void = () => {},
  ) {
    this.#note = note;
    this.#turn = turn;
    this.#waiting = waiting;
    this.#onPanic = onPanic;
    this.#run = (): void => this.#step();
    this.#sleeper = new Sleeper(words, bellIndex, this.#run);
  }

  /** Has a turn run soon. */
  wake(): void {
    if (this.#queued || this.#stopped) return;
    this.#queued = true;
    this.#wantedAt = Math.min(this.#wantedAt, performance.now());
    setImmediate(this.#run);
  }

  /** No turns any more. */
  stop(): void {
    this.#stopped = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  #step(): void {
    this.#queued = false;
    if (this.#stopped) return;
    this.#sleeper.stayAwake();
    this.#busy = this.#waiting();
    const beganAt = performance.now();
    const lateMs = Math.max(0, beganAt - this.#wantedAt);
    this.#wantedAt = Number.POSITIVE_INFINITY;
    let waitMs: number;
    try {
      waitMs = this.#turn();
      holdUp();
    } catch (error) {
      this.stop();
      this.#onPanic(error);
      return;
    }
    this.#note(lateMs, performance.now() - beganAt);
    if (waitMs <= 0) this.wake();
    else if (this.#busy) this.#arm(Math.min(waitMs, PAUSE_MS));
    else this.#sleep(waitMs);
  }

  #sleep(waitMs: number): void {
    this.#sleeper.sleep();
    if (this.#waiting()) this.wake();
    else this.#arm(Math.min(waitMs, LONGEST_SLEEP_MS));
  }

  /** Keeps a timer that fires no later than wanted; an early one is harmless, so it is not moved back. */
  #arm(waitMs: number): void {
    const at = performance.now() + waitMs;
    if (this.#timerAt <= at + 1) return;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timerAt = at;
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#wantedAt = Math.min(this.#wantedAt, this.#timerAt);
      this.#timerAt = Number.POSITIVE_INFINITY;
      this.#step();
    }, waitMs);
  }
}

/** A slow turn on order, for tests and rehearsals. */
function holdUp(): void {
  const order = faultOrder("scheduler.turn");
  if (order?.action !== "last") return;
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, Number(order.argument));
}
