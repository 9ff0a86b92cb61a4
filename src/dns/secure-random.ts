import { randomBytes } from "node:crypto";
import type { Random } from "../base/random.js";

/** How many bytes are drawn from the system at once. */
const POOL_BYTES = 1536;
/** 48 bits fit a double exactly. */
const BYTES_PER_NUMBER = 6;

/** Chance that an outsider cannot predict: for the numbers of questions (RFC 5452 §9.2). */
export class SecureRandom implements Random {
  #pool = Buffer.alloc(0);
  #at = 0;

  next(): number {
    if (this.#at + BYTES_PER_NUMBER > this.#pool.length) {
      this.#pool = randomBytes(POOL_BYTES);
      this.#at = 0;
    }
    const value = this.#pool.readUIntBE(this.#at, BYTES_PER_NUMBER);
    this.#at += BYTES_PER_NUMBER;
    return value / 2 ** 48;
  }
}
