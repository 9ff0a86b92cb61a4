import { assert, unreachable } from "../base/assert.js";
import { type Capabilities, NO_CAPABILITIES, parseCapabilities } from "./client-capabilities.js";
import { messageRefusal, type OutgoingMessage } from "./client-envelope.js";
import { type ClientHost, type ClientOptions, type ClientPhase, deadlineOf } from "./client-host.js";
import type { Answer, SessionEnd, StepResult } from "./client-result.js";
import { Transaction } from "./client-transaction.js";
import { wireSize, withCrlfLineEnds } from "./dot-encoder.js";
import { type PeerReply, ReplyReader } from "./reply-reader.js";

/**
 * The client side of an SMTP session (RFC 5321 §3, RFC 2920): bytes of the peer in, commands and results out.
 *
 * Runs on: a worker, one machine per connection out. It has no socket, no timer and no clock.
 * Owns: where the session stands, what the peer offered, and the one transaction under way.
 * When full: holds one message at a time; `send` is called again after `onResult`. Replies are bounded by the reader.
 * On failure: before it is ready it reports `onFailed`, later the message's result and `onClosing`; it never throws for
 *   anything that a peer or a message holds.
 *
 *     banner ─▶ ehlo ─▶ (helo) ─▶ ready ⇄ [rset] ─▶ mailFrom ─▶ rcptTo… ─▶ data ─▶ dataDot
 *                                   └────▶ quit ─▶ closed
 *
 * Every reply answers exactly one command. Bytes that come when nothing is asked are never kept for a later command:
 * between messages they mean that the peer is closing, inside a transaction that the session cannot be trusted.
 */
export class ClientMachine {
  readonly #options: ClientOptions;
  readonly #host: ClientHost;
  readonly #reader = new ReplyReader();
  #phase: ClientPhase = "banner";
  #progress = 1;
  #peer: Capabilities = NO_CAPABILITIES;
  #transaction: Transaction | null = null;
  /** The commands of the transaction were written together. */
  #pipelined = false;
  /** Transactions that the peer has answered. */
  #served = 0;
  #lastFailed = false;
  #quitAsked = false;

  constructor(options: ClientOptions, host: ClientHost) {
    this.#options = options;
    this.#host = host;
  }

  /** What the machine waits for. */
  get phase(): ClientPhase {
    return this.#phase;
  }

  /** What the peer offers; nothing before `onReady`. */
  get capabilities(): Capabilities {
    return this.#peer;
  }

  /** Changes whenever the current wait begins anew. */
  get progress(): number {
    return this.#progress;
  }

  /** How long the current wait may last, in ms; Infinity when nothing is waited for. */
  get deadlineMs(): number {
    return deadlineOf(this.#phase, this.#options.path);
  }

  /** Takes bytes of the peer: `buffer[start, end)`, used only during the call. */
  feed(buffer: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end && this.#phase !== "closed") {
      if (this.#phase === "ready") {
        this.#close("unsolicited");
        return;
      }
      at = this.#reader.read(buffer, at, end);
      if (this.#reader.fault !== null) {
        this.#breakOff({ kind: "protocol", reason: this.#reader.fault }, "protocol");
        return;
      }
      const reply = this.#reader.take();
      if (reply !== null) this.#onReply(reply, at < end);
    }
  }

