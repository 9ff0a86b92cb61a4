import { Socket } from "node:net";
import { assert } from "../base/assert.js";
import type { Fault } from "../base/fault.js";
import type { AddonModule } from "./addon-module.js";
import type { Connection, ConnectionHandler } from "./binding.js";
import { socketFault } from "./faults.js";
import { COPY_BYTES, HIGH_WATER_BYTES } from "./limits.js";
import { noHandler } from "./no-handler.js";
import type { TurnMember } from "./turn.js";

/** What a connection needs of its reactor, see `reactor.ts`. */
export interface ConnectionHost {
  readonly addon: AddonModule;
  /** The reactor's number in the addon. */
  readonly number: number;
  /** Has `flush` called at the end of the turn. */
  noteDirty(connection: AddonConnection): void;
  /** Copies bytes into the turn's buffer; they are good until the connection has been flushed. */
  copy(bytes: Uint8Array): Uint8Array;
  /** Whether `copy` has put these bytes into the turn's buffer. */
  isBorrowed(bytes: Uint8Array): boolean;
  /** Has `onDrain` called in the next turn. */
  noteDrained(connection: AddonConnection): void;
  /** The connection waits for its peer to end. */
  noteLingering(connection: AddonConnection): void;
  /** The connection is closed; has `onClose` called before the turn ends, or in the next. */
  noteClosed(connection: AddonConnection): void;
  /** The descriptor belongs to somebody else now. */
  noteDetached(connection: AddonConnection, socket: Socket): void;
}

enum Phase {
  open = 0,
  /** `end` was called: the rest goes out, nothing more comes in. */
  ending = 1,
  /** Everything is sent; the peer's end is awaited. */
  lingering = 2,
  closed = 3,
}

/**
 * One socket of the addon's reactor.
 *
 *     write… ──▶ #parts ▸ #text ──▶ flush, once a turn: one send or writev ──▶ kernel
 *
 * Runs on: the reactor's thread.
 * Owns: its output queue, and its slot in the addon until it is closed.
 * When full: `write…` returns false above {@link HIGH_WATER_BYTES}; the owner stops until `onDrain`.
 * On failure: `onClose` with the fault, once. A failed send first waits for what the peer said before it left.
 */
export class AddonConnection implements Connection, TurnMember {
  handler: ConnectionHandler = noHandler;
  readonly remoteAddress: string;
  readonly remotePort: number;
  localAddress = "";
  localPort = 0;
  pendingBytes = 0;
  /** The addon's number of the socket; -1 when it never got one. */
  readonly slot: number;
  /** Why it closed, or is about to because a send failed; the reactor hands it to `onClose`. */
  fault: Fault | null = null;
  isDirty = false;

  readonly #host: ConnectionHost;
  #phase = Phase.open;
  #isUp: boolean;
  /** Strings and byte arrays that go before `#text`; of the first one `#skip` bytes have left. */
  #parts: (string | Uint8Array)[] = [];
  #skip = 0;
  /** The queue's tail: texts written one after the other are one string. */
  #text = "";
  /** Some of `#parts` lie in the turn's buffer. */
  #borrows = false;
  /** The kernel took less than it was given; its word is awaited. */
  #isBlocked = false;
  #needsDrain = false;
  #isPaused = false;

  /** @param isUp true for an accepted connection, false for one that is being made. */
  constructor(host: ConnectionHost, slot: number, remoteAddress: string, remotePort: number, isUp: boolean) {
    this.#host = host;
    this.slot = slot;
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
    this.#isUp = isUp;
    if (isUp) this.#readLocal();
  }

