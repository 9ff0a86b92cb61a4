import { assert } from "../base/assert.js";
import type { BufferPool } from "../base/buffer-pool.js";
import { type Mailbox, NULL_SENDER } from "./address.js";
import { CommandReader, endsGroup, Verb } from "./command.js";
import type { LineReader } from "./line-reader.js";
import type { Reply } from "./reply.js";
import { Incoming } from "./server-incoming.js";
import { ServerInput } from "./server-input.js";
import { ServerOutput } from "./server-output.js";
import { Question } from "./server-question.js";
import * as say from "./server-replies.js";
import { MAX_ERRORS_IN_ROW, type ServerSettings } from "./server-settings.js";
import { type ServerHost, type ServerPhase, Transaction } from "./server-transaction.js";

/**
 * One SMTP session on the server's side: bytes in, actions on its host out.
 *
 *     greeting ─greet─▶ commands ◀─────────────────── finish ──┐
 *                        │    ▲ │                              │
 *        MAIL, RCPT, DATA▼    │ └─ DATA accepted ▶ content ─▶ storing          from any: ─▶ closed
 *                       deciding ─ answer ─────────▲
 *
 * Runs on: a worker, one per connection in.
 * Owns: the session's state, its transaction, its content (`Incoming`) and its input (`ServerInput`).
 * When full: input beyond the pause mark sets `paused`; beyond its ceiling the session ends with 421.
 * On failure: whatever a peer sends is answered, never thrown. A call that the host must not make is a Panic.
 *
 * Replies of one call are joined and written once, at its end. A bare CR or LF, in commands or (unless repaired) in content,
 * ends the session: where lines end differently for two readers, so do commands.
 */
export class ServerMachine {
  /** Name that the client gave with EHLO or HELO, "" before. Printable ASCII without blanks, otherwise anything. */
  helloName = "";
  /** The client said EHLO, so it speaks ESMTP. */
  extended = false;
  /** Messages accepted on this connection. */
  messages = 0;
  readonly transaction = new Transaction();

  readonly #settings: ServerSettings;
  readonly #host: ServerHost;
  readonly #output: ServerOutput;
  readonly #incoming: Incoming;
  readonly #question = new Question();
  readonly #input: ServerInput;
  #phase: ServerPhase = "greeting";
  /** MAIL was accepted. */
  #open = false;
  #errors = 0;
  #stopping = false;
  #peerEnded = false;

