import { canonicalDomain, canonicalLiteral } from "./domain.js";

/**
 * Mailboxes and paths of the envelope, RFC 5321 §4.1.2 with the non-ASCII forms of RFC 6531 §3.3. Every parser here goes
 * over its text once and builds nothing on the way, so a hostile line costs no more than an honest one of its length.
 */

/** Longest local part in octets, quotes included (RFC 5321 §4.5.3.1.1). */
export const MAX_LOCAL_OCTETS = 64;
/**
 * Longest path in octets between its brackets (RFC 5321 §4.5.3.1.3 has 256 with them). Without them, so that the longest
 * domain that the DNS can hold (253) still has room for a local part.
 */
export const MAX_PATH_OCTETS = 256;

/** One address of the envelope. */
export class Mailbox {
  /** As written, with quotes where it had them; case kept. "" in the null sender. */
  readonly local: string;
  /**
   * Where it is routed to: lower case, A-labels, or an address literal in brackets. "" in the null sender and in a
   * postmaster without a domain, which is this host's own (RFC 5321 §4.5.1).
   */
  readonly domain: string;
  /** As written, without brackets and source route. What goes into the spool and onto the next hop's line. */
  readonly text: string;
  /** Has characters beyond ASCII, in either part: needs SMTPUTF8 (RFC 6531). */
  readonly utf8: boolean;

  constructor(local: string, domain: string, text: string, utf8: boolean) {
    this.local = local;
    this.domain = domain;
    this.text = text;
    this.utf8 = utf8;
  }
}

/** `MAIL FROM:<>`. */
export const NULL_SENDER = new Mailbox("", "", "", false);

const ATEXT = 1;
const QTEXT = 2;
const kinds = new Uint8Array(128);
for (let char = 0x20; char < 0x7f; char++) kinds[char] = QTEXT;
kinds[0x22] = 0;
kinds[0x5c] = 0;
for (const char of "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-/=?^_`{|}~") {
  kinds[char.charCodeAt(0)] = ATEXT | QTEXT;
}

const QUOTE = 0x22;
const COMMA = 0x2c;
const DOT = 0x2e;
const COLON = 0x3a;
const LESS = 0x3c;
const GREATER = 0x3e;
const AT = 0x40;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;

/** Beyond ASCII, these are still control characters and line ends for those who read logs and headers. */
function isUnsafe(char: number): boolean {
  return char < 0xa0 || char === 0x2028 || char === 0x2029;
}

/** A path of a command line taken apart: {@link PathReader.read}. One reader serves a thread; it keeps the last result. */
export class PathReader {
  /** What was read, null when the text is not a path. */
  mailbox: Mailbox | null = null;
  /** Index behind the closing bracket, when a path was read. */
  next = 0;
  #utf8 = false;

