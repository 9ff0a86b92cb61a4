/**
 * The client's side of a SOCKS 5 handshake on one connection:
 *
 *     methods ─▶ [user name and password] ─▶ [BIND, which chooses the source address] ─▶ CONNECT ─▶ up
 *
 * Runs on   any thread
 * Owns      the bytes of the reply that is coming
 * When full a reply has at most 262 bytes; more than was asked for is an error
 * On failure a turn with the step, the proxy's code and a reason; nothing may be fed after it
 */
import { assert } from "../base/assert.js";
import type { Endpoint } from "./proxy-header.js";
import { AUTH_VERSION, Command, Method, ReplyCode, readFrame, replyWords, SOCKS_VERSION, socksFrame } from "./socks.js";

/** What is asked of a proxy. */
export interface SocksWish {
  /** Source address that a BIND asks for before CONNECT; null to leave it to the proxy. */
  readonly bind: string | null;
  /** Numeric address, or a name of at most 255 characters. */
  readonly host: string;
  readonly port: number;
  readonly credentials: { readonly username: string; readonly password: string } | null;
}

/** The step of a handshake. */
export type SocksStep = "methods" | "auth" | "bind" | "connect";

/** What to do next. */
export type SocksTurn =
  | { readonly kind: "more" }
  | { readonly kind: "send"; readonly bytes: Uint8Array }
  /** Connected; `end` is where the reply ended in the piece: the rest is the destination's. */
  | { readonly kind: "up"; readonly bound: Endpoint; readonly end: number }
  /** `code` is the proxy's reply code, null where it gave none or no sound one. */
  | { readonly kind: "failed"; readonly step: SocksStep; readonly code: number | null; readonly reason: string };

const MORE: SocksTurn = { kind: "more" };

/** See the file's header. */
export class SocksClient {
  /** The step whose reply is awaited. */
  step: SocksStep = "methods";
  readonly #wish: SocksWish;
  #kept: Buffer = Buffer.alloc(0);
  #over = false;

  constructor(wish: SocksWish) {
    this.#wish = wish;
  }

  /** The first bytes for the proxy. */
  start(): Uint8Array {
    const methods = this.#wish.credentials === null ? [Method.none] : [Method.none, Method.password];
    return Uint8Array.from([SOCKS_VERSION, methods.length, ...methods]);
  }

  /** Takes `buffer[start, end)` from the proxy. */
  feed(buffer: Buffer, start: number, end: number): SocksTurn {
    assert(!this.#over, "a handshake that is over is not fed");
    const before = this.#kept.length;
    const piece = buffer.subarray(start, end);
    const bytes = before === 0 ? piece : Buffer.concat([this.#kept, piece]);
    const size = this.#replySize(bytes);
    if (typeof size === "string") return this.#fail(null, size);
    if (size === null) {
      this.#kept = Buffer.from(bytes);
      return MORE;
    }
    this.#kept = Buffer.alloc(0);
    const turn = this.#take(bytes, start + size - before);
    if (turn.kind === "send" && size < bytes.length) return this.#fail(null, "it sent more than it was asked for");
    if (turn.kind !== "send") this.#over = true;
    return turn;
  }

  /** Bytes of the reply, a text when it is none, null when more must come. */
  #replySize(bytes: Buffer): number | string | null {
    if (this.step === "bind" || this.step === "connect") {
      const frame = readFrame(bytes);
      return frame === null || typeof frame === "string" ? frame : frame.end;
    }
    const version = this.step === "methods" ? SOCKS_VERSION : AUTH_VERSION;
    if (bytes.length > 0 && bytes[0] !== version) return `version ${bytes[0]} instead of ${version}`;
    return bytes.length < 2 ? null : 2;
  }

  #take(bytes: Buffer, end: number): SocksTurn {
    const code = bytes[1] as number;
    switch (this.step) {
      case "methods":
        return this.#chosen(code);
      case "auth":
        return code === 0 ? this.#request() : this.#fail(code, "user name and password refused");
      case "bind":
        return code === ReplyCode.succeeded ? this.#connect() : this.#fail(code, replyWords(code));
      case "connect": {
        if (code !== ReplyCode.succeeded) return this.#fail(code, replyWords(code));
        const frame = readFrame(bytes);
        assert(frame !== null && typeof frame !== "string", "a reply's size was known");
        return { kind: "up", bound: { address: frame.host, port: frame.port }, end };
      }
    }
  }

  #chosen(method: number): SocksTurn {
    const { credentials } = this.#wish;
    if (method === Method.none) return this.#request();
    if (method === Method.password && credentials !== null) {
      this.step = "auth";
      const username = Buffer.from(credentials.username, "utf8");
      const password = Buffer.from(credentials.password, "utf8");
      const bytes = [AUTH_VERSION, username.length, ...username, password.length, ...password];
      return { kind: "send", bytes: Uint8Array.from(bytes) };
    }
    if (method !== Method.unacceptable) return this.#fail(null, `it chose method ${method}, which was not offered`);
    return this.#fail(
      method,
      credentials === null ? "it wants a user name and password" : "it accepts neither of the methods offered",
    );
  }

  #request(): SocksTurn {
    if (this.#wish.bind === null) return this.#connect();
    this.step = "bind";
    return { kind: "send", bytes: socksFrame(Command.bind, this.#wish.bind, 0) };
  }

  #connect(): SocksTurn {
    this.step = "connect";
    return { kind: "send", bytes: socksFrame(Command.connect, this.#wish.host, this.#wish.port) };
  }

  #fail(code: number | null, reason: string): SocksTurn {
    this.#over = true;
    return { kind: "failed", step: this.step, code, reason };
  }
}
