/**
 * The inner loop of reception: runs over content as it arrives after DATA and stops only where a byte cannot be taken as it
 * is. It reads four bytes at a time and looks closer where one of them is below 14 (CR, LF, NUL, TAB): about a quarter of
 * the cost of a loop over bytes, and less than a native search for each line end and each CR (`bench/micro/dot-decoder.ts`).
 * Everything that it knows between calls is in its {@link ContentScan}, so that a native loop can take its place.
 */

/** Where content stands between two bytes. */
export const ContentState = {
  /** Behind CR LF, or at the very beginning: a dot here is the protocol's, not the content's. */
  lineStart: 0,
  /** Inside a line. */
  text: 1,
  /** Behind a CR inside a line. */
  cr: 2,
  /** At a LF that has no CR before it. Only ever a result of the scan. */
  bareLf: 3,
  /** Behind the dot that began a line. */
  dot: 4,
  /** Behind the dot that began a line, and a CR. */
  dotCr: 5,
  /** Behind a bare CR or LF that counts as a line end for the content, but not for the protocol. */
  repaired: 6,
  /** Behind CR LF dot CR LF. */
  done: 7,
} as const;
/** One of {@link ContentState}. */
export type ContentState = (typeof ContentState)[keyof typeof ContentState];

/** Scans `source[start, end)`, going on from `scan`; see {@link scanContent}. */
export type ScanContent = (source: Buffer, start: number, end: number, scan: ContentScan) => number;

/** What the scan found out so far. */
export class ContentScan {
  /** Where the scan stopped. */
  state: ContentState = ContentState.lineStart;
  /** Octets of the current line so far, its line end not counted. */
  lineLength = 0;
  /** Octets of the longest line that has ended. */
  longestLine = 0;
  /** All octets or-ed together: bits 7, 15, 23 and 31 tell of octets above 127. */
  bits = 0;
  /** An octet of 0 was met. */
  nul = false;

  /** Makes it as new, for the next message. */
  reset(): void {
    this.state = ContentState.lineStart;
    this.lineLength = 0;
    this.longestLine = 0;
    this.bits = 0;
    this.nul = false;
  }

  /** The line ends here. */
  endLine(): void {
    if (this.lineLength > this.longestLine) this.longestLine = this.lineLength;
    this.lineLength = 0;
  }
}

const NUL = 0x00;
const LF = 0x0a;
const CR = 0x0d;
const DOT = 0x2e;
/** Above every byte that matters. */
const FLOOR = 0x0e;
const FLOORS = 0x0e0e0e0e;
const HIGH_BITS = 0x80808080 | 0;

/** The four-byte view of the memory that was scanned last; all connections of a thread share one receive arena. */
let words: Int32Array<ArrayBufferLike> = new Int32Array(0);
let wordsOf: ArrayBufferLike = words.buffer;

/**
 * Scans `source[start, end)`, which begins inside a line, or at a line's beginning but not with a dot. Returns the index of
 * the first byte that must not be taken as it is; all before it may be copied. `scan.state` tells why it stopped:
 * `text` (the input ran out), `cr` (behind a CR whose next byte is not LF, or not here yet), `lineStart` (the next
 * byte is a dot, or not here yet), `bareLf` (at that LF).
 */
export function scanContent(source: Buffer, start: number, end: number, scan: ContentScan): number {
  if (source.buffer !== wordsOf) {
    wordsOf = source.buffer;
    words = new Int32Array(wordsOf, 0, wordsOf.byteLength >> 2);
  }
  const view = words;
  const base = source.byteOffset;
  const pairsEnd = ((base + end) >> 2) - 1;
  let bits = scan.bits;
  let at = start;
  let lineStart = start - scan.lineLength;
  let state: ContentState = ContentState.text;
  while (at < end) {
    const aligned = Math.min(end, at + (-(base + at) & 3));
    let byte = FLOOR;
    while (at < aligned) {
      byte = source[at] as number;
      if (byte < FLOOR) break;
      bits |= byte;
      at++;
    }
    if (at === end) break;
    if (at === aligned) {
      let word = (base + at) >> 2;
      while (word < pairsEnd) {
        const one = view[word] as number;
        const two = view[word + 1] as number;
        // A byte's high bit is set here when the byte is below FLOOR, and in at least one byte if any is.
        if (((((one - FLOORS) & ~one) | ((two - FLOORS) & ~two)) & HIGH_BITS) !== 0) break;
        bits |= one | two;
        word += 2;
      }
      at = (word << 2) - base;
      const stop = Math.min(end, at + 8);
      byte = FLOOR;
      while (at < stop) {
        byte = source[at] as number;
        if (byte < FLOOR) break;
        bits |= byte;
        at++;
      }
      if (byte >= FLOOR) continue;
    }
    if (byte === CR) {
      if (at + 1 < end && source[at + 1] === LF) {
        const length = at - lineStart;
        if (length > scan.longestLine) scan.longestLine = length;
        at += 2;
        lineStart = at;
        if (at === end || source[at] === DOT) {
          state = ContentState.lineStart;
          break;
        }
      } else {
        lineStart++;
        at++;
        state = ContentState.cr;
        break;
      }
    } else if (byte === LF) {
      state = ContentState.bareLf;
      break;
    } else {
      if (byte === NUL) scan.nul = true;
      at++;
    }
  }
  scan.bits = bits;
  scan.lineLength = at - lineStart;
  scan.state = state;
  return at;
}
