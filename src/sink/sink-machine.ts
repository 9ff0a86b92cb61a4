/**
 * The receiving end of one SMTP session, as light as it can be: bytes in, replies out, content counted and dropped. It
 * shares its cores with the server that is being measured, so it is not the server's own machine.
 *
 * Runs on   the sink's thread
 * Owns      one session's state; with `keep`, the content of the message under way (at most `maxMessageSize`)
 * When full a recipient too many is 452, content too large 552, a line too long 500 and then the connection's end
 * On failure whatever a client sends is answered; nothing throws
 */
import type { Clock } from "../base/clock.js";
import { numberOfLocal, type TimesWriter } from "../base/times-file.js";
import { PathReader } from "../smtp/address.js";
import { Verb, verbOf } from "../smtp/command.js";
import { LineEvent, LineReader } from "../smtp/line-reader.js";
import { formatLines, Reply } from "../smtp/reply.js";
import * as replies from "../smtp/server-replies.js";
import type { Behaviour } from "./behaviour.js";
import { Chunk, parseBdat } from "./chunk.js";
import { EndOfData } from "./end-of-data.js";
import type { SinkEnvelope, SinkProfile, SinkReply } from "./options.js";
import { SinkSecurity } from "./security.js";
import type { DomainStats, SinkCounters } from "./stats.js";

/** Most recipients of one transaction (RFC 5321 §4.5.3.1.8 asks for 100 at least). */
const MAX_RECIPIENTS = 1000;
/** What the final dot and its line end add to the content. */
const END_BYTES = 3;

/** What the sessions of one sink share. */
export interface SinkParts {
  readonly profile: SinkProfile;
  readonly behaviour: Behaviour;
  readonly counters: SinkCounters;
  readonly clock: Clock;
  /** Where the moments of numbered messages are noted; null when nobody wants them. */
  readonly times: TimesWriter | null;
  /** Gets accepted messages; null when nobody wants them. */
  readonly keep: ((envelope: SinkEnvelope, content: Buffer) => void) | null;
}

const paths = new PathReader();

/** See the file's header. After each call, take what is to be sent with {@link take}. */
export class SinkMachine {
  /** The session is over: send what there is, then close. */
  closing = false;
  /** STARTTLS and AUTH. */
  readonly security: SinkSecurity;
  /** Refusals so far: a tarpit counts them. */
  refusals = 0;

  readonly #parts: SinkParts;
  readonly #lines = new LineReader();
  readonly #end = new EndOfData();
  #out = "";
  #shut = false;
  #helo: string | null = null;
  /** Null outside of a transaction. */
  #sender: string | null = null;
  readonly #domains: DomainStats[] = [];
  readonly #recipients: string[] = [];
  /** Numbers of the messages of this transaction, kept while `times` wants them. */
  readonly #numbers: number[] = [];
  /** A refusal that is said at the end of the data. */
  #late: SinkReply | null = null;
  #inData = false;
  readonly #chunk = new Chunk();
  /** Chunks of the transaction have come: no DATA any more. */
  #chunked = false;
  #bytes = 0;
  #kept: Buffer[] = [];

  constructor(parts: SinkParts) {
    this.#parts = parts;
    this.security = new SinkSecurity(parts.profile);
  }

  /** Says the greeting. */
  greet(): void {
    const { greeting, hostname } = this.#parts.profile;
    if (greeting === 220) {
      this.#out += `220 ${hostname} ESMTP\r\n`;
      return;
    }
    this.#shut = true;
    this.refuse({ code: greeting, text: `${hostname} takes no mail now` });
  }

  /** Refuses what the client wants, unasked; 421 ends the session. */
  refuse(reply: SinkReply): void {
    this.#say(this.#refusal(reply));
  }

