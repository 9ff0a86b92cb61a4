import { ContentFault } from "./dot-decoder.js";
import { Reply } from "./reply.js";

/** The server's own replies, in the order of a session. Texts are free; codes are those of RFC 5321 §4.3.2 and RFC 3463. */

/** The verdict of a host that has nothing to object: the machine answers with the usual text of the command. */
export const ACCEPT = new Reply(250, [2, 0, 0], "OK");

/** In the greeting's place, to whoever spoke before it (RFC 5321 §4.3.1); closes. */
export const SPOKE_FIRST = new Reply(554, null, "You spoke before the greeting");
/** To an HTTP request, a header line or a TLS handshake; closes. */
export const NOT_SMTP = new Reply(554, [5, 5, 1], "This is an SMTP server");
/** To EHLO, HELO, DATA and their like when more input is behind them already (RFC 2920 §3.1); closes. */
export const OUT_OF_STEP = new Reply(554, [5, 5, 0], "More input before the reply to a command that ends a group");
/** The server stops: at the next safe point of each session; closes. */
export const SHUTTING_DOWN = new Reply(421, [4, 3, 2], "Server shutting down, try again later");
/** Nothing came for the listener's `client_timeout`; closes. */
export const IDLE = new Reply(421, [4, 3, 2], "Idle for too long, closing");
/** Behind the last of `MAX_ERRORS_IN_ROW` protocol errors; closes. */
export const TOO_MANY_ERRORS = new Reply(421, [4, 7, 0], "Too many errors in a row, closing");
/** More input while waiting than `MAX_KEPT_OCTETS`; closes. */
export const INPUT_FLOOD = new Reply(421, [4, 7, 0], "Too much input without waiting for replies, closing");
/** A command line past `MAX_SKIPPED_OCTETS`; closes. */
export const LINE_FLOOD = new Reply(500, [5, 2, 3], "Line far too long; closing");
/** A doomed message that does not end; closes. */
export const DRAIN_FLOOD = new Reply(421, [4, 7, 0], "Refused message without end, closing");

/** A command line past `MAX_COMMAND_OCTETS`, at its end. */
export const LINE_TOO_LONG = new Reply(500, [5, 2, 3], "Line too long");
/** A command with a bare CR or LF in it; closes, since two readers disagree where it ends. */
export const BARE_LINE_END = new Reply(500, [5, 5, 2], "Commands end with CR LF, and have neither alone; closing");
/** A command with any other control character. */
export const CONTROL_CHARACTER = new Reply(501, [5, 5, 2], "Control character in command");
/** A command whose bytes above 127 are no UTF-8. */
export const NOT_UTF8 = new Reply(501, [5, 5, 2], "Command is neither ASCII nor UTF-8");
/** A verb that nobody knows. */
export const UNKNOWN_COMMAND = new Reply(500, [5, 5, 1], "Unknown command");
/** A verb that exists and that EHLO did not offer. */
export const NOT_OFFERED = new Reply(502, [5, 5, 1], "Command not offered");
/** XCLIENT and XFORWARD: identity comes from the connection alone. */
export const NOT_ALLOWED = new Reply(550, [5, 7, 1], "Command not allowed");
/** DATA, RSET or QUIT with something behind it. */
export const NO_ARGUMENT = new Reply(501, [5, 5, 4], "This command has no argument");
/** VRFY of nobody. */
export const ARGUMENT_MISSING = new Reply(501, [5, 5, 4], "Argument missing");

/** The answers to EHLO and HELO have no enhanced code, refusals included (RFC 2034 §4). */
export const BAD_HELLO = new Reply(501, null, "Your name or address literal is wanted, in ASCII");

/** MAIL, RCPT or DATA before EHLO or HELO. */
export const HELLO_FIRST = new Reply(503, [5, 5, 1], "EHLO or HELO first");
/** MAIL inside a transaction, which goes on. */
export const MAIL_TWICE = new Reply(503, [5, 5, 0], "Sender already given");
/** RCPT or DATA outside of a transaction. */
export const MAIL_FIRST = new Reply(503, [5, 5, 0], "MAIL first");
/** DATA without an accepted recipient; the transaction goes on. */
export const RCPT_FIRST = new Reply(503, [5, 5, 0], "No recipient was accepted");