  /**
   * Reads the path that begins at `at`: `<local@domain>`, `<@route,@route:local@domain>` (the route is dropped, RFC 5321
   * appendix C), `<>` or `<Postmaster>` in any case. Returns whether it is one; which of the last two are allowed is the
   * caller's business (`mailbox.text === ""`, `mailbox.domain === ""`).
   */
  read(text: string, at: number): boolean {
    this.mailbox = null;
    this.#utf8 = false;
    if (text.charCodeAt(at) !== LESS) return false;
    const start = text.charCodeAt(at + 1) === AT ? skipRoute(text, at + 1) : at + 1;
    if (start < 0) return false;
    const localEnd = this.#localEnd(text, start);
    if (localEnd < 0) return false;
    const after = text.charCodeAt(localEnd);
    if (after === GREATER) {
      this.next = localEnd + 1;
      this.mailbox = localEnd === start ? nullOrNothing(start === at + 1) : bareLocal(text.slice(start, localEnd));
      return this.mailbox !== null;
    }
    if (after !== AT || localEnd === start) return false;
    const domainStart = localEnd + 1;
    const isLiteral = text.charCodeAt(domainStart) === OPEN_BRACKET;
    let end = text.indexOf(isLiteral ? "]" : ">", domainStart);
    if (end < 0) return false;
    if (isLiteral) end++;
    if (text.charCodeAt(end) !== GREATER) return false;
    const written = text.slice(domainStart, end);
    const domain = isLiteral ? canonicalLiteral(written) : canonicalDomain(written);
    if (domain === null) return false;
    // Only a canonical form that differs can hide characters beyond ASCII; nearly all domains are written canonically.
    if (!isLiteral && domain !== written && hasUtf8(written)) this.#utf8 = true;
    const local = text.slice(start, localEnd);
    if (octets(local, this.#utf8) > MAX_LOCAL_OCTETS) return false;
    if (octets(text.slice(at + 1, end), this.#utf8) > MAX_PATH_OCTETS) return false;
    this.mailbox = new Mailbox(local, domain, text.slice(start, end), this.#utf8);
    this.next = end + 1;
    return true;
  }

  /** Index behind the local part that begins at `start`, equal to `start` when there is none, -1 when it is malformed. */
  #localEnd(text: string, start: number): number {
    if (text.charCodeAt(start) === QUOTE) return this.#quotedEnd(text, start);
    const length = text.length;
    let at = start;
    let afterDot = true;
    while (at < length) {
      const char = text.charCodeAt(at);
      if (char < 128) {
        if (((kinds[char] as number) & ATEXT) !== 0) afterDot = false;
        else if (char !== DOT) break;
        else if (afterDot) return -1;
        else afterDot = true;
      } else {
        if (isUnsafe(char)) return -1;
        this.#utf8 = true;
        afterDot = false;
      }
      at++;
    }
    return afterDot && at > start ? -1 : at;
  }

  #quotedEnd(text: string, start: number): number {
    const length = text.length;
    for (let at = start + 1; at < length; at++) {
      const char = text.charCodeAt(at);
      if (char === QUOTE) return at + 1;
      if (char === BACKSLASH) {
        at++;
        const escaped = text.charCodeAt(at);
        if (!(escaped >= 0x20 && escaped < 0x7f)) return -1;
      } else if (char < 128) {
        if (((kinds[char] as number) & QTEXT) === 0) return -1;
      } else {
        if (isUnsafe(char)) return -1;
        this.#utf8 = true;
      }
    }
    return -1;
  }
}

/** Index behind the colon of a source route that begins at `at` with its first `@`; -1 when it is malformed. */
function skipRoute(text: string, at: number): number {
  const length = text.length;
  let from = at;
  while (from < length && text.charCodeAt(from) === AT) {
    const isLiteral = text.charCodeAt(from + 1) === OPEN_BRACKET;
    let end = from + 1;
    for (let inLiteral = isLiteral; end < length; end++) {
      const char = text.charCodeAt(end);
      if (char === CLOSE_BRACKET) inLiteral = false;
      else if (!inLiteral && (char === COMMA || char === COLON)) break;
      else if (char === GREATER || char === LESS || char === QUOTE) return -1;
    }
    const hop = text.slice(from + 1, end);
    if ((isLiteral ? canonicalLiteral(hop) : canonicalDomain(hop)) === null) return -1;
    if (text.charCodeAt(end) === COLON) return end + 1;
    from = end + 1;
  }
  return -1;
}

function nullOrNothing(withoutRoute: boolean): Mailbox | null {
  return withoutRoute ? NULL_SENDER : null;
}

function bareLocal(local: string): Mailbox | null {
  return local.length === 10 && local.toLowerCase() === "postmaster" ? new Mailbox(local, "", local, false) : null;
}

function hasUtf8(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) >= 128) return true;
  return false;
}

function octets(text: string, utf8: boolean): number {
  return utf8 ? Buffer.byteLength(text) : text.length;
}

const reader = new PathReader();

/** Reads a bare address, `local@domain` without brackets. Null when it is not exactly one, or has no domain. */
export function parseMailbox(text: string): Mailbox | null {
  if (text.charCodeAt(0) === AT) return null;
  const bracketed = `<${text}>`;
  if (!reader.read(bracketed, 0) || reader.next !== bracketed.length) return null;
  const mailbox = reader.mailbox;
  reader.mailbox = null;
  return mailbox === null || mailbox.domain === "" ? null : mailbox;
}