  #refusal(reply: SinkReply): Reply {
    this.refusals++;
    return new Reply(reply.code, null, reply.text);
  }

  /** The replies since the last call, in order. */
  take(): string {
    const out = this.#out;
    this.#out = "";
    return out;
  }

  /** The handshake has ended well: everything begins again, without a greeting. */
  secured(): void {
    this.security.secured();
    this.#helo = null;
    this.#reset();
  }

  /** Takes `buffer[start, end)`, which may change afterwards. */
  receive(buffer: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end && !this.closing && !this.security.wantsTls) {
      if (this.#inData) at = this.#content(buffer, at, end);
      else at = this.#chunk.open ? this.#octets(buffer, at, end) : this.#command(buffer, at, end);
    }
  }

  #command(buffer: Buffer, at: number, end: number): number {
    const lines = this.#lines;
    switch (lines.next(buffer, at, end)) {
      case LineEvent.line:
        this.#line(lines.buffer, lines.start, lines.end);
        break;
      case LineEvent.tooLong:
        this.#say(replies.LINE_TOO_LONG);
        break;
      case LineEvent.bare:
        this.#last(replies.BARE_LINE_END);
        break;
      case LineEvent.flood:
        this.#last(replies.LINE_FLOOD);
        break;
    }
    return lines.at;
  }

  #line(buffer: Buffer, start: number, end: number): void {
    if (this.security.inAuth) {
      this.#say(this.security.respond(buffer.toString("latin1", start, end)));
      return;
    }
    const verb = verbOf(buffer, start, end);
    if (verb === Verb.quit) {
      this.#last(replies.GOODBYE);
    } else if (verb === Verb.chunk) {
      this.#bdat(buffer.toString("latin1", start, end));
    } else if (this.#shut) {
      this.#say(replies.NOT_ALLOWED);
    } else if (verb === Verb.ehlo || verb === Verb.helo) {
      this.#hello(buffer.toString("utf8", start + 4, end).trim(), verb === Verb.ehlo);
    } else {
      this.#say(this.#answer(verb, buffer, start, end));
    }
  }

  #answer(verb: Verb, buffer: Buffer, start: number, end: number): Reply {
    switch (verb) {
      case Verb.rcpt:
        return this.#rcpt(buffer.toString("utf8", start, end));
      case Verb.mail:
        return this.#mail(buffer.toString("utf8", start, end));
      case Verb.data:
        return this.#data();
      case Verb.rset:
        this.#reset();
        return replies.RSET_OK;
      case Verb.noop:
        return replies.NOOP_OK;
      case Verb.vrfy:
        return replies.VRFY_MAYBE;
      case Verb.help:
        return replies.HELP_TEXT;
      case Verb.notOffered:
        return replies.NOT_OFFERED;
      case Verb.notOfferedLast:
        return this.security.command(buffer.toString("latin1", start, end));
      default:
        return replies.UNKNOWN_COMMAND;
    }
  }

  #hello(name: string, extended: boolean): void {
    const { hostname, maxMessageSize } = this.#parts.profile;
    this.#reset();
    this.#helo = name;
    const extensions = [
      hostname,
      "PIPELINING",
      "CHUNKING",
      "8BITMIME",
      "SMTPUTF8",
      "ENHANCEDSTATUSCODES",
      `SIZE ${maxMessageSize}`,
      ...this.security.offers(),
    ];
    this.#out += extended ? formatLines(250, extensions) : `250 ${hostname}\r\n`;
  }

  #mail(line: string): Reply {
    if (this.#helo === null) return replies.HELLO_FIRST;
    if (this.#sender !== null) return replies.MAIL_TWICE;
    const early = this.security.mailRefusal();
    if (early !== null) return early;
    const at = pathStart(line, "FROM:");
    if (at < 0) return replies.MAIL_SYNTAX;
    if (!paths.read(line, at) || paths.mailbox === null) return replies.BAD_SENDER;
    const sender = paths.mailbox.text;
    const size = / SIZE=(\d{1,20})(?: |$)/i.exec(line.slice(paths.next));
    if (size !== null && Number(size[1]) > this.#parts.profile.maxMessageSize) return replies.TOO_BIG;
    const refusal = this.#parts.behaviour.mail(sender);
    if (refusal !== null) return this.#refusal(refusal);
    this.#sender = sender;
    return replies.MAIL_OK;
  }

  #rcpt(line: string): Reply {
    if (this.#sender === null) return replies.MAIL_FIRST;
    const at = pathStart(line, "TO:");
    if (at < 0) return replies.RCPT_SYNTAX;
    if (!paths.read(line, at) || paths.mailbox === null || paths.mailbox.text === "") return replies.BAD_RECIPIENT;
    if (this.#domains.length >= MAX_RECIPIENTS) return replies.TOO_MANY_RECIPIENTS;
    const { counters, behaviour, profile, times, keep } = this.#parts;
    const mailbox = paths.mailbox;
    const stats = counters.domain(mailbox.domain);
    const refusal = behaviour.recipient(mailbox.local, mailbox.domain);
    if (refusal !== null) {
      counters.refused(stats, refusal.code);
      if (profile.refuseAt === "rcpt") return this.#refusal(refusal);
      this.#late ??= refusal;
    }
    this.#domains.push(stats);
    if (times !== null) this.#numbered(mailbox.local);
    if (keep !== null) this.#recipients.push(mailbox.text);
    return replies.RCPT_OK;
  }

  #numbered(local: string): void {
    const number = numberOfLocal(local);
    if (number >= 0) this.#numbers.push(number);
  }

  #data(): Reply {
    if (this.#sender === null) return replies.MAIL_FIRST;
    if (this.#domains.length === 0) return replies.RCPT_FIRST;
    if (this.#chunked) return replies.RCPT_FIRST;
    this.#inData = true;
    this.#bytes = 0;
    this.#end.reset();
    return replies.START_INPUT;
  }

  /** BDAT (RFC 3030 §2): its octets follow whatever is answered, and the answer comes behind them. */
  #bdat(line: string): void {
    const order = parseBdat(line);
    if (order === null) {
      // How many octets follow cannot be known.
      this.#last(replies.UNKNOWN_COMMAND);
      return;
    }
    const wanted = !this.#shut && this.#sender !== null && this.#domains.length > 0;
    if (!this.#chunked) this.#bytes = 0;
    this.#chunked = wanted;
    this.#chunk.begin(order, wanted);
    if (order.size === 0) this.#chunkEnd();
  }

  #octets(buffer: Buffer, at: number, end: number): number {
    const stop = at + this.#chunk.take(end - at);
    if (this.#chunk.wanted) this.#keep(buffer, at, stop);
    this.#chunkEnd();
    return stop;
  }

  #chunkEnd(): void {
    const chunk = this.#chunk;
    if (!chunk.ended()) return;
    if (!chunk.wanted) this.#say(this.#sender === null ? replies.MAIL_FIRST : replies.RCPT_FIRST);
    else if (!chunk.last) this.#say(replies.ACCEPT);
    else this.#say(this.#finished(this.#bytes));
  }

  #keep(buffer: Buffer, at: number, stop: number): void {
    this.#bytes += stop - at;
    if (this.#parts.keep === null) return;
    if (this.#bytes - END_BYTES <= this.#parts.profile.maxMessageSize) {
      this.#kept.push(Buffer.from(buffer.subarray(at, stop)));
    } else this.#kept = [];
  }

  #content(buffer: Buffer, at: number, end: number): number {
    const found = this.#end.find(buffer, at, end);
    const stop = found < 0 ? end : found;
    this.#keep(buffer, at, stop);
    if (found >= 0) this.#say(this.#finished(this.#bytes - END_BYTES));
    return stop;
  }

  /** All of the content is there, so many bytes of it. */
  #finished(bytes: number): Reply {
    const reply = this.#verdict(bytes);
    this.#inData = false;
    this.#reset();
    return reply;
  }

  #verdict(bytes: number): Reply {
    const { profile, counters, clock, times, keep } = this.#parts;
    if (bytes > profile.maxMessageSize) return replies.TOO_BIG;
    if (this.#late !== null) return this.#refusal(this.#late);
    counters.accepted(this.#domains.length, bytes, clock.wallMs());
    for (const stats of this.#domains) stats.accepted++;
    for (const number of this.#numbers) times?.note(number);
    if (keep !== null) {
      const envelope = { helo: this.#helo ?? "", sender: this.#sender ?? "", recipients: [...this.#recipients] };
      const wire = Buffer.concat(this.#kept);
      keep(envelope, this.#chunked ? wire : unstuffed(wire, bytes));
    }
    return replies.ACCEPT;
  }

  #reset(): void {
    this.#sender = null;
    this.#domains.length = 0;
    this.#recipients.length = 0;
    this.#numbers.length = 0;
    this.#late = null;
    this.#kept = [];
    this.#chunked = false;
  }

  #say(reply: Reply): void {
    this.#out += reply.wire;
    if (this.security.wantsTls && this.#parts.profile.tls?.fault === "inject") this.#out += "250 sneaked in\r\n";
    this.#parts.counters.answered(reply.code);
    if (reply.code === 421) this.closing = true;
  }

  #last(reply: Reply): void {
    this.#say(reply);
    this.closing = true;
  }
}

/** Where the path begins in `MAIL FROM:<…>` or `RCPT TO:<…>`; blanks before it are tolerated. -1 without the keyword. */
function pathStart(line: string, keyword: string): number {
  let at = 5 + keyword.length;
  if (line.slice(5, at).toUpperCase() !== keyword) return -1;
  while (line.charCodeAt(at) === 0x20) at++;
  return at;
}

/** Content as its author wrote it: without the dots that were added for transport (RFC 5321 §4.5.2). */
function unstuffed(wire: Buffer, bytes: number): Buffer {
  const text = wire.toString("latin1", 0, bytes);
  return Buffer.from(text.replace(/(^|\r\n)\./g, "$1"), "latin1");
}
