import { assert } from "./assert.js";
import type { BufferPool } from "./buffer-pool.js";

/**
 * Memory of a pool that several use at once, counted: a message's content is used by the commit that stores it, by those who
 * remember it, and by the sessions that send it. When the last use ends the memory is there for the next message.
 *
 * A use whose end is not certain (a socket that may still hold the bytes) is simply never ended: then the memory is left to
 * the collector, and nobody writes into it.
 */
export class Hold {
  readonly #pool: BufferPool;
  readonly #buffer: Buffer;
  #uses = 0;

  /** @param buffer from that pool, or a part of it; nobody else gives it back. */
  constructor(pool: BufferPool, buffer: Buffer) {
    this.#pool = pool;
    this.#buffer = buffer;
  }

  /** Bytes that are held, the buffer's unused ones included. */
  get bytes(): number {
    return this.#buffer.buffer.byteLength;
  }

  /** A use begins. */
  take(): void {
    this.#uses++;
  }

  /** A use has ended for certain. */
  drop(): void {
    assert(this.#uses > 0, "a use ends once");
    if (--this.#uses === 0) this.#pool.release(this.#buffer);
  }
}
