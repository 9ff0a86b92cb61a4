import { printable } from "./reply-reader.js";

/**
 * Command lines (RFC 5321 §2.3.8) out of chunks of any size, without a copy when a line lies in one chunk.
 *
 * Runs on: a worker, one reader per connection in.
 * Owns: the part of a line that has come so far, at most {@link MAX_COMMAND_OCTETS}; allocated when a line is first cut.
 * When full: a longer line is counted, not kept, and reported as `tooLong` at its end, or as `flood` past {@link MAX_SKIPPED_OCTETS}.
 * On failure: nothing here fails; a bare CR or LF is reported as `bare`, and what follows it must not be run.
 */

/** Longest command line in octets, with its line end: the 512 of RFC 5321 §4.5.3.1.4 and what extensions add. */
export const MAX_COMMAND_OCTETS = 2048;
/** Octets of one line after which the connection is given up. */
export const MAX_SKIPPED_OCTETS = 8 * MAX_COMMAND_OCTETS;

/** Octets of a line that are shown in a log. */
const MAX_LOGGED_OCTETS = 512;
const LF = 0x0a;
const CR = 0x0d;

/** What {@link LineReader.next} met. */
export const LineEvent = {
  /** The chunk ended inside a line; all of it was taken. */
  more: 0,
  /** A whole line: see the reader's fields. */
  line: 1,
  /** A line longer than {@link MAX_COMMAND_OCTETS} has ended. */
  tooLong: 2,
  /** CR without LF, or LF without CR. */
  bare: 3,
  /** The line does not end. */
  flood: 4,
} as const;
/** One of {@link LineEvent}. */
export type LineEvent = (typeof LineEvent)[keyof typeof LineEvent];

const NOTHING = Buffer.alloc(0);

/** Reads command lines; see the head of this file. What it reports does not depend on how the input is cut. */
export class LineReader {
  /** Where reading goes on in the chunk, after every event. */
  at = 0;
  /** The line, without its line end: `buffer[start, end)`, valid until the chunk or the reader moves on. */
  buffer: Buffer = NOTHING;
  start = 0;
  end = 0;
  /** The line has an octet above 127. */
  high = false;
  /** The line has a control character. */
  control = false;

  #held: Buffer | null = null;
  /** Octets of the line that came in earlier chunks; held while they are not too many. */
  #octets = 0;
  #afterCr = false;

  /** True inside a line that was cut. */
  get inLine(): boolean {
    return this.#octets > 0;
  }

  /** The beginning of the line, made harmless for a log. */
  forLog(): string {
    return printable(this.buffer, this.start, Math.min(this.end, this.start + MAX_LOGGED_OCTETS));
  }

  /** Reads `chunk[from, end)` up to one event. `from` is less than `end`. */
  next(chunk: Buffer, from: number, end: number): LineEvent {
    let at = from;
    if (this.#octets === 0) {
      this.high = false;
      this.control = false;
    } else if (this.#afterCr) {
      return chunk[at] === LF ? this.#lineEnd(chunk, from, at + 1) : this.#bare(at);
    }
    const stop = Math.min(end, from + MAX_SKIPPED_OCTETS - this.#octets);
    let bits = 0;
    while (at < stop) {
      const byte = chunk[at] as number;
      if (byte >= 0x20 && byte !== 0x7f) {
        bits |= byte;
        at++;
      } else if (byte === CR) {
        if (bits >= 0x80) this.high = true;
        if (at + 1 >= stop) {
          this.#afterCr = true;
          at++;
        } else {
          return chunk[at + 1] === LF ? this.#lineEnd(chunk, from, at + 2) : this.#bare(at);
        }
      } else if (byte === LF) {
        return this.#bare(at);
      } else {
        this.control = true;
        at++;
      }
    }
    if (bits >= 0x80) this.high = true;
    this.#hold(chunk, from, at);
    return this.#octets < MAX_SKIPPED_OCTETS ? LineEvent.more : LineEvent.flood;
  }

  /** The line ends before `next`, with CR LF; `from` is where its part in this chunk begins. */
  #lineEnd(chunk: Buffer, from: number, next: number): LineEvent {
    const before = this.#octets;
    const octets = before + next - from;
    if (before === 0) {
      this.buffer = chunk;
      this.start = from;
      this.end = next - 2;
    } else if (octets <= MAX_COMMAND_OCTETS) {
      this.#hold(chunk, from, next);
      this.buffer = this.#held as Buffer;
      this.start = 0;
      this.end = octets - 2;
    }
    this.at = next;
    this.#octets = 0;
    this.#afterCr = false;
    return octets <= MAX_COMMAND_OCTETS ? LineEvent.line : LineEvent.tooLong;
  }

  /** Keeps the part of a line that the chunk ends with. */
  #hold(chunk: Buffer, from: number, end: number): void {
    const before = this.#octets;
    this.at = end;
    this.#octets += end - from;
    if (before >= MAX_COMMAND_OCTETS) return;
    this.#held ??= Buffer.allocUnsafeSlow(MAX_COMMAND_OCTETS);
    chunk.copy(this.#held, before, from, Math.min(end, from + MAX_COMMAND_OCTETS - before));
  }

  #bare(at: number): LineEvent {
    this.at = at;
    return LineEvent.bare;
  }
}