  constructor(settings: ServerSettings, host: ServerHost, pool: BufferPool) {
    this.#settings = settings;
    this.#host = host;
    this.#output = new ServerOutput(host, this.transaction);
    this.#incoming = new Incoming(settings, pool);
    this.#input = new ServerInput({
      phase: () => this.#phase,
      line: (lines, more) => this.#runLine(lines, more),
      wrongLine: (reply) => this.#error(reply, null),
      content: (buffer, start, end) => this.#readContent(buffer, start, end),
      end: (reply) => this.#endWith(reply, null),
    });
  }

  /** Where the session stands. */
  get phase(): ServerPhase {
    return this.#phase;
  }

  /** Too much input waits: stop reading from the connection until this is false again (look after `answer` and `finish`). */
  get paused(): boolean {
    return this.#input.isHigh;
  }

  /** A command line has begun to come in and is not whole yet. */
  get inLine(): boolean {
    return this.#phase === "commands" && this.#input.inLine;
  }

  /** Says 220. Until then, whoever speaks is sent away. */
  greet(): void {
    if (this.#phase === "closed") return;
    assert(this.#phase === "greeting", "a session is greeted once");
    this.#phase = "commands";
    this.#output.say(this.#settings.greeting);
    this.#output.flush();
  }

  /** Bytes arrived: `buffer[start, end)`, not used after this returns. */
  feed(buffer: Buffer, start: number, end: number): void {
    if (start >= end || this.#phase === "closed") return;
    if (this.#phase === "greeting") this.#endWith(say.SPOKE_FIRST, null);
    else this.#input.run(buffer, start, end);
    this.#output.flush();
  }

  /** The verdict that the host owed. Ignored when the session has ended meanwhile. */
  answer(verdict: Reply): void {
    if (this.#phase === "closed") return;
    assert(this.#phase === "deciding", "a verdict was asked for");
    this.#decide(verdict);
    this.#resume();
  }

  /** The final reply of the message that the host was given, after it was stored or refused. */
  finish(reply: Reply): void {
    this.#incoming.takeBack();
    if (this.#phase === "closed") {
      this.transaction.clear();
    } else {
      this.#endMessage(reply);
      this.#resume();
    }
  }

  /** Nothing came for too long: 421 and close. Not while a message is being stored: its answer is on the way. */
  idleTimeout(): void {
    if (this.#phase !== "storing") this.#endWith(say.IDLE, null);
  }

  /** Ends with 421 at the next safe point: at once, or after the message that is coming in has been answered. */
  shutdown(): void {
    this.#stopping = true;
    if (this.#phase !== "content" && this.#phase !== "storing") this.#endWith(say.SHUTTING_DOWN, null);
  }

  /** Ends at once with this reply: a deadline of the host's, or a refusal in the greeting's place. */
  abort(reply: Reply): void {
    this.#endWith(reply, null);
  }

  /** The peer will send no more. What it has sent is still answered; a message without its end is not. */
  peerEnded(): void {
    this.#peerEnded = true;
    if (this.#phase !== "deciding" && this.#phase !== "storing") this.#close();
  }

  /** The connection is gone: the host is not called again. */
  peerLost(): void {
    this.#output.drop();
    this.#end();
  }

  /** Goes on with what came while the session waited. */
  #resume(): void {
    // Called from inside a callback: the loop that called back goes on by itself.
    if (this.#input.running) return;
    if (this.#isReading()) this.#input.runKept();
    if (this.#peerEnded && this.#isReading()) this.#close();
    else this.#output.flush();
  }

  #isReading(): boolean {
    return this.#phase === "commands" || this.#phase === "content";
  }

  /** See `InputUser.line`. */
  #runLine(lines: LineReader, more: boolean): void {
    const refusal = commands.read(lines);
    const verb = commands.verb;
    if (more && endsGroup(verb) && this.#settings.enforceGroups) {
      this.#endWith(say.OUT_OF_STEP, lines.forLog());
      return;
    }
    const error = refusal ?? this.#runCommand(verb);
    if (error === null) this.#errors = 0;
    // What follows these is no commands, and must not be run as such.
    else if (verb === Verb.foreign || verb === Verb.chunk) this.#endWith(error, lines.forLog());
    else this.#error(error, lines.forLog());
  }

  /** Runs a well-formed command; returns a refusal by the protocol, or null when it was answered or is being decided. */
  #runCommand(verb: Verb): Reply | null {
    const isGreeted = this.helloName !== "";
    switch (verb) {
      case Verb.mail:
        return isGreeted ? this.#mail() : say.HELLO_FIRST;
      case Verb.rcpt:
        return isGreeted ? this.#rcpt() : say.HELLO_FIRST;
      case Verb.data:
        return isGreeted ? this.#data() : say.HELLO_FIRST;
      case Verb.ehlo:
      case Verb.helo:
        this.#clearTransaction();
        this.helloName = commands.name;
        this.extended = verb === Verb.ehlo;
        this.#output.say(this.extended ? this.#settings.ehlo : this.#settings.helo);
        return null;
      case Verb.rset:
        this.#clearTransaction();
        this.#output.say(say.RSET_OK.wire);
        return null;
      case Verb.quit:
        this.#output.say(say.GOODBYE.wire);
        this.#close();
        return null;
      default:
        this.#output.say((verb === Verb.noop ? say.NOOP_OK : verb === Verb.vrfy ? say.VRFY_MAYBE : say.HELP_TEXT).wire);
        return null;
    }
  }

  #mail(): Reply | null {
    if (this.#open) return say.MAIL_TWICE;
    const { maxOctets, maxMessages } = this.#settings;
    if (maxOctets > 0 && commands.declaredSize > maxOctets) return say.TOO_BIG;
    const sender = commands.mailbox;
    this.transaction.begin(sender, commands);
    this.#ask(Verb.mail, sender);
    const isFull = this.messages >= maxMessages;
    const verdict = isFull ? say.TOO_MANY_MESSAGES : this.#host.onMail(sender, this.transaction);
    if (verdict !== null) this.#decide(verdict);
    return null;
  }

  #rcpt(): Reply | null {
    if (!this.#open) return say.MAIL_FIRST;
    const recipient = commands.mailbox;
    if (recipient.utf8 && !this.transaction.smtpUtf8) return say.NEEDS_SMTPUTF8;
    this.#ask(Verb.rcpt, recipient);
    const isFull = this.transaction.recipients.length >= this.#settings.maxRecipients;
    const verdict = isFull ? say.TOO_MANY_RECIPIENTS : this.#host.onRcpt(recipient, this.transaction);
    if (verdict !== null) this.#decide(verdict);
    return null;
  }

  #data(): Reply | null {
    if (!this.#open) return say.MAIL_FIRST;
    if (this.transaction.recipients.length === 0) return say.RCPT_FIRST;
    this.#ask(Verb.data, NULL_SENDER);
    const verdict = this.#host.onDataCommand(this.transaction);
    if (verdict !== null) this.#decide(verdict);
    return null;
  }

  #ask(verb: Verb, mailbox: Mailbox): void {
    this.#phase = "deciding";
    this.#question.verb = verb;
    this.#question.mailbox = mailbox;
  }

  /** Carries out the verdict on the command that was asked about. */
  #decide(verdict: Reply): void {
    const { verb, mailbox } = this.#question;
    this.#phase = "commands";
    if (verdict.code >= 400) {
      this.#reject(verdict, this.#question.command, this.#question.recipient);
      if (verb !== Verb.rcpt) this.#clearTransaction();
    } else if (verb === Verb.data) {
      this.#beginContent();
    } else {
      if (verb === Verb.rcpt) this.transaction.recipients.push(mailbox);
      else this.#open = true;
      this.#output.say(this.#question.accepted(verdict).wire);
    }
  }

  #beginContent(): void {
    if (this.#input.waiting > 0 && this.#settings.enforceGroups) {
      this.#endWith(say.OUT_OF_STEP, "DATA");
      return;
    }
    this.#phase = "content";
    this.#incoming.begin(this.transaction.declaredSize);
    this.#output.say(say.START_INPUT.wire);
  }

  #readContent(buffer: Buffer, start: number, end: number): number {
    const incoming = this.#incoming;
    const at = incoming.take(buffer, start, end);
    if (incoming.done) {
      const refusal = incoming.refusal();
      if (refusal === null) {
        this.#phase = "storing";
        this.#host.onMessage(incoming.lend(), this.transaction);
      } else {
        incoming.clear();
        this.#endMessage(refusal);
      }
    } else if (incoming.flooded) {
      this.#endWith(say.DRAIN_FLOOD, ".");
    }
    return at;
  }

  /** Answers the end of data. The transaction is empty afterwards, good or bad (RFC 5321 §4.1.1.4). */
  #endMessage(reply: Reply): void {
    this.#phase = "commands";
    if (reply.code < 400) {
      this.messages++;
      this.#output.say(reply.wire);
    } else {
      this.#reject(reply, ".", null);
    }
    this.#clearTransaction();
    // Whose line ends are in doubt, or bytes are not text: so is where the next command begins.
    if (reply === say.BARE_IN_CONTENT || reply === say.NUL_IN_CONTENT) this.#close();
    else if (this.#stopping) this.#endWith(say.SHUTTING_DOWN, null);
  }

  #clearTransaction(): void {
    this.#open = false;
    this.transaction.clear();
  }

  /** A refusal by policy or of a message: it says nothing about the client's manners. 421 ends the session. */
  #reject(reply: Reply, command: string, recipient: Mailbox | null): void {
    this.#output.refuse(reply, command, recipient);
    if (reply.code === 421) this.#close();
  }

  /** A refusal of a command that the protocol does not know or allow here; too many in a row end the session. */
  #error(reply: Reply, command: string | null): void {
    this.#output.refuse(reply, command, null);
    if (++this.#errors >= MAX_ERRORS_IN_ROW) this.#endWith(say.TOO_MANY_ERRORS, null);
  }

  /** Ends the session with a last reply. */
  #endWith(reply: Reply, command: string | null): void {
    if (this.#phase === "closed") return;
    this.#output.refuse(reply, command, null);
    this.#close();
  }

  #close(): void {
    if (this.#phase === "closed") return;
    this.#output.flush();
    this.#end();
    this.#host.close();
  }

  #end(): void {
    this.#phase = "closed";
    this.#input.clear();
    if (this.#incoming.isLent) return;
    this.#incoming.clear();
    this.#clearTransaction();
  }
}

/** One reader for all sessions of the thread: what it read is taken over before anybody else can use it. */
const commands = new CommandReader();
