/**
 * The bytes of one message while it is received: one contiguous buffer with room in front for the trace header, so that
 * header and content are stored without another copy.
 *
 *     | head room      | content …            | room to grow |
 *     0          start ^   (grows to the left)^ end
 *
 * Runs on: a worker; one {@link Content} per connection in, one {@link BufferPool} per worker.
 * Owns: buffers of whole powers of two, from {@link SMALLEST_BUFFER}; the pool keeps released ones up to a stated sum.
 * When full: the caller counts octets and stops appending at its message limit; the pool lets further buffers go to the collector.
 * On failure: nothing here fails but the allocation itself.
 */
import type { BufferPool } from "../base/buffer-pool.js";
import { Hold } from "../base/hold.js";

/** Octets kept free before the content. A Received header of {@link ../mail/received.ts} always fits. */
export const HEAD_ROOM = 1536;
/** Runs up to this length are copied byte by byte: cheaper than the call. */
const SHORT_RUN = 16;

const NOTHING = Buffer.alloc(0);

/** A message's content as its receiver hands it over. It is the receiver's: valid until the transaction is finished. */
export interface ReceivedContent {
  /** Holds the content at `[start, end)`. */
  readonly buffer: Buffer;
  readonly start: number;
  readonly end: number;
  /** Octets of content as received, line ends counted, doubled dots and what was prepended not (RFC 1870 §6.1). */
  readonly size: number;
  /** An octet above 127 is in it. */
  readonly has8bit: boolean;
  /** A line begins with a dot, so that sending it needs stuffing. */
  readonly hasDotLines: boolean;
  /** Bare CR or LF were made CRLF. */
  readonly wasRepaired: boolean;
  /** Octets of the longest line, without its line end. */
  readonly longestLine: number;
  /** Puts a header, ending in CRLF, in front. ASCII, or UTF-8 in a message that came with SMTPUTF8. */
  prepend(header: string): void;
  /** Takes parts of the buffer out: fields of the header section, line ends included, as from, to, from, to … in order. */
  cut(parts: readonly number[]): void;
  /** The bytes as they are now, without a copy. */
  bytes(): Buffer;
  /** Keeps the buffer from being used again: it now belongs to the caller for as long as it likes. */
  detach(): void;
  /** Hands the buffer over as something that may be used again when the last of those that hold it is done. */
  hold(): Hold;
}

/** See {@link ReceivedContent} and the head of this file. */
export class Content implements ReceivedContent {
  buffer: Buffer = NOTHING;
  start = HEAD_ROOM;
  end = HEAD_ROOM;
  size = 0;
  has8bit = false;
  hasDotLines = false;
  wasRepaired = false;
  longestLine = 0;
  readonly #pool: BufferPool;

  constructor(pool: BufferPool) {
    this.#pool = pool;
  }

  /** Begins a message. `expectedOctets` is a guess that saves growing, 0 for none. */
  begin(expectedOctets: number): void {
    this.clear();
    this.buffer = this.#pool.take(HEAD_ROOM + expectedOctets);
  }

  /** Appends `source[from, to)`. */
  append(source: Buffer, from: number, to: number): void {
    const length = to - from;
    let at = this.end;
    if (at + length > this.buffer.length) this.#grow(length);
    this.end = at + length;
    this.size += length;
    if (length <= SHORT_RUN) {
      const buffer = this.buffer;
      while (from < to) buffer[at++] = source[from++] as number;
    } else {
      source.copy(this.buffer, at, from, to);
    }
  }

  /** Appends one octet. */
  appendByte(byte: number): void {
    if (this.end === this.buffer.length) this.#grow(1);
    this.buffer[this.end++] = byte;
    this.size++;
  }

  prepend(header: string): void {
    const octets = Buffer.byteLength(header);
    if (octets > this.start) this.#makeHeadRoom(octets);
    this.start -= octets;
    this.buffer.write(header, this.start, octets === header.length ? "latin1" : "utf8");
  }

  cut(parts: readonly number[]): void {
    // From the last part on, so that every octet moves once; what is before them is short: it is a header.
    let to = parts[parts.length - 1] ?? this.start;
    for (let i = parts.length - 2; i >= 0; i -= 2) {
      const from = i === 0 ? this.start : (parts[i - 1] as number);
      const length = (parts[i] as number) - from;
      this.buffer.copyWithin(to - length, from, from + length);
      to -= length;
    }
    if (parts.length > 0) this.start = to;
  }

  bytes(): Buffer {
    return this.buffer.subarray(this.start, this.end);
  }

  hold(): Hold {
    const hold = new Hold(this.#pool, this.buffer);
    this.detach();
    return hold;
  }

  detach(): void {
    this.buffer = NOTHING;
    this.start = 0;
    this.end = 0;
  }

  /** Gives the buffer back and forgets everything. */
  clear(): void {
    if (this.buffer !== NOTHING) this.#pool.release(this.buffer);
    this.buffer = NOTHING;
    this.start = HEAD_ROOM;
    this.end = HEAD_ROOM;
    this.size = 0;
    this.has8bit = false;
    this.hasDotLines = false;
    this.wasRepaired = false;
    this.longestLine = 0;
  }

  #grow(more: number): void {
    const larger = this.#pool.take(Math.max(this.buffer.length * 2, this.end + more));
    this.buffer.copy(larger, this.start, this.start, this.end);
    this.#pool.release(this.buffer);
    this.buffer = larger;
  }

  /** Only for headers beyond {@link HEAD_ROOM}, which ours never reach. */
  #makeHeadRoom(octets: number): void {
    const start = octets + HEAD_ROOM;
    const larger = this.#pool.take(start + this.end - this.start);
    this.buffer.copy(larger, start, this.start, this.end);
    this.#pool.release(this.buffer);
    this.buffer = larger;
    this.end = start + this.end - this.start;
    this.start = start;
  }
}
