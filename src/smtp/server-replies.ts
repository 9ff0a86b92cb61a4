import { ContentFault } from "./dot-decoder.js";
import { Reply } from "./reply.js";

/** The server's own replies, in the order of a session. Texts are free; codes are those of RFC 5321 §4.3.2 and RFC 3463. */

/** The verdict of a host that has nothing to object: the machine answers with the usual text of the command. */
export const ACCEPT = new Reply(250, [2, 0, 0], "OK");

export const SPOKE_FIRST = new Reply(554, null, "You spoke before the greeting");
export const NOT_SMTP = new Reply(554, [5, 5, 1], "This is an SMTP server");
export const OUT_OF_STEP = new Reply(554, [5, 5, 0], "More input before the reply to a command that ends a group");
export const SHUTTING_DOWN = new Reply(421, [4, 3, 2], "Server shutting down, try again later");
export const IDLE = new Reply(421, [4, 3, 2], "Idle for too long, closing");
export const TOO_MANY_ERRORS = new Reply(421, [4, 7, 0], "Too many errors in a row, closing");
export const INPUT_FLOOD = new Reply(421, [4, 7, 0], "Too much input without waiting for replies, closing");
export const LINE_FLOOD = new Reply(500, [5, 2, 3], "Line far too long; closing");
export const DRAIN_FLOOD = new Reply(421, [4, 7, 0], "Refused message without end, closing");

export const LINE_TOO_LONG = new Reply(500, [5, 2, 3], "Line too long");
export const BARE_LINE_END = new Reply(500, [5, 5, 2], "Commands end with CR LF, and have neither alone; closing");
export const CONTROL_CHARACTER = new Reply(501, [5, 5, 2], "Control character in command");
export const NOT_UTF8 = new Reply(501, [5, 5, 2], "Command is neither ASCII nor UTF-8");
export const UNKNOWN_COMMAND = new Reply(500, [5, 5, 1], "Unknown command");
export const NOT_OFFERED = new Reply(502, [5, 5, 1], "Command not offered");
export const NOT_ALLOWED = new Reply(550, [5, 7, 1], "Command not allowed");
export const NO_ARGUMENT = new Reply(501, [5, 5, 4], "This command has no argument");
export const ARGUMENT_MISSING = new Reply(501, [5, 5, 4], "Argument missing");

/** The answers to EHLO and HELO have no enhanced code, refusals included (RFC 2034 §4). */
export const BAD_HELLO = new Reply(501, null, "Your name or address literal is wanted, in ASCII");

export const HELLO_FIRST = new Reply(503, [5, 5, 1], "EHLO or HELO first");
export const MAIL_TWICE = new Reply(503, [5, 5, 0], "Sender already given");
export const MAIL_FIRST = new Reply(503, [5, 5, 0], "MAIL first");
export const RCPT_FIRST = new Reply(503, [5, 5, 0], "No recipient was accepted");

export const MAIL_SYNTAX = new Reply(501, [5, 5, 4], "Syntax: MAIL FROM:<address>");
export const RCPT_SYNTAX = new Reply(501, [5, 5, 4], "Syntax: RCPT TO:<address>");
export const BAD_SENDER = new Reply(501, [5, 1, 7], "Malformed sender address");
export const BAD_RECIPIENT = new Reply(501, [5, 1, 3], "Malformed recipient address");
export const NEEDS_SMTPUTF8 = new Reply(553, [5, 6, 7], "Address beyond ASCII without SMTPUTF8");
export const UNKNOWN_PARAMETER = new Reply(555, [5, 5, 4], "Parameter not recognized");
export const BAD_PARAMETER = new Reply(501, [5, 5, 4], "Malformed parameter");
export const REPEATED_PARAMETER = new Reply(501, [5, 5, 4], "Parameter given twice");

export const MAIL_OK = new Reply(250, [2, 1, 0], "Sender OK");
export const RCPT_OK = new Reply(250, [2, 1, 5], "Recipient OK");
export const START_INPUT = new Reply(354, null, "Send the message, end with CRLF.CRLF");
export const RSET_OK = new Reply(250, [2, 0, 0], "Reset");
export const NOOP_OK = new Reply(250, [2, 0, 0], "OK");
export const VRFY_MAYBE = new Reply(252, [2, 5, 0], "Not verified here; try to send");
export const HELP_TEXT = new Reply(214, [2, 0, 0], "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT");
export const GOODBYE = new Reply(221, [2, 0, 0], "Goodbye");

export const TOO_MANY_RECIPIENTS = new Reply(452, [4, 5, 3], "Too many recipients in this message");
export const TOO_MANY_MESSAGES = new Reply(421, [4, 5, 3], "Too many messages on this connection, open another");

export const TOO_BIG = new Reply(552, [5, 3, 4], "Message larger than the limit announced with SIZE");
export const BARE_IN_CONTENT = new Reply(552, [5, 6, 0], "Bare CR or LF in the message; closing");
export const NUL_IN_CONTENT = new Reply(554, [5, 6, 0], "NUL in the message; closing");
export const CONTENT_LINE_TOO_LONG = new Reply(500, [5, 2, 3], "Line of the message too long");
export const TOO_MANY_HOPS = new Reply(554, [5, 4, 6], "Too many hops, this message loops");

/** The refusal for what a decoder found wrong (bits of `ContentFault`); null for nothing. Doubtful bytes go first. */
export function contentRefusal(faults: number): Reply | null {
  if (faults === ContentFault.none) return null;
  if ((faults & ContentFault.bareLineEnd) !== 0) return BARE_IN_CONTENT;
  if ((faults & ContentFault.nul) !== 0) return NUL_IN_CONTENT;
  return (faults & ContentFault.tooBig) !== 0 ? TOO_BIG : CONTENT_LINE_TOO_LONG;
}
