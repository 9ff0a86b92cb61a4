import { isUtf8 } from "node:buffer";
import { type Mailbox, NULL_SENDER, PathReader } from "./address.js";
import type { Reply } from "./reply.js";
import * as say from "./server-replies.js";

/** Longest name in EHLO that is taken (RFC 5321 §4.5.3.1.2). */
const MAX_HELLO_OCTETS = 255;
const SPACE = 0x20;
const EQUALS = 0x3d;

/** The verbs of command lines (RFC 5321 §4.1.1), told apart by four octets at once, in any case. */

/** What a command line begins with. */
export const Verb = {
  unknown: 0,
  ehlo: 1,
  helo: 2,
  mail: 3,
  rcpt: 4,
  data: 5,
  rset: 6,
  noop: 7,
  quit: 8,
  vrfy: 9,
  help: 10,
  /** A command that exists and is not offered here: EXPN, SEND, SOML, SAML, TURN, ETRN, ATRN. */
  notOffered: 11,
  /** The same, but one that ends a group and may be followed by something else than commands: AUTH, STARTTLS. */
  notOfferedLast: 12,
  /** Claims to be somebody else: XCLIENT, XFORWARD. */
  notAllowed: 13,
  /** Not SMTP at all: an HTTP request, a header line. */
  foreign: 14,
  /** BDAT, which is not offered either: a chunk of a message follows it whatever is answered (RFC 3030 §2). */
  chunk: 15,
} as const;
/** One of {@link Verb}. */
export type Verb = (typeof Verb)[keyof typeof Verb];

const COLON = 0x3a;

/** Four letters as one number, in capitals. */
function four(text: string): number {
  const at = (i: number) => text.charCodeAt(i) & 0xdf;
  return (at(0) << 24) | (at(1) << 16) | (at(2) << 8) | at(3);
}

const EHLO = four("EHLO");
const HELO = four("HELO");
const MAIL = four("MAIL");
const RCPT = four("RCPT");
const DATA = four("DATA");
const RSET = four("RSET");
const NOOP = four("NOOP");
const QUIT = four("QUIT");
const VRFY = four("VRFY");
const HELP = four("HELP");

const OTHERS: ReadonlyMap<string, Verb> = new Map<string, Verb>([
  ...["EXPN", "SEND", "SOML", "SAML", "TURN", "ETRN", "ATRN"].map((verb) => [verb, Verb.notOffered] as const),
  ...["AUTH", "STARTTLS"].map((verb) => [verb, Verb.notOfferedLast] as const),
  ...["XCLIENT", "XFORWARD"].map((verb) => [verb, Verb.notAllowed] as const),
  ["BDAT", Verb.chunk],
  ...["GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PRI"].map(
    (verb) => [verb, Verb.foreign] as const,
  ),
]);

/** Longest verb of {@link OTHERS}. */
const MAX_VERB_OCTETS = 8;

/** The verb of the command line `buffer[start, end)`; it ends at a blank or with the line. */
export function verbOf(buffer: Buffer, start: number, end: number): Verb {
  const behind = start + 4;
  if (end === behind || (end > behind && buffer[behind] === SPACE)) {
    const word =
      (((buffer[start] as number) << 24) |
        ((buffer[start + 1] as number) << 16) |
        ((buffer[start + 2] as number) << 8) |
        (buffer[start + 3] as number)) &
      0xdfdfdfdf;
    switch (word) {
      case RCPT:
        return Verb.rcpt;
      case MAIL:
        return Verb.mail;
      case DATA:
        return Verb.data;
      case RSET:
        return Verb.rset;
      case NOOP:
        return Verb.noop;
      case EHLO:
        return Verb.ehlo;
      case HELO:
        return Verb.helo;
      case QUIT:
        return Verb.quit;
      case VRFY:
        return Verb.vrfy;
      case HELP:
        return Verb.help;
      default:
    }
  }
  return otherVerb(buffer, start, end);
}

