/**
 * The words that all threads share, apart from the rings: doorbells, the count of waiting messages by which workers
 * refuse before they promise, and each thread's block of counters.
 *
 * Runs on   every thread, each over the same SharedArrayBuffer
 * Owns      per field one writer, named below
 * When full nothing grows
 * On failure nothing can fail
 *
 *     line 0            messages in the scheduler's table (f64, scheduler writes), the most it may hold, the most sockets
 *     line 1            state bits of the process (i32, scheduler writes)
 *     line 2 + t        doorbell of thread t (0 = scheduler, 1 + w = worker w)
 *     then              counters, one block of whole cache lines per thread (f64, the thread itself writes)
 */
import { HISTOGRAM_DOUBLES } from "../histograms.js";
import { COUNTER_COUNT } from "../metrics.js";

const LINE = 64;
const FIXED_LINES = 2;
/** Most SMTP listeners of a configuration: each has a place for its open connections in every thread's block. */
export const MAX_LISTENERS = 64;
/** Doubles at the end of a block: see {@link SharedState.logReported}. */
const LOG_REPORTED = 2;
/** One more: see {@link SharedState.beat}. */
const BEAT = 1;
const BEAT_AT = COUNTER_COUNT + MAX_LISTENERS + LOG_REPORTED;
const HISTOGRAMS_AT = BEAT_AT + BEAT;
const COUNTER_LINES = Math.ceil(((HISTOGRAMS_AT + HISTOGRAM_DOUBLES) * 8) / LINE);

/** Bits of {@link SharedState.flags}. */
export enum ProcessFlag {
  /** The server is stopping: new work is refused with 421. */
  stopping = 1,
  /** Disk space or inodes are below their limits: new mail is refused with 452. */
  diskLow = 2,
  /** Memory is getting scarce: caches are given up, mail that is in memory only is stored. */
  memoryLow = 4,
  /** Memory is over its soft limit: new connections are refused with 421, new mail with 451. */
  memoryFull = 8,
}

/** A typed view of the shared words; every thread makes its own. */
export class SharedState {
  /** Index of doorbell `t` in {@link words}. */
  static bellIndex(thread: number): number {
    return ((FIXED_LINES + thread) * LINE) >> 2;
  }

  /** Shared memory for `threads` threads (the scheduler and its workers). */
  static allocate(threads: number): SharedArrayBuffer {
    return new SharedArrayBuffer((FIXED_LINES + threads + threads * COUNTER_LINES) * LINE);
  }

  readonly memory: SharedArrayBuffer;
  readonly words: Int32Array;
  readonly #doubles: Float64Array;
  readonly #threads: number;

  constructor(memory: SharedArrayBuffer) {
    this.memory = memory;
    this.words = new Int32Array(memory);
    this.#doubles = new Float64Array(memory);
    this.#threads = (memory.byteLength / LINE - FIXED_LINES) / (1 + COUNTER_LINES);
  }

  /** Messages in the scheduler's table; written by the scheduler once a turn. */
  get messages(): number {
    return this.#doubles[0] as number;
  }

  set messages(count: number) {
    this.#doubles[0] = count;
  }

  /** Most messages that may wait; written by the scheduler at start. */
  get maxMessages(): number {
    return this.#doubles[1] as number;
  }

  set maxMessages(count: number) {
    this.#doubles[1] = count;
  }

  /** Most sockets of all workers together, by the limit of open files; written at start, 0 while it is not known. */
  get maxSockets(): number {
    return this.#doubles[2] as number;
  }

  set maxSockets(count: number) {
    this.#doubles[2] = count;
  }

  /** Bits of {@link ProcessFlag}; written by the scheduler. */
  get flags(): number {
    return Atomics.load(this.words, LINE >> 2);
  }

  set flags(bits: number) {
    Atomics.store(this.words, LINE >> 2, bits);
  }

  /** The counters of one thread (0 = scheduler, 1 + w = worker w), indexed by `Counter`. Only that thread adds to them. */
  counters(thread: number): Float64Array {
    return this.#block(thread, 0, COUNTER_COUNT);
  }

  /** Open connections by listener, of one thread; only that thread writes them. */
  listenerConnections(thread: number): Float64Array {
    return this.#block(thread, COUNTER_COUNT, MAX_LISTENERS);
  }

  /**
   * How far a thread has reported what it wrote in the log: everything that it wrote in earlier segments, or before this
   * byte of this one, the scheduler can read in its ring. Two doubles, number of the segment and byte in it; only that
   * thread writes them.
   */
  logReported(thread: number): Float64Array {
    return this.#block(thread, COUNTER_COUNT + MAX_LISTENERS, LOG_REPORTED);
  }

  /** A number that the thread changes with each of its turns, one double; only that thread writes it. */
  beat(thread: number): Float64Array {
    return this.#block(thread, BEAT_AT, BEAT);
  }

  /** The histograms of one thread, for `observe`; only that thread writes them. */
  histograms(thread: number): Float64Array {
    return this.#block(thread, HISTOGRAMS_AT, HISTOGRAM_DOUBLES);
  }

  /** The sum of one double of the histograms over all threads. */
  sumHistogram(place: number): number {
    return this.#total(HISTOGRAMS_AT + place);
  }

  /** The sum of a counter over all threads. */
  sum(counter: number): number {
    return this.#total(counter);
  }

  /** Open connections of a listener over all threads. */
  openConnections(listener: number): number {
    return this.#total(COUNTER_COUNT + listener);
  }

  #block(thread: number, first: number, length: number): Float64Array {
    const line = FIXED_LINES + this.#threads + thread * COUNTER_LINES;
    return new Float64Array(this.memory, line * LINE + first * 8, length);
  }

  #total(place: number): number {
    let total = 0;
    for (let thread = 0; thread < this.#threads; thread++) {
      const line = FIXED_LINES + this.#threads + thread * COUNTER_LINES;
      total += this.#doubles[(line * LINE) / 8 + place] as number;
    }
    return total;
  }
}
