/**
 * The proxy's side of a SOCKS 5 handshake on one connection. BIND chooses the source address of the CONNECT that follows
 * on the same connection; it does not wait for anybody to connect.
 *
 * Runs on   any thread
 * Owns      what has come and was not read yet
 * When full a client that sends more than 16 KiB ahead of its answers is refused
 * On failure a reply with a code where one can be given; then the host is told to close
 */
import { assert } from "../base/assert.js";
import { addressBytes, familyOf } from "./address-bytes.js";
import {
  AddressType,
  AUTH_VERSION,
  Command,
  Method,
  ReplyCode,
  readFrame,
  SOCKS_VERSION,
  socksFrame,
} from "./socks.js";

/** Most bytes that may wait to be read. */
export const MAX_AHEAD_BYTES = 16 * 1024;

/** Why a handshake ended; the label of the proxy's metric. */
export type HandshakeEnd = "protocol" | "method" | "auth" | "request" | "bind" | "connect";

/** Who is asked for what the handshake needs; called from inside `feed` and the answers. */
export interface SocksServerHost {
  send(bytes: Uint8Array): void;
  /** Whether user name and password are right. */
  authenticate(username: string, password: string): boolean;
  /** Answered with `bound` or `refuse`. */
  bind(address: string): void;
  /** `from` is what BIND chose. Answered with `connected` or `refuse`. */
  connect(address: string, port: number, from: string | null): void;
  /** The handshake has failed; what was sent goes out, then the connection ends. */
  failed(end: HandshakeEnd, detail: string): void;
}

/** Which methods a proxy takes. */
export type AuthRule = "none" | "optional" | "required";

type Phase = "methods" | "auth" | "request" | "binding" | "connecting" | "over";

/** See the file's header. */
export class SocksServer {
  readonly #host: SocksServerHost;
  readonly #rule: AuthRule;
  #phase: Phase = "methods";
  #kept: Buffer = Buffer.alloc(0);
  #from: string | null = null;

  constructor(rule: AuthRule, host: SocksServerHost) {
    this.#rule = rule;
    this.#host = host;
  }

  /** What is waited for. */
  get phase(): Phase {
    return this.#phase;
  }