/** MAIL without `FROM:`. */
export const MAIL_SYNTAX = new Reply(501, [5, 5, 4], "Syntax: MAIL FROM:<address>");
/** RCPT without `TO:`. */
export const RCPT_SYNTAX = new Reply(501, [5, 5, 4], "Syntax: RCPT TO:<address>");
/** MAIL whose path is none. */
export const BAD_SENDER = new Reply(501, [5, 1, 7], "Malformed sender address");
/** RCPT whose path is none, or null. */
export const BAD_RECIPIENT = new Reply(501, [5, 1, 3], "Malformed recipient address");
/** An address beyond ASCII in a transaction without SMTPUTF8 (RFC 6531 §3.5). */
export const NEEDS_SMTPUTF8 = new Reply(553, [5, 6, 7], "Address beyond ASCII without SMTPUTF8");
/** A parameter of no extension that EHLO offered. */
export const UNKNOWN_PARAMETER = new Reply(555, [5, 5, 4], "Parameter not recognized");
/** SIZE, BODY or SMTPUTF8 with a wrong value. */
export const BAD_PARAMETER = new Reply(501, [5, 5, 4], "Malformed parameter");
/** One of them twice. */
export const REPEATED_PARAMETER = new Reply(501, [5, 5, 4], "Parameter given twice");

/** MAIL that the host accepts. */
export const MAIL_OK = new Reply(250, [2, 1, 0], "Sender OK");
/** RCPT that the host accepts. */
export const RCPT_OK = new Reply(250, [2, 1, 5], "Recipient OK");
/** DATA that the host accepts. */
export const START_INPUT = new Reply(354, null, "Send the message, end with CRLF.CRLF");
/** RSET. */
export const RSET_OK = new Reply(250, [2, 0, 0], "Reset");
/** NOOP, with any argument. */
export const NOOP_OK = new Reply(250, [2, 0, 0], "OK");
/** VRFY: nobody's existence is told (RFC 5321 §7.3). */
export const VRFY_MAYBE = new Reply(252, [2, 5, 0], "Not verified here; try to send");
/** HELP, with any argument. */
export const HELP_TEXT = new Reply(214, [2, 0, 0], "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT");
/** QUIT; closes. */
export const GOODBYE = new Reply(221, [2, 0, 0], "Goodbye");

/** RCPT past `max_recipients_per_message`; those before stay (RFC 5321 §4.5.3.1.10). */
export const TOO_MANY_RECIPIENTS = new Reply(452, [4, 5, 3], "Too many recipients in this message");
/** MAIL past `max_messages_per_connection`, which counts accepted messages; closes. */
export const TOO_MANY_MESSAGES = new Reply(421, [4, 5, 3], "Too many messages on this connection, open another");

/** SIZE past `max_message_size`, or content, at its true end. */
export const TOO_BIG = new Reply(552, [5, 3, 4], "Message larger than the limit announced with SIZE");
/** Content with a bare CR or LF under `invalid_line_endings = "Deny"`, at its true end; closes. */
export const BARE_IN_CONTENT = new Reply(552, [5, 6, 0], "Bare CR or LF in the message; closing");
/** Content with a NUL, at its true end; closes. */
export const NUL_IN_CONTENT = new Reply(554, [5, 6, 0], "NUL in the message; closing");
/** Content with a line past `line_length_hard_limit`, at its true end. */
export const CONTENT_LINE_TOO_LONG = new Reply(500, [5, 2, 3], "Line of the message too long");
/** Content with more Received fields than `max_hops` (RFC 5321 §6.3). */
export const TOO_MANY_HOPS = new Reply(554, [5, 4, 6], "Too many hops, this message loops");

/** The refusal for what a decoder found wrong (bits of `ContentFault`); null for nothing. Doubtful bytes go first. */
export function contentRefusal(faults: number): Reply | null {
  if (faults === ContentFault.none) return null;
  if ((faults & ContentFault.bareLineEnd) !== 0) return BARE_IN_CONTENT;
  if ((faults & ContentFault.nul) !== 0) return NUL_IN_CONTENT;
  return (faults & ContentFault.tooBig) !== 0 ? TOO_BIG : CONTENT_LINE_TOO_LONG;
}
