import { assert, unreachable } from "../base/assert.js";
import type { Capabilities } from "./client-capabilities.js";
import { messageRefusal, type OutgoingMessage } from "./client-envelope.js";
import { Exchange, type Wording } from "./client-exchange.js";
import { type ClientHost, type ClientOptions, type ClientPhase, deadlineOf, type OpeningPhase } from "./client-host.js";
import { Opening } from "./client-opening.js";
import type { Answer, SessionEnd } from "./client-result.js";
import { Transaction } from "./client-transaction.js";
import { wireSize, withCrlfLineEnds } from "./dot-encoder.js";
import { type PeerReply, ReplyReader } from "./reply-reader.js";

/**
 * The client side of an SMTP session (RFC 5321 §3, RFC 2920): bytes of the peer in, commands and results out.
 *
 * Runs on: a worker, one machine per connection out. It has no socket, no timer and no clock.
 * Owns: where the session stands. `Opening` has the dialogue until the peer is greeted, `Exchange` that of a transaction.
 * When full: holds one message at a time; `send` is called again after `onResult`. Replies are bounded by the reader.
 * On failure: before it is ready it reports `onFailed`, later the message's result and `onClosing`; it never throws for
 *   anything that a peer or a message holds.
 *
 *     opening ─▶ ready ⇄ transaction
 *                  └────▶ quit ─▶ closed          from any: ─▶ closed
 *
 * Every reply answers exactly one command. Bytes that come when nothing is asked are never kept for a later command:
 * between messages they mean that the peer is closing, inside a transaction that the session cannot be trusted.
 */
export class ClientMachine {
  readonly #options: ClientOptions;
  readonly #host: ClientHost;
  readonly #reader = new ReplyReader();
  readonly #opening: Opening;
  readonly #exchange: Exchange;
  #state: "opening" | "ready" | "transaction" | "quit" | "closed" = "opening";
  #progress = 1;
  #quitAsked = false;

  constructor(options: ClientOptions, host: ClientHost) {
    this.#options = options;
    this.#host = host;
    this.#opening = new Opening(options.ehloDomain, options.path.useLmtp, options.demand);
    this.#exchange = new Exchange(host, options.path.useLmtp);
  }

  /** What the machine waits for. */
  get phase(): ClientPhase {
    switch (this.#state) {
      case "opening":
        return this.#opening.phase;
      case "transaction":
        return this.#exchange.phase;
      default:
        return this.#state;
    }
  }

  /** What the peer offers; nothing before `onReady`. */
  get capabilities(): Capabilities {
    return this.#opening.peer;
  }

  /** Changes whenever the current wait begins anew. */
  get progress(): number {
    return this.#progress;
  }

