import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { assert } from "../base/assert.js";
import { Fault, messageOf } from "../base/fault.js";
import type { Connection, ConnectionHandler } from "./binding.js";
import { COPY_BYTES, HIGH_WATER_BYTES } from "./limits.js";

/** Most bytes that TLS is given at once: a slow line shows its progress in such steps, and no turn takes long. */
const CHUNK_BYTES = 64 * 1024;
/** How long a peer may take to accept the rest, and to end its side. */
const END_MS = 30_000;
const LINGER_MS = 2000;

/** How a secure connection is made over a plain one. */
export interface SecureOptions {
  /** Wraps the socket; the result's `secureConnect` or `secure` event tells of the handshake's end. */
  readonly wrap: (socket: Socket) => TLSSocket;
  /** Which of the two it is: a client's `secureConnect`, a server's `secure`. */
  readonly event: "secureConnect" | "secure";
  /** The handshake has ended, with what went wrong; called once, before anything else. */
  readonly onHandshake: (error: Error | null) => void;
  /** Has the thread's turn run: called after each event, which comes outside of it. */
  readonly requestTurn: () => void;
}

/**
 * TLS over a connection of the reactor, behind the same face: the socket goes over to Node, whose TLS is OpenSSL's.
 *
 *     write… ──▶ #queue ──▶ next tick: chunks ──▶ TLS ──▶ kernel
 *
 * Runs on: the thread of the connection that it takes over; its handler stays.
 * Owns: the socket, and what was written and not yet given to TLS.
 * When full: as the plain connection: `write…` returns false above {@link HIGH_WATER_BYTES}, `onDrain` follows.
 * On failure: `onHandshake` with the error, or `onClose` with a fault; never thrown.
 */
export class SecureConnection implements Connection {
  handler: ConnectionHandler;
  readonly remoteAddress: string;
  readonly remotePort: number;
  readonly localAddress: string;
  readonly localPort: number;
  readonly socket: TLSSocket;

  readonly #raw: Socket;
  readonly #options: SecureOptions;
  #queue: (string | Uint8Array)[] = [];
  #queuedBytes = 0;
  #isTickDue = false;
  #needsDrain = false;
  #state: "handshake" | "open" | "ending" | "closed" = "handshake";
  #fault: Fault | null = null;
  #timer: NodeJS.Timeout | null = null;

