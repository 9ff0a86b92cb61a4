import type { EnhancedCode, ResponseText } from "../protocol/records.js";
import { formatEnhancedCode } from "./enhanced-code.js";

/** Longest reply line in octets, line end included (RFC 5321 §4.5.3.1.5). */
export const MAX_REPLY_LINE_OCTETS = 512;

/**
 * A reply that we give: its meaning, and its bytes made once. Replies that are given often are constants; a reply of its
 * own is made only where its text differs, such as the ids of an accepted message.
 */
export class Reply {
  /** 200–599. 421 also closes the session. */
  readonly code: number;
  /** Null only for the greeting, the answers to EHLO and HELO, and 354 (RFC 2034 §4). Its class is that of `code`. */
  readonly enhanced: EnhancedCode | null;
  /** Printable ASCII on one line, without codes; anything else in it was replaced by `?`. */
  readonly text: string;
  /** What goes over the wire: one or more lines of at most {@link MAX_REPLY_LINE_OCTETS}, each with the codes. */
  readonly wire: string;

  constructor(code: number, enhanced: EnhancedCode | null, text: string) {
    this.code = code;
    this.enhanced = enhanced;
    this.text = printableAscii(text);
    this.wire = formatReply(code, enhanced, this.text);
  }
}

/** Text that can stand in a reply, whoever wrote it: every other character than printable ASCII becomes `?`. */
export function printableAscii(text: string): string {
  return /^[ -~]*$/.test(text) ? text : text.replace(/[^ -~]/g, "?");
}

/** The lines of a reply. A text too long for one line is cut at blanks, or anywhere when it has none. */
export function formatReply(code: number, enhanced: EnhancedCode | null, text: string): string {
  const mark = enhanced === null ? "" : `${formatEnhancedCode(enhanced)} `;
  const room = MAX_REPLY_LINE_OCTETS - 6 - mark.length;
  let rest = text;
  let wire = "";
  while (rest.length > room) {
    const blank = rest.lastIndexOf(" ", room);
    const cut = blank > 0 ? blank : room;
    wire += `${code}-${mark}${rest.slice(0, cut)}\r\n`;
    rest = rest.slice(blank > 0 ? cut + 1 : cut);
  }
  return `${wire}${code} ${mark}${rest}\r\n`;
}

/** A multi-line reply without enhanced codes, as EHLO's: each of `lines` printable and short enough to be one. */
export function formatLines(code: number, lines: readonly string[]): string {
  const last = lines.length - 1;
  return lines.map((line, i) => `${code}${i === last ? " " : "-"}${line}\r\n`).join("");
}

/** A reply as a log record holds it. `command` is what was answered, `.` for the end of data, null for none. */
export function asResponse(reply: Reply, command: string | null): ResponseText {
  return { code: reply.code, enhanced: reply.enhanced, content: reply.text, command };
}
