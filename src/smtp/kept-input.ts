/**
 * Input that came while a session waited for its host.
 *
 * Runs on: a worker; one per connection in.
 * Owns: one buffer, from the first byte that had to wait until all have been run; a small one is kept for longer.
 * When full: above {@link PAUSE_OCTETS} the owner of the connection stops reading; above {@link MAX_KEPT_OCTETS} `add` refuses.
 * On failure: nothing here fails.
 */

/** From here on, reading should stop. */
export const PAUSE_OCTETS = 16 * 1024;
/** Never more than this is kept: the pause mark and what a receive arena can hold at most. */
export const MAX_KEPT_OCTETS = PAUSE_OCTETS + 1024 * 1024;

/** A buffer up to this size is kept for the next time. */
const SMALL_OCTETS = 4096;

const NOTHING = Buffer.alloc(0);

/** See the head of this file. Bytes that are being run stay in place when the session must wait again. */
export class KeptInput {
  buffer: Buffer = NOTHING;
  start = 0;
  end = 0;
  #lent = false;

  /** Octets that wait. */
  get octets(): number {
    return this.end - this.start;
  }

  get isHigh(): boolean {
    return this.end - this.start >= PAUSE_OCTETS;
  }

  /** Keeps `source[from, to)`. False, and nothing kept, when that would be too much. */
  add(source: Buffer, from: number, to: number): boolean {
    if (this.#lent && source === this.buffer) {
      // The rest of what was lent: it is where it should be.
      this.start = from;
      this.end = to;
      return true;
    }
    const length = to - from;
    const waiting = this.octets;
    if (waiting + length > MAX_KEPT_OCTETS) return false;
    if (this.end + length > this.buffer.length) {
      const larger = Buffer.allocUnsafeSlow(Math.max(1024, 2 * (waiting + length)));
      this.buffer.copy(larger, 0, this.start, this.end);
      this.buffer = larger;
      this.start = 0;
      this.end = waiting;
    }
    source.copy(this.buffer, this.end, from, to);
    this.end += length;
    return true;
  }

  /** The bytes are about to be run: they no longer wait, unless `add` is told of the rest of them. */
  lend(): void {
    this.#lent = true;
    this.start = this.end;
  }

  /** They have been run, or wait again. */
  takeBack(): void {
    this.#lent = false;
    if (this.octets === 0) this.clear();
  }

  clear(): void {
    if (this.buffer.length > SMALL_OCTETS) this.buffer = NOTHING;
    this.start = 0;
    this.end = 0;
  }
}
