import type { EnhancedCode } from "../protocol/records.js";
import { sameEnhancedCode, splitEnhancedCode } from "./enhanced-code.js";

/**
 * Makes replies (RFC 5321 §4.2) of the bytes that a server sends.
 *
 * Runs on: a worker, one reader per connection out.
 * Owns: the part of a line that has come so far (at most MAX_LINE_BYTES) and the lines of the reply in progress.
 * When full: a longer line, reply or row of lines is a fault; nothing more is read and the connection must be dropped.
 * On failure: `fault` says in words what was wrong; it is the peer's failure, never thrown.
 *
 * A line ends at LF; a CR before it belongs to the end. Bare LF is tolerated, because servers that send it exist and
 * nothing is lost: text that somebody smuggled behind a bare LF is then either no reply, or one too many, and both end
 * the session (`client-machine.ts`). A bare CR is a control character like others.
 */
export interface PeerReply {
  /** 200–599. Second and third digit are whatever the peer likes. */
  readonly code: number;
  /** Only when its class is that of the code. */
  readonly enhanced: EnhancedCode | null;
  /** All lines as one, without the enhanced code; printable, at most {@link MAX_CONTENT_CHARS} characters. */
  readonly content: string;
  /** The lines, printable, each without its code, but with the enhanced one; for the answer to EHLO. */
  readonly lines: readonly string[];
}

/** Longest line that is read, in bytes with its end. RFC 5321 §4.5.3.1.5 allows 512; some servers do not count. */
export const MAX_LINE_BYTES = 2048;
/** Bytes of a line's text that are kept. */
export const KEPT_LINE_BYTES = 512;
/** Most lines of one reply. */
export const MAX_REPLY_LINES = 100;
/** Most bytes of one reply, line ends included. */
export const MAX_REPLY_BYTES = 16 * 1024;
/** Longest text that a reply keeps for logs, in UTF-16 units. */
export const MAX_CONTENT_CHARS = 2048;

const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const MINUS = 0x2d;
const DELETE = 0x7f;

/** Control characters of both sets, line and paragraph separators, and marks that turn the direction of writing. */
const UNPRINTABLE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

/**
 * Text of bytes that a stranger sent, made harmless for a line of a log, a header or a terminal: bytes that are not UTF-8
 * become U+FFFD, tabs become spaces, other control characters become `?`.
 */
export function printable(buffer: Buffer, start: number, end: number): string {
  let plain = true;
  for (let i = start; i < end; i++) {
    const byte = buffer[i];
    if (byte < SPACE || byte >= DELETE) {
      plain = false;
      break;
    }
  }
  if (plain) return buffer.toString("latin1", start, end);
  return buffer.toString("utf8", start, end).replace(UNPRINTABLE, (char) => (char === "\t" ? " " : "?"));
}

/** Cuts a text to `most` UTF-16 units without splitting a character. */
export function cutText(text: string, most: number): string {
  if (text.length <= most) return text;
  const last = text.charCodeAt(most - 1);
  return text.slice(0, last >= 0xd800 && last <= 0xdbff ? most - 1 : most);
}

/** The code in the first three bytes of a line, or 0 when they are not the digits of one (200–599). */
function codeAt(buffer: Buffer, at: number): number {
  const hundreds = buffer[at] - 0x30;
  const tens = buffer[at + 1] - 0x30;
  const ones = buffer[at + 2] - 0x30;
  if (hundreds < 2 || hundreds > 5 || tens < 0 || tens > 9 || ones < 0 || ones > 9) return 0;
  return hundreds * 100 + tens * 10 + ones;
}

/** Reads replies from chunks of any size; see the head of this file. */
export class ReplyReader {
  /** Why nothing more can be read, or null. */
  fault: string | null = null;
  #reply: PeerReply | null = null;
  #code = 0;
  #lines: string[] = [];
  #bytes = 0;
  #held: Buffer | null = null;
  #heldBytes = 0;

