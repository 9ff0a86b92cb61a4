/** What ends a message's content: CRLF, a dot, CRLF (RFC 5321 §4.1.1.4); nothing else does. */
const END = Buffer.from("\r\n.\r\n", "latin1");
const CR = 0x0d;
const LF = 0x0a;
const DOT = 0x2e;

/**
 * Finds the end of a message's content in chunks as they come, without keeping any of them. Between chunks it remembers
 * how much of the end the last bytes were, as a number from 0 to 4.
 */
export class EndOfData {
  /** Bytes of {@link END} that the content so far ends with; 2 at its beginning: the CRLF of the DATA line counts. */
  #matched = 2;

  /** Forgets everything: new content begins. */
  reset(): void {
    this.#matched = 2;
  }

  /**
   * Looks at `buffer[start, end)`. Returns the index behind the end of the content, or -1 when it has not come yet.
   */
  find(buffer: Buffer, start: number, end: number): number {
    let at = start;
    // An end that began in an earlier chunk, byte by byte until it is complete or was none.
    while (this.#matched > 0 && at < end) {
      this.#matched = step(this.#matched, buffer[at] as number);
      at++;
      if (this.#matched === END.length) return at;
    }
    if (at === end) return -1;
    const found = buffer.subarray(at, end).indexOf(END);
    if (found >= 0) return at + found + END.length;
    for (let i = Math.max(at, end - END.length + 1); i < end; i++) {
      this.#matched = step(this.#matched, buffer[i] as number);
    }
    return -1;
  }
}

/** How many bytes of the end are matched after one more byte. The only way to go on after a miss is a new CR. */
function step(matched: number, byte: number): number {
  switch (matched) {
    case 1:
    case 4:
      if (byte === LF) return matched + 1;
      break;
    case 2:
      if (byte === DOT) return 3;
      break;
    case 3:
      if (byte === CR) return 4;
      break;
  }
  return byte === CR ? 1 : 0;
}
