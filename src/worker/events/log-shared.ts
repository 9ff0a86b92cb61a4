/**
 * What the threads that write the log share: one SharedArrayBuffer of 64 bytes, a cache line of its own.
 *
 *     0  u64  seq of the last record taken by any thread
 *     8  i32  1 when a write ended inside a line, so that the next one, by whichever thread, must begin with a line end
 */
export const LOG_SHARED_BYTES = 64;

/** Makes the shared part; `lastSeq` is the greatest seq of earlier runs, 0n for none. */
export function createLogShared(lastSeq: bigint): SharedArrayBuffer {
  const buffer = new SharedArrayBuffer(LOG_SHARED_BYTES);
  new BigUint64Array(buffer, 0, 1)[0] = lastSeq;
  return buffer;
}

/** A thread's view of it. Writers of `seq`: all threads, by Atomics. Writers of `torn`: all threads, by Atomics. */
export class LogShared {
  readonly #seq: BigUint64Array;
  readonly #torn: Int32Array;

  constructor(buffer: SharedArrayBuffer) {
    this.#seq = new BigUint64Array(buffer, 0, 1);
    this.#torn = new Int32Array(buffer, 8, 1);
  }

  /** The next record's number. A number that was taken must be written. */
  nextSeq(): bigint {
    return Atomics.add(this.#seq, 0, 1n) + 1n;
  }

  /** The last number taken. */
  lastSeq(): bigint {
    return Atomics.load(this.#seq, 0);
  }

  setTorn(): void {
    Atomics.store(this.#torn, 0, 1);
  }

  /** True once for whoever must begin with a line end. */
  takeTorn(): boolean {
    return Atomics.load(this.#torn, 0) === 1 && Atomics.exchange(this.#torn, 0, 0) === 1;
  }
}