  /** Takes `buffer[start, end)` from the client. */
  feed(buffer: Buffer, start: number, end: number): void {
    if (this.#phase === "over") return;
    this.#kept = Buffer.concat([this.#kept, buffer.subarray(start, end)]);
    this.#read();
    if (this.#kept.length > MAX_AHEAD_BYTES) this.#fail("protocol", `more than ${MAX_AHEAD_BYTES} bytes ahead`);
  }

  /** The wanted source address can be used. */
  bound(): void {
    assert(this.#phase === "binding" && this.#from !== null, "nothing was to be bound");
    this.#phase = "request";
    this.#host.send(socksFrame(ReplyCode.succeeded, this.#from, 0));
    this.#read();
  }

  /** Connected from `address`. Gives the reply, which must be the next bytes to the client, and what is for the peer. */
  connected(address: string, port: number): { readonly reply: Uint8Array; readonly ahead: Uint8Array } {
    assert(this.#phase === "connecting", "nothing was to be connected");
    this.#phase = "over";
    const ahead = this.#kept;
    this.#kept = Buffer.alloc(0);
    return { reply: socksFrame(ReplyCode.succeeded, address, port), ahead };
  }

  /** What was asked for cannot be had. */
  refuse(code: ReplyCode, detail: string): void {
    const end = this.#phase === "binding" ? "bind" : this.#phase === "connecting" ? "connect" : "request";
    this.#refuse(code, end, detail);
  }

  #read(): void {
    let before: number;
    do {
      before = this.#kept.length;
      if (this.#phase === "methods") this.#readMethods();
      else if (this.#phase === "auth") this.#readAuth();
      else if (this.#phase === "request") this.#readRequest();
      else return;
    } while (this.#kept.length < before);
  }

  #readMethods(): void {
    const bytes = this.#kept;
    if (bytes.length > 0 && bytes[0] !== SOCKS_VERSION) {
      this.#fail("protocol", `version ${bytes[0]} instead of 5`);
      return;
    }
    if (bytes.length < 2 || bytes.length < 2 + (bytes[1] as number)) return;
    const size = 2 + (bytes[1] as number);
    const method = this.#choose(bytes.subarray(2, size));
    this.#kept = bytes.subarray(size);
    this.#host.send(Uint8Array.of(SOCKS_VERSION, method));
    if (method === Method.unacceptable) this.#fail("method", "no method that is offered is accepted");
    else this.#phase = method === Method.password ? "auth" : "request";
  }

  /** With a password that is not required, a client that offers one shows it. */
  #choose(offered: Uint8Array): Method {
    if (this.#rule !== "none" && offered.includes(Method.password)) return Method.password;
    return this.#rule !== "required" && offered.includes(Method.none) ? Method.none : Method.unacceptable;
  }

  #readAuth(): void {
    const bytes = this.#kept;
    if (bytes.length > 0 && bytes[0] !== AUTH_VERSION) {
      this.#fail("protocol", `version ${bytes[0]} of the password exchange instead of 1`);
      return;
    }
    const nameEnd = 2 + (bytes[1] ?? 0);
    const size = nameEnd + 1 + (bytes[nameEnd] ?? 0);
    if (bytes.length < 2 || bytes.length <= nameEnd || bytes.length < size) return;
    this.#kept = bytes.subarray(size);
    const username = bytes.toString("utf8", 2, nameEnd);
    const good = this.#host.authenticate(username, bytes.toString("utf8", nameEnd + 1, size));
    this.#host.send(Uint8Array.of(AUTH_VERSION, good ? 0 : 1));
    if (good) this.#phase = "request";
    else this.#fail("auth", `wrong password for ${JSON.stringify(username)}`);
  }

  #readRequest(): void {
    const frame = readFrame(this.#kept);
    if (frame === null) return;
    if (typeof frame === "string") {
      const unknown = this.#kept[0] === SOCKS_VERSION;
      if (unknown) this.#refuse(ReplyCode.addressNotSupported, "request", frame);
      else this.#fail("protocol", frame);
      return;
    }
    this.#kept = this.#kept.subarray(frame.end);
    const { second: command, host, port } = frame;
    if (command !== Command.bind && command !== Command.connect) {
      this.#refuse(ReplyCode.commandNotSupported, "request", `command ${command} is not supported`);
    } else if (frame.type === AddressType.name || addressBytes(host) === null) {
      this.#refuse(ReplyCode.addressNotSupported, "request", "names are not resolved here");
    } else if (command === Command.bind) {
      this.#bind(host, port);
    } else if (this.#from !== null && familyOf(this.#from) !== familyOf(host)) {
      this.#refuse(ReplyCode.addressNotSupported, "connect", `${host} cannot be reached from ${this.#from}`);
    } else {
      this.#phase = "connecting";
      this.#host.connect(host, port, this.#from);
    }
  }

  #bind(address: string, port: number): void {
    if (this.#from !== null) {
      this.#refuse(ReplyCode.failure, "bind", "a second BIND");
    } else if (port !== 0) {
      this.#refuse(ReplyCode.failure, "bind", `BIND of port ${port}: only port 0, BIND chooses a source address here`);
    } else {
      this.#phase = "binding";
      this.#from = address;
      this.#host.bind(address);
    }
  }

  #refuse(code: ReplyCode, end: HandshakeEnd, detail: string): void {
    if (this.#phase === "over") return;
    this.#host.send(socksFrame(code, "0.0.0.0", 0));
    this.#fail(end, detail);
  }

  #fail(end: HandshakeEnd, detail: string): void {
    if (this.#phase === "over") return;
    this.#phase = "over";
    this.#kept = Buffer.alloc(0);
    this.#host.failed(end, detail);
  }
}
