/**
 * One SMTP session of a client: the connection, the server machine on it, and the policy that the machine asks.
 *
 * Runs on   a worker
 * Owns      its connection and machine
 * When full the machine asks for a pause and the connection is not read; a flood ends the session
 * On failure the client hears 4xx or the connection closes; a message without its 250 is not ours
 */
import { randomUUID } from "node:crypto";
import type { Fault } from "../../base/fault.js";
import { protocolWord, tracePrefix } from "../../mail/received.js";
import type { Connection, ConnectionHandler } from "../../native/binding.js";
import type { ResponseText } from "../../protocol/records.js";
import type { Mailbox } from "../../smtp/address.js";
import type { ReceivedContent } from "../../smtp/content.js";
import { Reply } from "../../smtp/reply.js";
import { ServerMachine } from "../../smtp/server-machine.js";
import { ACCEPT } from "../../smtp/server-replies.js";
import type { ServerHost, Transaction } from "../../smtp/server-transaction.js";
import type { Reception } from "../spool/envelope.js";
import type { MessageSource, StoredMessage } from "./intake.js";
import type { IngressListener } from "./listener.js";

const LF = 0x0a;
const RELAY_DENIED = new Reply(550, [5, 7, 1], "Relaying denied");
const RECEIVED_TOO_SLOWLY = new Reply(451, [4, 4, 5], "The message came in too slowly (receive), closing");
const TOO_SLOW = new Reply(451, [4, 4, 5], "The message could not be stored in time (spool), try again later");

/** See the file's header. */
export class IngressSession implements ConnectionHandler, ServerHost, MessageSource {
  /** Names the session in log records. */
  readonly logId: string = randomUUID();
  readonly peerAddress: string;
  readonly hostname: string;
  readonly #listener: IngressListener;
  readonly #connection: Connection;
  readonly #machine: ServerMachine;
  readonly trusted: boolean;
  #reception: Reception | null = null;
  #tracePrefix: string | null = null;
  #greetedAs = "";
  #extended = false;
  #paused = false;
  /** Monotonic ms of the last sweep before something came, other than the rest of a command line. */
  #activeMs: number;
  #storing: StoredMessage | null = null;
  #content: ReceivedContent | null = null;
  #storingSinceMs = 0;
  /** As of the last sweep before content began to come in. */
  #contentSinceMs: number;

  constructor(connection: Connection, listener: IngressListener) {
    this.#connection = connection;
    this.#listener = listener;
    this.hostname = listener.config.hostname;
    this.peerAddress = connection.remoteAddress;
    this.trusted = listener.relay.trusts(connection.remoteAddress);
    this.#machine = new ServerMachine(listener.settings, this, listener.pool);
    this.#activeMs = listener.nowMs;
    this.#contentSinceMs = listener.nowMs;
  }

  /** Says 220, or refuses in its place. */
  begin(refusal: Reply | null): void {
    if (refusal === null) this.#machine.greet();
    else this.#machine.abort(refusal);
  }

  /** Ends with 421 as soon as no message is in hand. */
  shutdown(): void {
    this.#machine.shutdown();
  }

  /** Closes at once. */
  destroy(): void {
    this.#connection.destroy();
  }

