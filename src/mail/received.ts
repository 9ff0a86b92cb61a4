/** The trace header that a relay puts on top (RFC 5321 §4.4), with the protocol words of RFC 3848 and RFC 6531 §4.3. */

/** What a session contributes to the trace headers of its messages. */
export interface TraceSession {
  /** The name that the client gave with EHLO or HELO: its own claim, any printable text. */
  readonly helloName: string;
  /** The client's address, numeric. */
  readonly clientAddress: string;
  /** This host's name. */
  readonly hostname: string;
}

/** How a message came. */
export interface TraceProtocol {
  /** The client said EHLO. */
  readonly extended: boolean;
  readonly tls: boolean;
  readonly authenticated: boolean;
  /** The message came with SMTPUTF8. */
  readonly smtpUtf8: boolean;
}

/** The `with` word: `ESMTP`, `ESMTPS`, `ESMTPA`, `ESMTPSA`, their `UTF8SMTP` forms, or `SMTP` for a client without EHLO. */
export function protocolWord(protocol: TraceProtocol): string {
  if (!protocol.extended) return "SMTP";
  const ending = (protocol.tls ? "S" : "") + (protocol.authenticated ? "A" : "");
  return (protocol.smtpUtf8 ? "UTF8SMTP" : "ESMTP") + ending;
}

/**
 * The part of the header that is the same for every message of a session, up to the protocol word: made once per EHLO.
 * What the client claims is reduced to the characters of names and literals, so that it can end neither the line nor
 * a comment and begin something of its own.
 */
export function tracePrefix(session: TraceSession): string {
  const claimed = nameCharacters(session.helloName);
  const address = session.clientAddress;
  const literal = nameCharacters(address.includes(":") ? `[IPv6:${address}]` : `[${address}]`);
  return `Received: from ${claimed} (${literal})\r\n\tby ${nameCharacters(session.hostname)} with `;
}

/**
 * The whole header, ending in CRLF. `for` is given with exactly one recipient (RFC 5321 §7.2: the others are nobody's
 * business), as it stands in the envelope.
 * @param prefix from {@link tracePrefix}.
 * @param id the message's id, letters and digits.
 * @param onlyRecipient a parsed address without brackets, or null.
 * @param wallMs true wall clock, ms since 1970.
 */
export function receivedHeader(
  prefix: string,
  protocol: string,
  id: string,
  onlyRecipient: string | null,
  wallMs: number,
): string {
  const addressee = onlyRecipient === null ? "" : `\r\n\tfor <${onlyRecipient.replace(UNSAFE_IN_PATH, "?")}>`;
  return `${prefix}${protocol} id ${id}${addressee};\r\n\t${headerDate(wallMs)}\r\n`;
}

const UNSAFE_IN_PATH = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

/** Longest name or literal in the header: that of EHLO's argument. */
const MAX_NAME_CHARACTERS = 255;

function nameCharacters(text: string): string {
  const name = text.replace(/[^A-Za-z0-9.:_[\]-]/g, "?");
  return name === "" ? "unknown" : name.slice(0, MAX_NAME_CHARACTERS);
}

let lastSecond = -1;
let lastDate = "";

/** A date as headers have it (RFC 5322 §3.3), in UTC: `Mon, 24 Nov 2025 03:23:11 +0000`. The last second's is kept. */
export function headerDate(wallMs: number): string {
  const second = Math.floor(wallMs / 1000);
  if (second !== lastSecond) {
    lastDate = new Date(second * 1000).toUTCString().replace("GMT", "+0000");
    lastSecond = second;
  }
  return lastDate;
}