  writeText(text: string): boolean {
    if (this.#phase !== Phase.open || this.fault !== null) return true;
    this.#text = this.#text === "" ? text : this.#text + text;
    return this.#queued(text.length);
  }

  writeBytes(bytes: Uint8Array): boolean {
    if (this.#phase !== Phase.open || this.fault !== null || bytes.length === 0) return true;
    if (this.#text !== "") {
      this.#parts.push(this.#text);
      this.#text = "";
    }
    if (bytes.length > COPY_BYTES) {
      this.#parts.push(bytes);
    } else {
      this.#parts.push(this.#host.copy(bytes));
      this.#borrows = true;
    }
    return this.#queued(bytes.length);
  }

  pause(): void {
    if (this.#isPaused || this.#phase !== Phase.open) return;
    this.#isPaused = true;
    this.#host.addon.pause(this.#host.number, this.slot);
  }

  resume(): void {
    if (!this.#isPaused || this.#phase !== Phase.open) return;
    this.#isPaused = false;
    this.#host.addon.resume(this.#host.number, this.slot);
  }

  end(): void {
    if (this.#phase !== Phase.open) return;
    this.pause();
    this.#phase = Phase.ending;
    this.#host.noteDirty(this);
  }

  destroy(): void {
    if (this.#phase !== Phase.closed) this.#close(this.fault);
  }

  detach(): Socket {
    assert(this.#phase === Phase.open && this.#isUp, "only an open connection can be detached");
    assert(this.pendingBytes === 0, "a connection is detached when its output has left");
    this.#phase = Phase.closed;
    const fd = this.#host.addon.detach(this.#host.number, this.slot);
    const socket = new Socket({ fd, readable: true, writable: true, allowHalfOpen: true });
    this.#host.noteDetached(this, socket);
    return socket;
  }

  /** Leaves the slot to a relay, which has begun: no handler is called any more. */
  leaveToRelay(): void {
    this.#phase = Phase.closed;
  }

  /** Whether it can become part of a relay. */
  get isJoinable(): boolean {
    return this.#phase === Phase.open && this.#isUp && this.fault === null && this.pendingBytes === 0;
  }

  // ── for the reactor ────────────────────────────────────────────────────────────────────────────────────────────────

  /** The connect has succeeded. */
  takeConnected(): void {
    this.#isUp = true;
    this.#readLocal();
    this.#host.noteDirty(this);
    if (this.#phase === Phase.open) this.handler.onConnect();
  }

  /** Bytes came. */
  takeData(buffer: Buffer, start: number, end: number): void {
    if (this.#phase === Phase.open) this.handler.onData(buffer, start, end);
  }

  /** The peer has ended its direction. */
  takeEnd(): void {
    if (this.fault !== null) this.#close(this.fault);
    else if (this.#phase === Phase.open) this.handler.onEnd();
  }

  /** The kernel has room again. */
  takeWritable(): void {
    this.#isBlocked = false;
    this.#host.noteDirty(this);
  }

  /** The socket is of no more use; `errno` is null for an orderly end. */
  takeClosed(errno: string | null): void {
    if (this.fault !== null || errno === null) this.#close(this.fault);
    else this.#close(socketFault(this.#isUp ? "connection with" : "connect to", this.#peer(), errno));
  }

  takeDrain(): boolean {
    const isDue = this.#phase === Phase.open && this.#needsDrain && this.pendingBytes === 0;
    if (isDue) this.#needsDrain = false;
    return isDue;
  }

  /** Gives the kernel what is queued, with one call; keeps what it does not take. */
  flush(): void {
    if (this.#phase > Phase.ending) return;
    if (this.pendingBytes > 0 && this.#isUp && !this.#isBlocked && !this.#send()) return;
    if (this.#borrows) this.#keep();
    if (this.pendingBytes > 0 || !this.#isUp) return;
    if (this.#needsDrain) this.#host.noteDrained(this);
    if (this.#phase === Phase.ending) this.#finish();
  }

  /** Closes without a word to the slot's owner yet; `fault` is what `onClose` will be told. */
  #close(fault: Fault | null): void {
    this.fault = fault;
    this.#phase = Phase.closed;
    this.#dropQueue();
    if (this.slot >= 0) this.#host.addon.close(this.#host.number, this.slot);
    this.#host.noteClosed(this);
  }

  #finish(): void {
    this.#phase = Phase.lingering;
    if (this.#host.addon.finish(this.#host.number, this.slot) === 1) this.#close(this.fault);
    else this.#host.noteLingering(this);
  }

  /** One system call. False when the connection has failed. */
  #send(): boolean {
    const { addon, number } = this.#host;
    let sent: number;
    if (this.#parts.length === 0) {
      sent = addon.sendText(number, this.slot, this.#text);
    } else {
      if (this.#text !== "") {
        this.#parts.push(this.#text);
        this.#text = "";
      }
      sent = addon.sendParts(number, this.slot, this.#parts, this.#skip);
    }
    if (sent < 0) {
      this.#failSend(addon.errnoName(-sent));
      return false;
    }
    this.pendingBytes -= sent;
    if (this.#parts.length > 0) this.#dropSent(sent);
    else this.#text = this.pendingBytes === 0 ? "" : this.#text.slice(sent);
    if (this.pendingBytes > 0) {
      this.#isBlocked = true;
      addon.awaitWritable(number, this.slot);
    }
    return true;
  }

  /**
   * A peer that refuses ("421 too busy") and leaves resets what we send next, but its words still wait to be read: the
   * reading side meets the same end right after them. A paused or ending connection wants no more words.
   */
  #failSend(errno: string): void {
    const fault = socketFault("send to", this.#peer(), errno);
    const isGone = errno === "ECONNRESET" || errno === "EPIPE" || errno === "ETIMEDOUT";
    if (!isGone || this.#isPaused) {
      this.#close(fault);
      return;
    }
    this.fault = fault;
    this.#dropQueue();
    this.#isBlocked = true;
  }

  #queued(length: number): boolean {
    this.pendingBytes += length;
    if (!this.isDirty) this.#host.noteDirty(this);
    if (this.pendingBytes <= HIGH_WATER_BYTES) return true;
    this.#needsDrain = true;
    return false;
  }

  /** Takes `sent` bytes off the front of `#parts`. */
  #dropSent(sent: number): void {
    let rest = sent + this.#skip;
    let done = 0;
    while (done < this.#parts.length && rest >= this.#parts[done].length) rest -= this.#parts[done++].length;
    this.#skip = rest;
    if (done === this.#parts.length) {
      this.#parts.length = 0;
      this.#borrows = false;
      return;
    }
    if (done > 0) this.#parts.splice(0, done);
    const first = this.#parts[0];
    if (typeof first !== "string") return;
    // Texts are cut at once, so that the addon never has to skip inside one.
    this.#parts[0] = first.slice(rest);
    this.#skip = 0;
  }

  /** The turn's buffer will be used anew: what waits longer gets memory of its own. */
  #keep(): void {
    for (let i = 0; i < this.#parts.length; i++) {
      const part = this.#parts[i];
      if (typeof part !== "string" && this.#host.isBorrowed(part)) this.#parts[i] = Buffer.from(part);
    }
    this.#borrows = false;
  }

  #dropQueue(): void {
    this.#parts.length = 0;
    this.#skip = 0;
    this.#text = "";
    this.#borrows = false;
    this.pendingBytes = 0;
  }

  #readLocal(): void {
    const { addon, number } = this.#host;
    this.localAddress = addon.localAddress(number, this.slot);
    this.localPort = addon.localPort(number, this.slot);
  }

  #peer(): string {
    if (this.remotePort === 0) return this.remoteAddress;
    return this.remoteAddress.includes(":")
      ? `[${this.remoteAddress}]:${this.remotePort}`
      : `${this.remoteAddress}:${this.remotePort}`;
  }
}