function otherVerb(buffer: Buffer, start: number, end: number): Verb {
  let stop = start;
  while (stop < end && buffer[stop] !== SPACE) {
    stop++;
  }
  // A header line, as when a refused message goes on as commands, or a form that was posted here.
  if (stop > start + 1 && buffer[stop - 1] === COLON) return Verb.foreign;
  if (stop - start > MAX_VERB_OCTETS) return Verb.unknown;
  return OTHERS.get(buffer.toString("latin1", start, stop).toUpperCase()) ?? Verb.unknown;
}

/** Whether the verb is one that a client ends a group with, because what follows depends on its answer (RFC 2920 §3.1). */
export function endsGroup(verb: Verb): boolean {
  return verb === Verb.data || verb === Verb.ehlo || verb === Verb.helo || verb === Verb.notOfferedLast;
}

/** A command line without its line end, as a line reader gives it. */
export interface CommandLine {
  readonly buffer: Buffer;
  readonly start: number;
  readonly end: number;
  /** It has an octet above 127. */
  readonly high: boolean;
  /** It has a control character. */
  readonly control: boolean;
}

/** What MAIL says beside the address. */
export interface MailParameters {
  /** Octets as declared with SIZE (RFC 1870), -1 when not declared. */
  readonly declaredSize: number;
  /** BODY=8BITMIME was given (RFC 6152). */
  readonly declared8bit: boolean;
  /** SMTPUTF8 was given (RFC 6531). */
  readonly smtpUtf8: boolean;
}

/**
 * Reads command lines as a server does: what a line says, and whether it may be said at all; whether it may be said now is
 * the machine's business. Keeps the last command; one reader per thread is enough.
 */
export class CommandReader implements MailParameters {
  verb: Verb = Verb.unknown;
  /** The client's name in EHLO and HELO. */
  name = "";
  /** The address in MAIL and RCPT. */
  mailbox: Mailbox = NULL_SENDER;
  declaredSize = -1;
  declared8bit = false;
  smtpUtf8 = false;
  readonly #path = new PathReader();

  /** Reads one line. Returns null when it is a command that is offered and well formed, otherwise the refusal. */
  read(line: CommandLine): Reply | null {
    const { buffer, start } = line;
    let end = line.end;
    this.verb = Verb.unknown;
    if (line.control) return say.CONTROL_CHARACTER;
    if (line.high && !isUtf8(buffer.subarray(start, end))) return say.NOT_UTF8;
    while (end > start && buffer[end - 1] === SPACE) end--;
    const verb = verbOf(buffer, start, end);
    this.verb = verb;
    switch (verb) {
      case Verb.mail:
        return this.#readMail(textOf(line, end));
      case Verb.rcpt:
        return this.#readRcpt(textOf(line, end));
      case Verb.ehlo:
      case Verb.helo:
        return this.#readHello(textOf(line, end));
      case Verb.data:
      case Verb.rset:
      case Verb.quit:
        return end === start + 4 ? null : say.NO_ARGUMENT;
      case Verb.vrfy:
        return end === start + 4 ? say.ARGUMENT_MISSING : null;
      case Verb.noop:
      case Verb.help:
        return null;
      case Verb.notOffered:
      case Verb.notOfferedLast:
      case Verb.chunk:
        return say.NOT_OFFERED;
      case Verb.notAllowed:
        return say.NOT_ALLOWED;
      case Verb.foreign:
        return say.NOT_SMTP;
      default:
        return say.UNKNOWN_COMMAND;
    }
  }