  /**
   * Sends a message. Only when `phase` is `ready`. May call `onResult` before it returns, when the message cannot go to
   * this peer at all; then nothing was written and the session is as it was.
   */
  send(message: OutgoingMessage): void {
    assert(this.#phase === "ready", "a client session was given a message while it was not ready");
    assert(message.recipients.length > 0, "a message without recipients was sent");
    const path = this.#options.path;
    const content = message.hasBareLineEnds ? withCrlfLineEnds(message.content) : message.content;
    const size = wireSize(content);
    const transaction = new Transaction(message, content, size, this.#peer, path.ignore8bitChecks);
    const refusal = messageRefusal(message, size, this.#peer, path.ignore8bitChecks);
    if (refusal !== null) transaction.settle("mailFrom", refusal, null);
    if (refusal !== null || transaction.named.length === 0) {
      this.#host.onResult({ recipients: transaction.results(), end: null, untried: false });
      return;
    }
    this.#transaction = transaction;
    this.#pipelined = path.enablePipelining && this.#peer.pipelining;
    const reset = this.#served > 0 && (path.enableRset || this.#lastFailed);
    this.#phase = reset ? "rset" : "mailFrom";
    if (this.#pipelined) {
      this.#progress++;
      this.#write(reset ? `RSET\r\n${transaction.group}` : transaction.group, transaction.wide);
    } else {
      this.#issue();
    }
  }

  /** Ends the session politely: with QUIT, at once when ready, else after the message under way. */
  quit(): void {
    if (this.#quitAsked) return;
    this.#quitAsked = true;
    if (this.#phase === "ready") {
      this.#sayQuit();
    } else if (this.#transaction === null && this.#phase !== "closed") {
      // Not greeted yet: a QUIT now would be a command out of turn.
      this.#close("quit");
    }
  }

  /** The current wait has lasted `deadlineMs`, or what was written has not left for `afterMs`. */
  timedOut(afterMs = this.deadlineMs): void {
    if (this.#phase === "ready" || this.#phase === "closed") return;
    this.#breakOff({ kind: "timeout", afterMs }, "timeout");
  }

  /** What was written has left, or a part of it: a large message on a slow line is alive, and its wait begins anew. */
  drained(): void {
    if (this.#phase === "dataDot") this.#progress++;
  }

  /** The peer will send no more. */
  peerEnded(): void {
    this.#breakOff({ kind: "closed" }, "closed");
  }

  /** The connection failed. `detail` is one printable line. */
  transportFailed(detail: string): void {
    this.#breakOff({ kind: "transport", detail }, "transport");
  }

  /** Takes a reply. `more` tells that bytes follow it which came together with it. */
  #onReply(reply: PeerReply, more: boolean): void {
    const stage = this.#phase;
    this.#progress++;
    const transaction = this.#transaction;
    if (transaction !== null) transaction.replies++;
    const next = transaction === null ? this.#understand(reply) : this.#understandOf(transaction, reply);
    switch (next) {
      case "wait":
        return;
      case "issue":
      case "ready":
        // Nothing more is asked, yet there is more: an answer to a command that we have not written. Nothing may go
        // out on the strength of such a session, least of all content.
        if (more) this.#breakOff({ kind: "protocol", reason: "a reply before its command" }, "protocol", stage);
        else if (next === "issue") this.#issue();
        else this.#becomeReady();
        return;
      case "settled":
        assert(transaction !== null, "a transaction was settled that did not exist");
        this.#finish(transaction, more ? "unsolicited" : null, false);
        return;
      case "broken":
        this.#breakOff({ kind: "reply", reply }, "peer-ended");
        return;
      case "bye":
        this.#close("quit");
        return;
      default:
        unreachable(next);
    }
  }

  /** A reply outside of transactions: moves to the next phase and says what is to be done there. */
  #understand(reply: PeerReply): Next {
    const good = reply.code < 300;
    switch (this.#phase) {
      case "banner":
        if (reply.code !== 220) return "broken";
        this.#phase = "ehlo";
        return "issue";
      case "ehlo":
        if (good) {
          this.#peer = parseCapabilities(reply.lines);
          return "ready";
        }
        // RFC 5321 §3.2: a server that knows no EHLO says 5xx; then it is greeted the old way and offers nothing.
        if (reply.code < 500) return "broken";
        this.#phase = "helo";
        return "issue";
      case "helo":
        return good ? "ready" : "broken";
      case "quit":
        return "bye";
      default:
        return "broken";
    }
  }

  /** A reply inside a transaction. Only the class of its code decides (RFC 5321 §4.3.2), and whether it is a 421. */
  #understandOf(transaction: Transaction, reply: PeerReply): Next {
    const code = reply.code;
    const intermediate = code >= 300 && code < 400;
    // 3xx is the go-ahead for content, and DATA alone may get it; a 2xx to DATA means that the peer has lost its place.
    if (code === 421 || intermediate !== (this.#phase === "data" && code < 400)) return "broken";
    switch (this.#phase) {
      case "rset":
        if (code >= 300) return "broken";
        this.#phase = "mailFrom";
        return this.#pipelined ? "wait" : "issue";
      case "mailFrom":
        if (code >= 300) {
          transaction.settle("mailFrom", { kind: "reply", reply }, transaction.commandAt("mailFrom"));
          if (!this.#pipelined) return "settled";
        }
        this.#phase = "rcptTo";
        return this.#pipelined ? "wait" : "issue";
      case "rcptTo":
        if (code < 300 ? transaction.accept() : transaction.refuse({ kind: "reply", reply })) {
          return this.#pipelined ? "wait" : "issue";
        }
        if (!this.#pipelined && transaction.accepted === 0) return "settled";
        this.#phase = "data";
        return this.#pipelined ? "wait" : "issue";
      case "data":
        if (intermediate) {
          this.#phase = "dataDot";
          return "issue";
        }
        transaction.settle("data", { kind: "reply", reply }, "DATA");
        return "settled";
      case "dataDot":
        this.#lastFailed = transaction.accepted === 0 || code >= 300;
        transaction.settle("dataDot", { kind: "reply", reply }, ".");
        return "settled";
      default:
        return "broken";
    }
  }

  /** Writes the command of the phase, and begins its wait. */
  #issue(): void {
    const { ehloDomain } = this.#options;
    const transaction = this.#transaction;
    this.#progress++;
    if (transaction === null) {
      this.#host.write(this.#phase === "helo" ? `HELO ${ehloDomain}\r\n` : `EHLO ${ehloDomain}\r\n`);
      return;
    }
    switch (this.#phase) {
      case "rset":
        this.#host.write("RSET\r\n");
        return;
      case "mailFrom":
        this.#write(`${transaction.mail}\r\n`, transaction.wide);
        return;
      case "rcptTo":
        this.#write(`${transaction.rcpt}\r\n`, transaction.wide);
        return;
      case "data":
        this.#host.write("DATA\r\n");
        return;
      default:
        transaction.writeContent(this.#host);
    }
  }

  #write(text: string, wide: boolean): void {
    if (wide) this.#host.writeBytes(Buffer.from(text, "utf8"));
    else this.#host.write(text);
  }

  #becomeReady(): void {
    this.#phase = "ready";
    this.#host.onReady();
  }

  /** The transaction is over, the session perhaps too. */
  #finish(transaction: Transaction, end: SessionEnd | null, untried: boolean): void {
    this.#transaction = null;
    if (this.#phase !== "dataDot") this.#lastFailed = true;
    this.#served++;
    const quitting = end === null && this.#quitAsked;
    this.#phase = end === null ? "ready" : "closed";
    this.#host.onResult({ recipients: transaction.results(), end: quitting ? "quit" : end, untried });
    if (quitting) this.#sayQuit();
    else if (end !== null) this.#host.onClosing(end);
  }

  #sayQuit(): void {
    this.#phase = "quit";
    this.#progress++;
    this.#host.write("QUIT\r\n");
  }

  /**
   * Ends the session because of `answer`. Recipients whose fate is known keep it; the others get this one.
   * @param left the phase that it happened in, when the machine has moved on since; no command is named then.
   */
  #breakOff(answer: Answer, end: SessionEnd, left: ClientPhase | null = null): void {
    const phase = left ?? this.#phase;
    const transaction = this.#transaction;
    switch (phase) {
      case "rset":
      case "mailFrom":
      case "rcptTo":
      case "data":
      case "dataDot": {
        assert(transaction !== null, "a client session was in a transaction without a message");
        const lost = answer.kind === "closed" || answer.kind === "transport";
        const untried = lost && transaction.replies === 0 && this.#served > 0;
        transaction.settle(phase, answer, left === null ? transaction.commandAt(phase) : null);
        this.#finish(transaction, end, untried);
        return;
      }
      case "banner":
        this.#fail({ stage: phase, answer, command: null });
        return;
      case "ehlo":
      case "helo":
        this.#fail({ stage: phase, answer, command: `${phase.toUpperCase()} ${this.#options.ehloDomain}` });
        return;
      case "ready":
        this.#close(end);
        return;
      case "quit":
        this.#close("quit");
        return;
      case "closed":
        return;
      default:
        unreachable(phase);
    }
  }

  /** This host cannot be used. Whoever said so in words is left with a word. */
  #fail(failure: StepResult): void {
    const { answer } = failure;
    this.#phase = "closed";
    if (answer.kind === "reply" && answer.reply.code !== 421) this.#host.write("QUIT\r\n");
    this.#host.onFailed(failure);
  }

  #close(end: SessionEnd): void {
    this.#phase = "closed";
    this.#host.onClosing(end);
  }
}

/** What is to be done after a reply. */
type Next =
  /** More replies to what was written are due. */
  | "wait"
  /** Write the phase's command. */
  | "issue"
  /** The peer is greeted. */
  | "ready"
  /** Every recipient of the transaction has a result, and nothing more is due. */
  | "settled"
  /** The session ends because of this reply. */
  | "broken"
  /** QUIT was answered. */
  | "bye";
