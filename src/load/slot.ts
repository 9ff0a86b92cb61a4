/**
 * One of the generator's connections: opened, used, lost, opened again.
 *
 * Runs on   the generator's thread
 * Owns      its connection, its dialogue and the time of the message under way
 * When full the message is sent as fast as the peer reads it; nothing else waits here
 * On failure a lost connection is opened again after a pause that doubles up to five seconds
 */
import { isIP, type Socket } from "node:net";
import { checkServerIdentity, connect, type TLSSocket } from "node:tls";
import type { Clock } from "../base/clock.js";
import { type Fault, messageOf } from "../base/fault.js";
import type { Connection, ConnectionHandler, Reactor } from "../native/binding.js";
import { SecureConnection } from "../native/secure-connection.js";
import type { Mail } from "./mail.js";
import type { LoadOptions } from "./options.js";
import { SourceMachine, type SourcePort } from "./source-machine.js";

const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 5000;

/** What a slot wants of the run. */
export interface SlotOwner {
  readonly options: LoadOptions;
  readonly clock: Clock;
  readonly reactor: Reactor;
  /** Whether there may be more to send. */
  readonly wanted: boolean;
  take(): Mail | null;
  settled(mail: Mail, code: number, tookMs: number): void;
  returned(mail: Mail): void;
  /** A server greeted; with TLS: it let us in. */
  up(): void;
  /** A connection was secured. */
  secured(version: string, cipher: string): void;
  /** A connection whose server had greeted is gone. */
  down(): void;
  /** A connection was lost or could not be made. Returns whether to try again. */
  lost(reason: string): boolean;
  /** A slot is without a connection. */
  closed(): void;
}

/** See the file's header. */
export class Slot implements ConnectionHandler, SourcePort {
  readonly #owner: SlotOwner;
  #connection: Connection | null = null;
  #machine: SourceMachine;
  /** Why the connection is being given up; null while it is not, or when that is nobody's fault. */
  #reason: string | null = null;
  #up = false;
  #pauseMs = FIRST_PAUSE_MS;
  #timer: NodeJS.Timeout | null = null;
  #beganMs = 0;
  #waitingSinceMs = 0;

  constructor(owner: SlotOwner) {
    this.#owner = owner;
    this.#machine = new SourceMachine(owner.options, this);
  }

  /** Has no connection, and is not about to make one. */
  get closed(): boolean {
    return this.#connection === null && this.#timer === null;
  }

  /** Connects. */
  open(): void {
    const { target } = this.#owner.options;
    this.#timer = null;
    this.#reason = null;
    this.#up = false;
    this.#machine = new SourceMachine(this.#owner.options, this);
    this.#waitingSinceMs = this.#owner.clock.monoMs();
    const address = { address: target.host, port: target.port, unix: null, localAddress: null };
    this.#connection = this.#owner.reactor.connect(address, this);
    this.#owner.reactor.requestTurn();
  }

  /** There may be a message again. */
  wake(): void {
    if (this.#connection !== null) this.#machine.wake();
    else if (this.#timer === null && this.#owner.wanted) this.open();
  }

  /** Gives the connection up when an answer is overdue. */
  checkTime(nowMs: number): void {
    if (this.#connection === null || this.#machine.idle) return;
    if (nowMs - this.#waitingSinceMs > this.#owner.options.timeoutMs) this.#machine.end("no answer in time");
  }

  /** Says goodbye as soon as nothing is under way. */
  finish(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#machine.finish();
  }

  /** Ends at once. */
  destroy(): void {
    this.#connection?.destroy();
  }

  // ── the connection ───────────────────────────────────────────────────────────────────────────────────────────

  onConnect(): void {}

  onData(buffer: Buffer, start: number, end: number): void {
    // A server that has the TLS that is demanded never ready would otherwise look as if it were there.
    if (this.#owner.options.tls.mode === "off") this.ready();
    this.#waitingSinceMs = this.#owner.clock.monoMs();
    this.#machine.receive(buffer, start, end);
  }

  onEnd(): void {
    this.#machine.end("the server closed the connection");
  }

  onDrain(): void {}

  onClose(fault: Fault | null): void {
    this.#connection = null;
    if (this.#up) this.#owner.down();
    this.#up = false;
    this.#machine.end(fault === null ? "the server closed the connection" : fault.message);
    if (this.#reason !== null) this.#retry(this.#reason);
    else if (this.#owner.wanted) this.open();
    this.#owner.closed();
  }

  #retry(reason: string): void {
    if (!this.#owner.lost(reason) || !this.#owner.wanted) return;
    this.#timer = setTimeout(() => this.open(), this.#pauseMs);
    this.#pauseMs = Math.min(LONGEST_PAUSE_MS, this.#pauseMs * 2);
  }

  ready(): void {
    if (this.#up) return;
    this.#up = true;
    this.#owner.up();
  }

  secure(): void {
    const plain = this.#connection;
    if (plain === null) return;
    const { name, verify } = this.#owner.options.tls;
    const wrap = (socket: Socket): TLSSocket =>
      connect({
        socket,
        rejectUnauthorized: verify,
        ...(isIP(name) === 0 ? { servername: name } : {}),
        checkServerIdentity: (_, certificate) => checkServerIdentity(name, certificate),
      });
    const onHandshake = (error: Error | null): void => {
      if (error !== null) {
        this.#machine.end(`TLS: ${messageOf(error).split("\n")[0]}`);
        return;
      }
      this.#waitingSinceMs = this.#owner.clock.monoMs();
      this.#owner.secured(secure.socket.getProtocol() ?? "", secure.socket.getCipher().standardName);
      this.#machine.secured();
    };
    const requestTurn = (): void => this.#owner.reactor.requestTurn();
    const secure = new SecureConnection(plain, { wrap, event: "secureConnect", onHandshake, requestTurn });
    this.#connection = secure;
  }

  // ── the dialogue ─────────────────────────────────────────────────────────────────────────────────────────────

  take(): Mail | null {
    const mail = this.#owner.take();
    if (mail !== null) this.#beganMs = this.#owner.clock.monoMs();
    return mail;
  }

  send(commands: string): void {
    this.#connection?.writeText(commands);
  }

  sendContent(mail: Mail): void {
    this.#connection?.writeText(mail.head);
    this.#connection?.writeBytes(mail.body);
  }

  settled(mail: Mail, code: number): void {
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#owner.settled(mail, code, this.#owner.clock.monoMs() - this.#beganMs);
  }

  returned(mail: Mail): void {
    this.#owner.returned(mail);
  }

  close(reason: string | null): void {
    this.#reason = reason;
    this.#connection?.destroy();
  }
}