  /** How long the current wait may last, in ms; Infinity when nothing is waited for. */
  get deadlineMs(): number {
    return deadlineOf(this.phase, this.#options.path);
  }

  /** Takes bytes of the peer: `buffer[start, end)`, used only during the call. */
  feed(buffer: Buffer, start: number, end: number): void {
    let at = start;
    while (at < end && this.#state !== "closed") {
      if (this.#state === "ready") {
        this.#close("unsolicited");
        return;
      }
      if (this.#state === "opening" && this.#opening.phase === "handshake") {
        this.#fail("starttls", BEFORE_THE_HANDSHAKE);
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
   * @param mayChunk BDAT may be used where the peer offers it and the path allows it: nothing is known against it.
   */
  send(message: OutgoingMessage, mayChunk = false): void {
    assert(this.#state === "ready", "a client session was given a message while it was not ready");
    assert(message.recipients.length > 0, "a message without recipients was sent");
    const path = this.#options.path;
    const { peer } = this.#opening;
    const content = message.hasBareLineEnds ? withCrlfLineEnds(message.content) : message.content;
    const size = wireSize(content);
    const transaction = new Transaction(message, content, size, peer, path.ignore8bitChecks);
    const refusal = messageRefusal(message, size, peer, path.ignore8bitChecks);
    if (refusal !== null) transaction.settle("mailFrom", refusal, null);
    if (refusal !== null || transaction.named.length === 0) {
      this.#host.onResult({ recipients: transaction.results(), end: null, untried: false, chunked: false });
      return;
    }
    this.#state = "transaction";
    this.#progress++;
    this.#exchange.begin(transaction, this.#wordingFor(size, mayChunk), path.enableRset);
  }

  #wordingFor(size: number, mayChunk: boolean): Wording {
    const { path } = this.#options;
    const { peer } = this.#opening;
    if (!path.enablePipelining || !peer.pipelining) return "single";
    return mayChunk && peer.chunking && size <= path.maxBdatSize ? "chunk" : "group";
  }

  /**
   * The TLS handshake that `onStartTls` asked for has ended well: the peer is greeted anew.
   * @param unverified what the peer's certificate lacks to prove who it is; null when it lacks nothing.
   */
  secured(unverified: string | null): void {
    if (this.#state === "closed") return;
    assert(this.phase === "handshake", "a handshake ended that nobody had asked for");
    this.#opening.secured(unverified);
    this.#progress++;
    this.#opening.issue(this.#host);
  }

  /** The TLS handshake failed; `answer` says how. */
  handshakeFailed(answer: Answer): void {
    this.#breakOff(answer, "transport");
  }

  /** Ends the session politely: with QUIT, at once when ready, else after the message under way. */
  quit(): void {
    if (this.#quitAsked) return;
    this.#quitAsked = true;
    // Not greeted yet: a QUIT now would be a command out of turn.
    if (this.#state === "opening") this.#close("quit");
    else if (this.#state === "ready") this.#sayQuit();
  }

  /** The current wait has lasted `deadlineMs`, or what was written has not left for `afterMs`. */
  timedOut(afterMs = this.deadlineMs): void {
    if (this.#state === "ready" || this.#state === "closed") return;
    this.#breakOff({ kind: "timeout", afterMs }, "timeout");
  }

  /** What was written has left, or a part of it: a large message on a slow line is alive, and its wait begins anew. */
  drained(): void {
    if (this.#state === "transaction" && this.#exchange.contentLeaves) this.#progress++;
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
    this.#progress++;
    switch (this.#state) {
      case "opening":
        this.#onOpening(reply, more);
        return;
      case "transaction":
        this.#onExchange(reply, more);
        return;
      default:
        this.#close("quit");
    }
  }

  #onOpening(reply: PeerReply, more: boolean): void {
    const asked = this.#opening.phase;
    const next = this.#opening.take(reply);
    if (next === "broken") {
      this.#breakOff({ kind: "reply", reply }, "peer-ended");
    } else if (more) {
      // Nothing more is asked, yet there is more: an answer to a command that we have not written. Nothing may go out on
      // the strength of such a session.
      this.#fail(asked, next === "handshake" ? BEFORE_THE_HANDSHAKE : BEFORE_ITS_COMMAND);
    } else if (next === "refused") {
      this.#fail(this.#opening.phase, this.#opening.refusal);
    } else if (next === "handshake") {
      this.#progress++;
      this.#host.onStartTls();
    } else if (next === "issue") {
      this.#progress++;
      this.#opening.issue(this.#host);
    } else {
      this.#state = "ready";
      this.#host.onReady();
    }
  }

  #onExchange(reply: PeerReply, more: boolean): void {
    const asked = this.#exchange.phase;
    const next = this.#exchange.take(reply);
    switch (next) {
      case "wait":
        return;
      case "issue":
        // As in the opening, and least of all may content go out.
        if (more) {
          this.#finish("protocol", this.#exchange.breakOff(BEFORE_ITS_COMMAND, asked));
          return;
        }
        this.#progress++;
        this.#exchange.issue();
        return;
      case "settled":
        this.#finish(more ? "unsolicited" : null, false);
        return;
      case "broken":
        this.#breakOff({ kind: "reply", reply }, "peer-ended");
        return;
      default:
        unreachable(next);
    }
  }

  /** The transaction is over, the session perhaps too. */
  #finish(end: SessionEnd | null, untried: boolean): void {
    const { chunked } = this.#exchange;
    const transaction = this.#exchange.finish();
    const quitting = end === null && this.#quitAsked;
    this.#state = end === null ? "ready" : "closed";
    this.#host.onResult({ recipients: transaction.results(), end: quitting ? "quit" : end, untried, chunked });
    if (quitting) this.#sayQuit();
    else if (end !== null) this.#host.onClosing(end);
  }

  #sayQuit(): void {
    this.#state = "quit";
    this.#progress++;
    this.#host.write("QUIT\r\n");
  }

  /** Ends the session because of `answer`. Recipients whose fate is known keep it; the others get this one. */
  #breakOff(answer: Answer, end: SessionEnd): void {
    switch (this.#state) {
      case "transaction":
        this.#finish(end, this.#exchange.breakOff(answer, null));
        return;
      case "opening":
        this.#fail(this.#opening.phase, answer);
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
        unreachable(this.#state);
    }
  }

  /** This host cannot be used. Whoever said so in words is left with a word. */
  #fail(stage: OpeningPhase, answer: Answer): void {
    this.#state = "closed";
    // In the middle of STARTTLS the peer awaits TLS, and no words.
    const inWords =
      (answer.kind === "refused" && stage !== "handshake") || (answer.kind === "tls" && stage === "starttls");
    if (inWords || (answer.kind === "reply" && answer.reply.code !== 421)) this.#host.write("QUIT\r\n");
    this.#host.onFailed({ stage, answer, command: this.#opening.commandAt(stage) });
  }

  #close(end: SessionEnd): void {
    this.#state = "closed";
    this.#host.onClosing(end);
  }
}

/** A peer that answers what it was not asked. */
const BEFORE_ITS_COMMAND: Answer = { kind: "protocol", reason: "a reply before its command" };

/** What a man in the middle says so that it is taken for the secured peer's word (RFC 3207 §5). */
const BEFORE_THE_HANDSHAKE: Answer = {
  kind: "protocol",
  reason: "clear text came with the reply to STARTTLS, ahead of the TLS handshake: somebody may be tampering",
};