  /** True between replies: no byte of the next one has come. */
  get between(): boolean {
    return this.#heldBytes === 0 && this.#lines.length === 0;
  }

  /**
   * Reads `buffer[start, end)` up to the end of one reply, and returns where it stopped. Then either `take` gives a
   * reply, or `fault` is set, or all was read and more is wanted.
   */
  read(buffer: Buffer, start: number, end: number): number {
    let at = start;
    while (at < end && this.fault === null && this.#reply === null) {
      let stop = at;
      while (stop < end && buffer[stop] !== LF) stop++;
      if (this.#bytes + (stop - at) > MAX_REPLY_BYTES) {
        this.#fail("reply too large");
      } else if (stop - at + this.#heldBytes >= MAX_LINE_BYTES) {
        this.#fail("reply line too long");
      } else if (stop === end) {
        this.#hold(buffer, at, end);
        at = end;
      } else if (this.#heldBytes === 0) {
        this.#bytes += stop + 1 - at;
        this.#line(buffer, at, stop);
        at = stop + 1;
      } else {
        const held = this.#hold(buffer, at, stop);
        const length = this.#heldBytes;
        this.#bytes += 1;
        this.#heldBytes = 0;
        this.#line(held, 0, length);
        at = stop + 1;
      }
    }
    return at;
  }

  /** The reply that `read` has completed, once; null when it is not complete. */
  take(): PeerReply | null {
    const reply = this.#reply;
    this.#reply = null;
    return reply;
  }

  /** Keeps the beginning of a line until the rest comes. */
  #hold(buffer: Buffer, start: number, end: number): Buffer {
    // Only a line that was cut by the network needs this, so most connections never have it.
    const held = (this.#held ??= Buffer.allocUnsafeSlow(MAX_LINE_BYTES));
    buffer.copy(held, this.#heldBytes, start, end);
    this.#heldBytes += end - start;
    this.#bytes += end - start;
    return held;
  }

  /** One whole line, without its LF. */
  #line(buffer: Buffer, start: number, lf: number): void {
    const end = lf > start && buffer[lf - 1] === CR ? lf - 1 : lf;
    const code = end - start >= 3 ? codeAt(buffer, start) : 0;
    const mark = end - start > 3 ? buffer[start + 3] : SPACE;
    if (code === 0 || (mark !== SPACE && mark !== MINUS)) {
      this.#fail(`not a reply: "${printable(buffer, start, Math.min(end, start + 80))}"`);
      return;
    }
    if (this.#lines.length === 0) {
      this.#code = code;
    } else if (code !== this.#code) {
      this.#fail(`codes ${this.#code} and ${code} in one reply`);
      return;
    }
    if (this.#lines.length === MAX_REPLY_LINES) {
      this.#fail("reply of too many lines");
      return;
    }
    const text = start + 4;
    this.#lines.push(text < end ? printable(buffer, text, Math.min(end, text + KEPT_LINE_BYTES)) : "");
    if (mark === SPACE) this.#finish();
  }

  #finish(): void {
    const lines = this.#lines;
    this.#lines = [];
    this.#bytes = 0;
    const first = lines[0];
    const split = splitEnhancedCode(first, this.#code);
    const enhanced = split === null ? null : split.enhanced;
    let content = split === null ? first : split.rest;
    for (let i = 1; i < lines.length && content.length <= MAX_CONTENT_CHARS; i++) {
      const line = lines[i];
      // RFC 2034 §4 wants the code on every line; said once is enough for a log.
      const again = splitEnhancedCode(line, this.#code);
      const rest = again !== null && sameEnhancedCode(again.enhanced, enhanced) ? again.rest : line;
      content = content === "" ? rest : `${content} ${rest}`;
    }
    this.#reply = { code: this.#code, enhanced, content: cutText(content, MAX_CONTENT_CHARS), lines };
  }

  #fail(reason: string): void {
    this.fault = reason;
    this.#lines = [];
    this.#held = null;
    this.#heldBytes = 0;
  }
}
