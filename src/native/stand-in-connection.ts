import type { Socket } from "node:net";
import { assert } from "../base/assert.js";
import { errnoOf, type Fault } from "../base/fault.js";
import type { Connection, ConnectionHandler } from "./binding.js";
import { socketFault } from "./faults.js";
import { COPY_BYTES, HIGH_WATER_BYTES, LINGER_BYTES } from "./limits.js";
import { noHandler } from "./no-handler.js";
import type { TurnMember } from "./turn.js";

/** What a connection needs of its reactor, see `ConnectionHost` in `connection.ts`. */
export interface StandInHost {
  requestTurn(): void;
  noteDirty(connection: StandInConnection): void;
  noteDrained(connection: StandInConnection): void;
  noteLingering(connection: StandInConnection): void;
  noteClosed(connection: StandInConnection): void;
  noteDetached(connection: StandInConnection, socket: Socket): void;
}

/**
 * One of Node's sockets behind the native face.
 * Runs on: the reactor's thread.
 * Owns: its socket, and what was written to it since the last flush.
 * When full: `write…` returns false above {@link HIGH_WATER_BYTES}, Node's own queue included.
 * On failure: `onClose` with the fault, once.
 */
export class StandInConnection implements Connection, TurnMember {
  handler: ConnectionHandler = noHandler;
  readonly remoteAddress: string;
  readonly remotePort: number;
  localAddress = "";
  localPort = 0;
  /** Null when not even a connect could be tried. */
  readonly socket: Socket | null;
  fault: Fault | null = null;
  isDirty = false;

  readonly #host: StandInHost;
  #isUp: boolean;
  /** `end` or `destroy` was called: nothing more is written or told, but the end. */
  #isEnding = false;
  #isGone = false;
  #queue: (string | Uint8Array)[] = [];
  #queuedBytes = 0;
  #needsDrain = false;
  #isPaused = false;
  #discardedBytes = 0;

  constructor(host: StandInHost, socket: Socket | null, remoteAddress: string, remotePort: number, isUp: boolean) {
    this.#host = host;
    this.socket = socket;
    this.remoteAddress = remoteAddress;
    this.remotePort = remotePort;
    this.#isUp = isUp;
    if (socket === null) return;
    if (isUp) this.#readLocal(socket);
    socket.on("connect", this.#takeConnected);
    socket.on("data", this.#takeData);
    socket.on("end", this.#takeEnd);
    socket.on("drain", this.#takeDrained);
    socket.on("finish", this.#takeFinish);
    socket.on("error", this.#takeError);
    socket.on("close", this.#takeClose);
    if (isUp) socket.resume();
  }

  get pendingBytes(): number {
    return this.#queuedBytes + (this.#isGone ? 0 : (this.socket?.writableLength ?? 0));
  }

  writeText(text: string): boolean {
    return this.#write(text);
  }

  writeBytes(bytes: Uint8Array): boolean {
    return this.#write(bytes.length > COPY_BYTES ? bytes : Buffer.from(bytes));
  }

  pause(): void {
    this.#isPaused = true;
    this.socket?.pause();
  }

  resume(): void {
    if (!this.#isPaused || this.#isEnding) return;
    this.#isPaused = false;
    this.socket?.resume();
  }

  end(): void {
    if (this.#isEnding) return;
    this.pause();
    this.#isEnding = true;
    this.#host.noteDirty(this);
  }

  destroy(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    this.#isEnding = true;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.socket?.destroy();
    this.#host.noteClosed(this);
  }

  detach(): Socket {
    const socket = this.socket;
    assert(socket !== null && this.#isUp && !this.#isEnding, "only an open connection can be detached");
    assert(this.pendingBytes === 0, "a connection is detached when its output has left");
    this.#isGone = true;
    this.#isEnding = true;
    socket.pause();
    socket.off("connect", this.#takeConnected);
    socket.off("data", this.#takeData);
    socket.off("end", this.#takeEnd);
    socket.off("drain", this.#takeDrained);
    socket.off("finish", this.#takeFinish);
    socket.off("error", this.#takeError);
    socket.off("close", this.#takeClose);
    this.#host.noteDetached(this, socket);
    return socket;
  }

  /** Closes it for a reason that Node did not even see. */
  fail(errno: string): void {
    this.fault = this.#faultOf(errno);
    this.destroy();
  }

  flush(): void {
    const socket = this.socket;
    if (this.#isGone || socket === null) return;
    if (this.#queue.length > 0) this.#send(socket);
    if (!this.#isEnding || socket.writableEnded) return;
    socket.end();
    socket.resume();
  }

  takeDrain(): boolean {
    const isDue = !this.#isEnding && this.#needsDrain && this.pendingBytes === 0;
    if (isDue) this.#needsDrain = false;
    return isDue;
  }

  #write(part: string | Uint8Array): boolean {
    if (this.#isEnding || part.length === 0) return true;
    this.#queue.push(part);
    this.#queuedBytes += part.length;
    this.#host.noteDirty(this);
    if (this.pendingBytes <= HIGH_WATER_BYTES) return true;
    this.#needsDrain = true;
    return false;
  }

  #send(socket: Socket): void {
    socket.cork();
    for (const part of this.#queue) {
      if (typeof part === "string") socket.write(part, "latin1");
      else socket.write(part);
    }
    socket.uncork();
    this.#queue = [];
    this.#queuedBytes = 0;
  }

  // Listeners on the socket; fields, so that they can be taken off when it is given away.

  readonly #takeConnected = (): void => {
    this.#isUp = true;
    if (this.socket !== null) this.#readLocal(this.socket);
    this.#host.requestTurn();
    if (!this.#isEnding) this.handler.onConnect();
  };

  readonly #takeData = (chunk: Buffer): void => {
    this.#host.requestTurn();
    if (!this.#isEnding) {
      this.handler.onData(chunk, 0, chunk.length);
      return;
    }
    this.#discardedBytes += chunk.length;
    if (this.#discardedBytes > LINGER_BYTES) this.destroy();
  };

  readonly #takeEnd = (): void => {
    this.#host.requestTurn();
    if (!this.#isEnding) this.handler.onEnd();
  };

  readonly #takeDrained = (): void => this.#host.noteDrained(this);

  readonly #takeFinish = (): void => this.#host.noteLingering(this);

  readonly #takeError = (error: Error): void => {
    // After our own end a reset is the peer's way of leaving.
    if (this.socket?.writableFinished === true && this.#isEnding) return;
    this.fault ??= this.#faultOf(errnoOf(error) ?? "EUNKNOWN");
  };

  readonly #takeClose = (): void => this.destroy();

  #faultOf(errno: string): Fault {
    const host = this.remoteAddress.includes(":") ? `[${this.remoteAddress}]` : this.remoteAddress;
    const peer = this.remotePort === 0 ? this.remoteAddress : `${host}:${this.remotePort}`;
    return socketFault(this.#isUp ? "connection with" : "connect to", peer, errno);
  }

  #readLocal(socket: Socket): void {
    this.localAddress = (socket.localAddress ?? "").replace(/^::ffff:(?=\d+\.)/, "");
    this.localPort = socket.localPort ?? 0;
  }
}
