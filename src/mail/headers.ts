/**
 * A light look at a message's header section (RFC 5322 §2.2): nothing is built but the value that is asked for, and nothing
 * behind the section's end is touched. Lines end with CRLF, as received content always has them; a bare LF, which content
 * from elsewhere may have, ends a line too.
 */

const TAB = 0x09;
const LF = 0x0a;
const CR = 0x0d;
const SPACE = 0x20;
const COLON = 0x3a;
/** "r", and what is compared of the rest: lower-case letters. */
const RECEIVED = Buffer.from("received", "latin1");
const LOWER = 0x20;

/** Index of the first byte of the body: behind the empty line, or `end` when there is none. */
export function bodyStart(buffer: Buffer, start: number, end: number): number {
  let at = start;
  while (at < end) {
    const byte = buffer[at] as number;
    if (byte === LF) return at + 1;
    if (byte === CR && at + 1 < end && buffer[at + 1] === LF) return at + 2;
    at = nextLine(buffer, at, end);
  }
  return end;
}

/** Received fields in the header section of `buffer[start, end)`: the hops that the message has made (RFC 5321 §6.3). */
export function countHops(buffer: Buffer, start: number, end: number): number {
  let hops = 0;
  let at = start;
  while (at < end) {
    const byte = buffer[at] as number;
    if (byte === CR || byte === LF) {
      if (byte === LF || (at + 1 < end && buffer[at + 1] === LF)) return hops;
    } else if ((byte | LOWER) === RECEIVED[0] && isField(buffer, at, end, RECEIVED)) {
      hops++;
    }
    at = nextLine(buffer, at, end);
  }
  return hops;
}

/** Index of the first field of this name (lower case, without the colon), -1 when there is none. */
export function fieldAt(buffer: Buffer, start: number, end: number, name: string): number {
  const wanted = nameBytes(name);
  let at = start;
  while (at < end) {
    const byte = buffer[at] as number;
    if (byte === LF || (byte === CR && at + 1 < end && buffer[at + 1] === LF)) return -1;
    if ((byte | LOWER) === wanted[0] && isField(buffer, at, end, wanted)) return at;
    at = nextLine(buffer, at, end);
  }
  return -1;
}

let lastName = "";
let lastBytes = RECEIVED;

/** The bytes of a name; those of the last one are kept. */
function nameBytes(name: string): Buffer {
  if (name !== lastName) {
    lastName = name;
    lastBytes = Buffer.from(name, "latin1");
  }
  return lastBytes;
}

/**
 * The value of the first field of this name, unfolded (RFC 5322 §2.2.3), without blanks around it. Null when there is none.
 * Bytes are taken as UTF-8 (RFC 6532).
 * @param name lower case, without the colon.
 */
export function headerValue(buffer: Buffer, start: number, end: number, name: string): string | null {
  const at = fieldAt(buffer, start, end, name);
  if (at < 0) return null;
  const from = buffer.indexOf(COLON, at) + 1;
  return buffer
    .toString("utf8", from, fieldEnd(buffer, at, end))
    .replace(/\r?\n(?=[ \t])/g, "")
    .trim();
}

/** Whether the line at `at` begins with this field name, in any case, and its colon; blanks before the colon are allowed. */
function isField(buffer: Buffer, at: number, end: number, name: Buffer): boolean {
  const length = name.length;
  for (let i = 0; i < length; i++) {
    const wanted = name[i] as number;
    const byte = buffer[at + i] as number;
    if (byte !== wanted && !(wanted >= 0x61 && wanted <= 0x7a && (byte | LOWER) === wanted)) return false;
  }
  let colon = at + length;
  while (colon < end && (buffer[colon] === SPACE || buffer[colon] === TAB)) colon++;
  return buffer[colon] === COLON && colon < end;
}

/** Index behind the field that begins at `at`, with its folded lines. */
export function fieldEnd(buffer: Buffer, at: number, end: number): number {
  let next = nextLine(buffer, at, end);
  while (next < end && (buffer[next] === SPACE || buffer[next] === TAB)) next = nextLine(buffer, next, end);
  return next;
}

function nextLine(buffer: Buffer, at: number, end: number): number {
  const found = buffer.indexOf(LF, at);
  return found < 0 || found >= end ? end : found + 1;
}