  /** Takes `plain` over, whose output must have left. */
  constructor(plain: Connection, options: SecureOptions) {
    this.handler = plain.handler;
    this.remoteAddress = plain.remoteAddress;
    this.remotePort = plain.remotePort;
    this.localAddress = plain.localAddress;
    this.localPort = plain.localPort;
    this.#options = options;
    this.#raw = plain.detach();
    this.#raw.on("error", ignore);
    this.socket = options.wrap(this.#raw);
    this.socket.on(options.event, () => this.#onSecure(null));
    this.socket.on("data", (bytes: Buffer) => this.#onData(bytes));
    this.socket.on("end", () => this.#onEnd());
    this.socket.on("error", (error: Error) => this.#onError(error));
    this.socket.on("close", () => this.#onClose());
  }

  get pendingBytes(): number {
    return this.#state === "closed" ? 0 : this.#queuedBytes + this.socket.writableLength;
  }

  writeText(text: string): boolean {
    const last = this.#queue.length - 1;
    const before = this.#queue[last];
    if (typeof before === "string" && before.length < CHUNK_BYTES) {
      if (!this.#takes(text.length)) return true;
      this.#queue[last] = before + text;
      return this.#queued(text.length);
    }
    return this.#push(text);
  }

  writeBytes(bytes: Uint8Array): boolean {
    if (bytes.length > COPY_BYTES) return this.#push(bytes);
    return this.#push(this.#state === "closed" ? bytes : Buffer.from(bytes));
  }

  pause(): void {
    this.socket.pause();
  }

  resume(): void {
    if (this.#state !== "closed") this.socket.resume();
  }

  end(): void {
    if (this.#state === "handshake") this.destroy();
    if (this.#state !== "open") return;
    this.#state = "ending";
    this.#startTimer(END_MS);
    this.#flushSoon();
  }

  destroy(): void {
    if (this.#state === "closed") return;
    this.#close();
  }

  detach(): never {
    assert(false, "a secure connection cannot be given away");
  }

  // ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #takes(length: number): boolean {
    return length > 0 && (this.#state === "open" || this.#state === "handshake");
  }

  #push(part: string | Uint8Array): boolean {
    if (!this.#takes(part.length)) return true;
    this.#queue.push(part);
    return this.#queued(part.length);
  }

  #queued(length: number): boolean {
    this.#queuedBytes += length;
    this.#flushSoon();
    if (this.pendingBytes <= HIGH_WATER_BYTES) return true;
    this.#needsDrain = true;
    return false;
  }

  #flushSoon(): void {
    if (this.#isTickDue) return;
    this.#isTickDue = true;
    process.nextTick(this.#flush);
  }

  readonly #flush = (): void => {
    this.#isTickDue = false;
    if (this.#state === "handshake" || this.#state === "closed") return;
    while (this.#queuedBytes > 0 && this.socket.writableLength < CHUNK_BYTES) {
      const chunk = this.#nextChunk();
      this.#queuedBytes -= chunk.length;
      this.socket.write(chunk, "latin1", this.#onWritten);
      if (this.#isClosed) return;
    }
    if (this.#queuedBytes === 0 && this.#state === "ending") this.socket.end();
  };

  get #isClosed(): boolean {
    return this.#state === "closed";
  }

  /** What goes out next, as one: at most {@link CHUNK_BYTES}. */
  #nextChunk(): string | Uint8Array {
    const queue = this.#queue;
    let count = 0;
    let bytes = 0;
    while (count < queue.length && bytes + (queue[count] as string | Uint8Array).length <= CHUNK_BYTES) {
      bytes += (queue[count++] as string | Uint8Array).length;
    }
    if (count === 0) {
      const first = queue[0] as string | Uint8Array;
      queue[0] = typeof first === "string" ? first.slice(CHUNK_BYTES) : first.subarray(CHUNK_BYTES);
      return typeof first === "string" ? first.slice(0, CHUNK_BYTES) : first.subarray(0, CHUNK_BYTES);
    }
    const parts = queue.splice(0, count);
    if (count === 1) return parts[0] as string | Uint8Array;
    // One record instead of many: each costs the peer a read, and us a system call.
    const joined = Buffer.allocUnsafe(bytes);
    let at = 0;
    for (const part of parts) {
      if (typeof part === "string") joined.write(part, at, "latin1");
      else joined.set(part, at);
      at += part.length;
    }
    return joined;
  }

  readonly #onWritten = (): void => {
    if (this.#queuedBytes > 0) this.#flush();
    if (!this.#needsDrain || this.#state !== "open" || this.pendingBytes > 0) return;
    this.#needsDrain = false;
    this.handler.onDrain();
    this.#options.requestTurn();
  };

  // ── the socket ───────────────────────────────────────────────────────────────────────────────────────────────────

  #onSecure(error: Error | null): void {
    if (this.#state !== "handshake") return;
    if (error === null) this.#state = "open";
    this.#options.onHandshake(error);
    if (this.#queuedBytes > 0) this.#flushSoon();
    this.#options.requestTurn();
  }

  #onData(bytes: Buffer): void {
    if (this.#state !== "open") return;
    this.handler.onData(bytes, 0, bytes.length);
    this.#options.requestTurn();
  }

  #onEnd(): void {
    if (this.#state === "open") {
      this.handler.onEnd();
      this.#options.requestTurn();
    } else if (this.#state === "handshake") {
      this.#fail(new Error("the server closed the connection in the middle of the handshake"));
    } else {
      this.#close();
    }
  }

  #onError(error: Error): void {
    if (this.#state === "handshake") {
      this.#fail(error);
      return;
    }
    if (this.#state !== "open") return;
    const errno = "code" in error && typeof error.code === "string" ? error.code : null;
    this.#fault = new Fault("socket.failed", `TLS connection with ${this.remoteAddress}: ${messageOf(error)}`, {
      errno,
    });
  }

  #fail(error: Error): void {
    this.#onSecure(error);
    this.#close();
  }

  #onClose(): void {
    if (this.#state === "handshake")
      this.#onSecure(new Error("the connection was closed in the middle of the handshake"));
    this.#close();
  }

  #startTimer(ms: number): void {
    this.#timer = setTimeout(() => this.#close(), ms);
    this.#timer.unref();
    this.socket.once("finish", () => {
      if (this.#timer === null) return;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#close(), LINGER_MS);
      this.#timer.unref();
    });
  }

  #close(): void {
    if (this.#state === "closed") return;
    this.#state = "closed";
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.socket.destroy();
    this.#raw.destroy();
    // As the reactor does: never from inside the call that closes.
    setImmediate(() => {
      this.handler.onClose(this.#fault);
      this.#options.requestTurn();
    });
  }
}

function ignore(): void {}
