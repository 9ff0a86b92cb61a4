import type { Capabilities } from "./client-capabilities.js";
import {
  addressKind,
  mailCommand,
  mailLine,
  type OutgoingMessage,
  rcptCommand,
  recipientRefusal,
} from "./client-envelope.js";
import type { Answer, RecipientResult, Stage } from "./client-result.js";
import { type ByteSink, endOfData, endsLine, wireSize, writeStuffed } from "./dot-encoder.js";

/** Where content goes. */
interface ContentSink extends ByteSink {
  write(text: string): void;
}

/** Recipient numbers of a message with one recipient, which nearly all have. */
const ONLY_FIRST: readonly number[] = [0];

/**
 * One mail transaction as the client sees it: which recipients are named to the peer, whose answer comes next, and what
 * is known about each. It knows nothing of the order of commands; `client-machine.ts` does.
 */
export class Transaction {
  readonly message: OutgoingMessage;
  /** What goes behind DATA: CRLF line ends, dots not yet doubled. */
  readonly content: Buffer;
  /** The MAIL command with its parameters, without line end. */
  readonly mail: string;
  /** The commands hold characters above 127 and are sent as UTF-8. */
  readonly wide: boolean;
  /** Numbers of the recipients that are named to the peer; the others are refused by us. */
  readonly named: readonly number[];
  /** Recipients that the peer has accepted so far. */
  accepted = 0;
  /** Replies that the peer gave to commands of this transaction, RSET included. */
  replies = 0;
  #at = 0;
  readonly #results: (RecipientResult | null)[];

  /** @param size bytes of the content as SIZE means it. */
  constructor(message: OutgoingMessage, content: Buffer, size: number, peer: Capabilities, ignore8bitChecks: boolean) {
    this.message = message;
    this.content = content;
    const count = message.recipients.length;
    this.#results = new Array<RecipientResult | null>(count).fill(null);
    let wide = addressKind(message.sender) === "utf8";
    let refused = 0;
    for (let i = 0; i < count; i++) {
      const recipient = message.recipients[i];
      const kind = addressKind(recipient);
      const refusal = recipientRefusal(kind, peer, ignore8bitChecks);
      if (refusal !== null) {
        this.#results[i] = { stage: "rcptTo", answer: refusal, command: null, othersAccepted: false };
        refused++;
      } else if (kind === "utf8") {
        wide = true;
      }
    }
    this.wide = wide;
    this.mail = mailLine(message, size, wide || message.needsUtf8, peer);
    this.named = count === 1 && refused === 0 ? ONLY_FIRST : this.#unsettled();
  }

  /** The RCPT command of the recipient whose turn it is, without line end. */
  get rcpt(): string {
    return this.#rcptOf(this.#at);
  }

  /** MAIL and every RCPT in one text, with their line ends: the beginning of a group (RFC 2920 §3.1). */
  get group(): string {
    let text = `${this.mail}\r\n`;
    for (let i = 0; i < this.named.length; i++) text += `${this.#rcptOf(i)}\r\n`;
    return text;
  }

  /** The BDAT command for the whole content, without line end. */
  get bdat(): string {
    return `BDAT ${wireSize(this.content)} LAST`;
  }

  /** Writes the content as it follows BDAT: every byte as it is, with a line end of its own when the last line has none. */
  writeChunk(host: ContentSink): void {
    const { content } = this;
    if (content.length > 0) host.writeBytes(content);
    if (!endsLine(content)) host.write("\r\n");
  }

  /** Writes the content and its end, or a lone dot when the peer wants content for nobody (RFC 2920 §3.1). */
  writeContent(host: ContentSink): void {
    const { message, content } = this;
    if (this.accepted === 0) {
      host.write(".\r\n");
      return;
    }
    if (message.hasDotLines || message.hasBareLineEnds) writeStuffed(content, host);
    else if (content.length > 0) host.writeBytes(content);
    host.write(endOfData(content));
  }

  /** The peer accepted the recipient whose turn it is. Returns whether another one's turn follows. */
  accept(): boolean {
    // After a refused MAIL the recipients are settled; what the peer says to the rest of the group changes nothing.
    if (this.#results[this.named[this.#at]] === null) this.accepted++;
    return this.#next();
  }

  /** The peer refused the recipient whose turn it is. Returns whether another one's turn follows. */
  refuse(answer: Answer): boolean {
    const index = this.named[this.#at];
    if (this.#results[index] === null) {
      this.#results[index] = { stage: "rcptTo", answer, command: this.rcpt, othersAccepted: this.accepted > 0 };
    }
    return this.#next();
  }

  /** Gives the next accepted recipient this result. Returns whether another one's answer follows. */
  settleNext(stage: Stage, answer: Answer, command: string | null): boolean {
    const results = this.#results;
    const index = results.indexOf(null);
    results[index] = { stage, answer, command, othersAccepted: false };
    return results.includes(null, index);
  }

  /** Gives every recipient that has no result yet this one. */
  settle(stage: Stage, answer: Answer, command: string | null): void {
    const results = this.#results;
    for (let i = 0; i < results.length; i++) {
      results[i] ??= { stage, answer, command, othersAccepted: false };
    }
    this.accepted = 0;
  }

  /** The results, one per recipient, once all are settled. */
  results(): readonly RecipientResult[] {
    return this.#results.filter((result) => result !== null);
  }

  /** The command that the peer answers at `stage`, as it is logged. */
  commandAt(stage: Stage): string | null {
    switch (stage) {
      case "rset":
        return "RSET";
      case "mailFrom":
        return mailCommand(this.message.sender);
      case "rcptTo":
        return this.rcpt;
      case "data":
        return "DATA";
      case "dataDot":
        return ".";
      case "bdat":
        return "BDAT";
      default:
        return null;
    }
  }

  #rcptOf(at: number): string {
    return rcptCommand(this.message.recipients[this.named[at]]);
  }

  #next(): boolean {
    this.#at++;
    return this.#at < this.named.length;
  }

  #unsettled(): readonly number[] {
    const numbers: number[] = [];
    for (let i = 0; i < this.#results.length; i++) if (this.#results[i] === null) numbers.push(i);
    return numbers;
  }
}