  /** Looks whether a wait has lasted too long. Called a few times a second. */
  sweep(nowMs: number): void {
    const { clientTimeoutMs, dataProcessingTimeoutMs } = this.#listener.config;
    if (this.#storing !== null) {
      if (nowMs - this.#storingSinceMs >= dataProcessingTimeoutMs) this.#abandon(this.#storing);
      return;
    }
    // Content that trickles in keeps the session from being idle, but not for ever.
    if (this.#machine.phase !== "content") this.#contentSinceMs = nowMs;
    if (nowMs - this.#contentSinceMs >= dataProcessingTimeoutMs) {
      this.#machine.abort(RECEIVED_TOO_SLOWLY);
    } else if (nowMs - this.#activeMs >= clientTimeoutMs) {
      this.#machine.idleTimeout();
    }
  }

  #abandon(message: StoredMessage): void {
    if (message.ours) return;
    message.abandoned = true;
    this.#storing = null;
    // The shard may still be reading from it.
    this.#content?.detach();
    this.#machine.abort(TOO_SLOW);
    this.#machine.finish(TOO_SLOW);
  }

  // ── the connection ───────────────────────────────────────────────────────────────────────────────────────────────

  onConnect(): void {}

  onData(buffer: Buffer, start: number, end: number): void {
    // A part of a line is no sign of life, but for its first: a command must be whole in `client_timeout`.
    if (!this.#machine.inLine || buffer.subarray(start, end).includes(LF)) this.#activeMs = this.#listener.nowMs;
    this.#machine.feed(buffer, start, end);
    this.#balance();
  }

  onEnd(): void {
    this.#machine.peerEnded();
  }

  onDrain(): void {
    this.#balance();
  }

  onClose(_fault: Fault | null): void {
    this.#machine.peerLost();
    this.#listener.closed(this);
  }

  /** Reads from the client only while it takes our replies and the machine can use what it says. */
  #balance(): void {
    const pause = this.#machine.paused || this.#connection.pendingBytes > MAX_PENDING_REPLIES;
    if (pause === this.#paused) return;
    this.#paused = pause;
    if (pause) this.#connection.pause();
    else this.#connection.resume();
  }

  // ── the machine ──────────────────────────────────────────────────────────────────────────────────────────────────

  write(text: string): void {
    this.#connection.writeText(text);
  }

  close(): void {
    this.#connection.end();
  }

  onMail(_sender: Mailbox, _transaction: Transaction): Reply | null {
    return this.#listener.intake.refusal() ?? ACCEPT;
  }

  onRcpt(recipient: Mailbox, transaction: Transaction): Reply | null {
    if (this.trusted) return ACCEPT;
    // A postmaster without a domain is this host's own (RFC 5321 §4.5.1) and always heard.
    if (recipient.domain === "") return ACCEPT;
    const from = transaction.sender?.domain ?? "";
    return this.#listener.relay.allows(this.peerAddress, from, recipient.domain) ? ACCEPT : RELAY_DENIED;
  }

  onDataCommand(_transaction: Transaction): Reply | null {
    return this.#listener.intake.refusal() ?? ACCEPT;
  }

  onMessage(content: ReceivedContent, transaction: Transaction): void {
    this.#introduce(transaction);
    this.#storingSinceMs = this.#listener.nowMs;
    this.#content = content;
    this.#storing = this.#listener.intake.take(this, content, transaction);
  }

  onRejected(response: ResponseText, sender: Mailbox | null, recipient: Mailbox | null): void {
    this.#listener.rejected(this, response, sender?.text ?? "", recipient?.text ?? "");
  }

  // ── intake ───────────────────────────────────────────────────────────────────────────────────────────────────────

  get peerName(): string {
    return this.#machine.helloName;
  }

  get reception(): Reception {
    if (this.#reception === null) this.#introduce(this.#machine.transaction);
    return this.#reception as Reception;
  }

  get tracePrefix(): string | null {
    return this.#tracePrefix;
  }

  finish(reply: Reply): void {
    this.#storing = null;
    this.#activeMs = this.#listener.nowMs;
    this.#machine.finish(reply);
    this.#balance();
  }

  /** Makes what all messages of one introduction (EHLO) have in common, once. */
  #introduce(transaction: Transaction): void {
    const { helloName, extended } = this.#machine;
    const protocol = protocolWord({ extended, tls: false, authenticated: false, smtpUtf8: transaction.smtpUtf8 });
    const same = this.#reception !== null && this.#greetedAs === helloName && this.#extended === extended;
    if (same && this.#reception?.protocol === protocol) return;
    const { remotePort, localAddress, localPort } = this.#connection;
    this.#greetedAs = helloName;
    this.#extended = extended;
    this.#reception = {
      protocol,
      ehlo: helloName,
      receivedFrom: `${this.peerAddress}:${remotePort}`,
      receivedVia: `${localAddress}:${localPort}`,
      sessionId: this.logId,
      durability: this.#listener.durability,
    };
    this.#tracePrefix = this.#listener.config.receivedHeader
      ? tracePrefix({ helloName, clientAddress: this.peerAddress, hostname: this.hostname })
      : null;
  }
}

/** Bytes of replies that a client may leave unread before we stop reading its commands. */
const MAX_PENDING_REPLIES = 64 * 1024;