  #readHello(line: string): Reply | null {
    const name = line.slice(skipBlanks(line, 4));
    // RFC 6531 §3.7.1: ASCII, in that form of the name too.
    if (name === "" || name.length > MAX_HELLO_OCTETS || !/^[!-~]+$/.test(name)) return say.BAD_HELLO;
    this.name = name;
    return null;
  }

  #readMail(line: string): Reply | null {
    this.declaredSize = -1;
    this.declared8bit = false;
    this.smtpUtf8 = false;
    const at = argumentAt(line, 4, "FROM:");
    if (at < 0) return say.MAIL_SYNTAX;
    if (!this.#readPath(line, at)) return say.BAD_SENDER;
    if (this.mailbox.domain === "" && this.mailbox !== NULL_SENDER) return say.BAD_SENDER;
    const refusal = this.#path.next < line.length ? this.#readMailParameters(line, this.#path.next) : null;
    if (refusal !== null) return refusal;
    return this.mailbox.utf8 && !this.smtpUtf8 ? say.NEEDS_SMTPUTF8 : null;
  }

  #readRcpt(line: string): Reply | null {
    const at = argumentAt(line, 4, "TO:");
    if (at < 0) return say.RCPT_SYNTAX;
    if (!this.#readPath(line, at) || this.mailbox === NULL_SENDER) return say.BAD_RECIPIENT;
    const next = this.#path.next;
    if (next === line.length) return null;
    // No parameter of RCPT is offered; those of RFC 3461 are refused as others are.
    return line.charCodeAt(next) === SPACE ? say.UNKNOWN_PARAMETER : say.BAD_RECIPIENT;
  }

  #readPath(line: string, at: number): boolean {
    const path = this.#path;
    if (!path.read(line, at) || path.mailbox === null) return false;
    this.mailbox = path.mailbox;
    path.mailbox = null;
    return true;
  }

  #readMailParameters(line: string, from: number): Reply | null {
    if (line.charCodeAt(from) !== SPACE) return say.BAD_SENDER;
    let bodyGiven = false;
    const end = line.length;
    let at = from;
    while (at < end) {
      if (line.charCodeAt(at) === SPACE) {
        at++;
        continue;
      }
      let stop = at;
      let equals = -1;
      while (stop < end && line.charCodeAt(stop) !== SPACE) {
        if (equals < 0 && line.charCodeAt(stop) === EQUALS) equals = stop;
        stop++;
      }
      const keyword = line.slice(at, equals < 0 ? stop : equals).toUpperCase();
      const value = equals < 0 ? null : line.slice(equals + 1, stop);
      if (keyword === "SIZE") {
        if (this.declaredSize >= 0) return say.REPEATED_PARAMETER;
        if (value === null || !/^\d{1,20}$/.test(value)) return say.BAD_PARAMETER;
        this.declaredSize = Number(value);
      } else if (keyword === "BODY") {
        if (bodyGiven) return say.REPEATED_PARAMETER;
        bodyGiven = true;
        const body = value === null ? "" : value.toUpperCase();
        if (body === "8BITMIME") this.declared8bit = true;
        else if (body !== "7BIT") return say.BAD_PARAMETER;
      } else if (keyword === "SMTPUTF8") {
        if (this.smtpUtf8) return say.REPEATED_PARAMETER;
        if (value !== null) return say.BAD_PARAMETER;
        this.smtpUtf8 = true;
      } else {
        return say.UNKNOWN_PARAMETER;
      }
      at = stop;
    }
    return null;
  }
}

function textOf(line: CommandLine, end: number): string {
  return line.buffer.toString(line.high ? "utf8" : "latin1", line.start, end);
}

/** Index of what follows `word` (in any case) behind the verb, blanks around it skipped; -1 when it is not there. */
function argumentAt(line: string, verbEnd: number, word: string): number {
  let at = skipBlanks(line, verbEnd);
  for (let i = 0; i < word.length; i++, at++) {
    const char = line.charCodeAt(at);
    const wanted = word.charCodeAt(i);
    if (char !== wanted && char !== (wanted | 0x20)) return -1;
  }
  return skipBlanks(line, at);
}

function skipBlanks(text: string, at: number): number {
  while (text.charCodeAt(at) === SPACE) at++;
  return at;
}
