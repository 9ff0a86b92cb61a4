import type { Capabilities } from "./client-capabilities.js";
import type { Answer } from "./client-result.js";

/**
 * What may be said about a message to a peer with given capabilities: the MAIL and RCPT lines, and refusals of our own
 * where the peer could not take the message (RFC 1870 §6.1, RFC 6152 §3, RFC 6531 §3.2).
 */

/** A message to be sent, with what reception found out about it. */
export interface OutgoingMessage {
  /** Reverse path without brackets; "" for the null one. */
  readonly sender: string;
  /** Forward paths without brackets, at least one. */
  readonly recipients: readonly string[];
  readonly content: Buffer;
  /** Some line of the content begins with a dot. */
  readonly hasDotLines: boolean;
  /** The content has a bare CR or LF somewhere (a listener that allows them took it). */
  readonly hasBareLineEnds: boolean;
  /** The content has a byte above 127. */
  readonly has8bit: boolean;
  /** The headers or the envelope are UTF-8: the message came with SMTPUTF8. */
  readonly needsUtf8: boolean;
}

/** What an address is made of, as far as writing it into a command goes. */
export type AddressKind = "ascii" | "utf8" | "unsafe";

/** Printable ASCII without blanks, angle brackets, quotes and backslashes: nearly every address. */
const PLAIN = /^[!#-;=?-[\]-~]*$/;
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;
const NON_ASCII = /[^\u0000-\u007f]/;

/**
 * Looks at an address before it becomes part of a command line. `unsafe` ones hold a control character anywhere, or a
 * blank or angle bracket outside a quoted string: they could end the path, or the line, and begin something else.
 */
export function addressKind(address: string): AddressKind {
  if (PLAIN.test(address)) return "ascii";
  if (CONTROL.test(address)) return "unsafe";
  let quoted = false;
  for (let i = 0; i < address.length; i++) {
    const char = address[i];
    if (quoted && char === "\\") i++;
    else if (char === '"') quoted = !quoted;
    else if (!quoted && (char === " " || char === "<" || char === ">")) return "unsafe";
  }
  if (quoted) return "unsafe";
  return NON_ASCII.test(address) ? "utf8" : "ascii";
}

/** `MAIL FROM:<…>` as it is logged. */
export function mailCommand(sender: string): string {
  return `MAIL FROM:<${sender}>`;
}

/** `RCPT TO:<…>` as it is sent and logged. */
export function rcptCommand(recipient: string): string {
  return `RCPT TO:<${recipient}>`;
}

/**
 * The MAIL command with the parameters that the message needs and the peer offers, without line end.
 * @param size bytes as {@link import("./dot-encoder.js").wireSize} counts them.
 * @param utf8 an address of the envelope is not ASCII, or the message needs SMTPUTF8.
 */
export function mailLine(message: OutgoingMessage, size: number, utf8: boolean, peer: Capabilities): string {
  let line = mailCommand(message.sender);
  if (peer.size) line += ` SIZE=${size}`;
  if (message.has8bit && peer.eightBitMime) line += " BODY=8BITMIME";
  if (utf8 && peer.smtpUtf8) line += " SMTPUTF8";
  return line;
}

const UNSAFE_SENDER: Answer = {
  kind: "refused",
  code: 501,
  enhanced: [5, 1, 7],
  text: "the sender's address cannot be written in an SMTP command",
};
const UNSAFE_RECIPIENT: Answer = {
  kind: "refused",
  code: 501,
  enhanced: [5, 1, 3],
  text: "the recipient's address cannot be written in an SMTP command",
};
const NEEDS_UTF8: Answer = {
  kind: "refused",
  code: 554,
  enhanced: [5, 6, 7],
  text: "the message needs SMTPUTF8, which the destination does not offer",
};
const NEEDS_8BIT: Answer = {
  kind: "refused",
  code: 554,
  enhanced: [5, 6, 3],
  text: "the content is 8-bit, and the destination does not offer 8BITMIME",
};

/** Why the whole message cannot go to this peer, or null. */
export function messageRefusal(
  message: OutgoingMessage,
  size: number,
  peer: Capabilities,
  ignore8bitChecks: boolean,
): Answer | null {
  const sender = addressKind(message.sender);
  if (sender === "unsafe") return UNSAFE_SENDER;
  if (peer.maxSize > 0 && size > peer.maxSize) {
    return {
      kind: "refused",
      code: 552,
      enhanced: [5, 3, 4],
      text: `the message of ${size} bytes is larger than the ${peer.maxSize} that the destination takes`,
    };
  }
  if (ignore8bitChecks) return null;
  if ((message.needsUtf8 || sender === "utf8") && !peer.smtpUtf8) return NEEDS_UTF8;
  return message.has8bit && !peer.eightBitMime ? NEEDS_8BIT : null;
}

/** Why one recipient cannot be named to this peer, or null. `kind` is its {@link addressKind}. */
export function recipientRefusal(kind: AddressKind, peer: Capabilities, ignore8bitChecks: boolean): Answer | null {
  if (kind === "unsafe") return UNSAFE_RECIPIENT;
  return kind === "utf8" && !peer.smtpUtf8 && !ignore8bitChecks ? NEEDS_UTF8 : null;
}
