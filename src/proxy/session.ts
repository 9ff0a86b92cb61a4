/**
 * One client of the proxy: its handshake, the connection that it asked for, and the relay between the two.
 *
 *     handshake ─▶ [binding] ─▶ connecting ─▶ relaying ─▶ over
 *
 * Runs on   the proxy's thread
 * Owns      the client's connection and the one to the destination
 * When full the client is not read from while its connection is being made; then the relay sets the pace
 * On failure a SOCKS reply with the code that fits, where one can still be given; nothing is thrown
 */
import type { Fault } from "../base/fault.js";
import { ReplyCode } from "../handshake/socks.js";
import { type HandshakeEnd, SocksServer, type SocksServerHost } from "../handshake/socks-server.js";
import type { Connection, ConnectionHandler, Native, Reactor, Relay } from "../native/binding.js";
import type { ClientListener, ClientSide } from "./client-side.js";
import type { FailureKind, ProxyCounters } from "./counters.js";
import type { ProxyOptions } from "./options.js";
import type { Rules } from "./rules.js";

/** What a session needs of its proxy. */
export interface SessionParts {
  readonly native: Native;
  readonly reactor: Reactor;
  readonly options: ProxyOptions;
  readonly rules: Rules;
  readonly counters: ProxyCounters;
  /** Monotonic milliseconds. */
  readonly nowMs: () => number;
  /** The session is over. */
  readonly over: (session: ProxySession) => void;
}

/** See the file's header. */
export class ProxySession implements SocksServerHost, ClientListener, ConnectionHandler {
  readonly client: string;
  relay: Relay | null = null;
  readonly #parts: SessionParts;
  readonly #socks: SocksServer;
  #side: ClientSide | null = null;
  #destination: Connection | null = null;
  #deadlineMs: number;
  #isOver = false;

  constructor(client: string, parts: SessionParts) {
    this.client = client;
    this.#parts = parts;
    this.#socks = new SocksServer(parts.options.auth, this);
    this.#deadlineMs = parts.nowMs() + parts.options.timeoutMs;
  }

  /** Begins to listen to its client. */
  begin(side: ClientSide): void {
    this.#side = side;
  }

  /** Looks whether a step has lasted too long. */
  sweep(nowMs: number): void {
    if (this.#isOver || this.relay !== null || nowMs < this.#deadlineMs) return;
    if (this.#socks.phase === "connecting") {
      this.#socks.refuse(ReplyCode.expired, "it took too long");
      return;
    }
    this.#fail("timeout");
    this.#side?.destroy();
  }

  /** Breaks off. */
  destroy(): void {
    if (this.#isOver) return;
    this.#count();
    this.#finish();
    this.relay?.destroy();
    this.#side?.destroy();
  }

  // ── the client ───────────────────────────────────────────────────────────────────────────────────────────────────

  received(buffer: Buffer, start: number, end: number): void {
    if (!this.#isOver) this.#socks.feed(buffer, start, end);
  }

  gone(): void {
    if (this.#isOver || this.relay !== null) return;
    this.#fail("gone");
    this.#side?.destroy();
  }

  tlsFailed(): void {
    if (this.#isOver) return;
    this.#parts.counters.tlsFailures++;
    this.#fail("tls");
  }

  // ── the handshake ────────────────────────────────────────────────────────────────────────────────────────────────

  send(bytes: Uint8Array): void {
    this.#deadlineMs = this.#parts.nowMs() + this.#parts.options.timeoutMs;
    this.#side?.send(bytes);
  }

  authenticate(username: string, password: string): boolean {
    return this.#parts.rules.knows(username, password);
  }

  bind(address: string): void {
    if (!this.#parts.rules.mayBind(address)) {
      this.#socks.refuse(ReplyCode.notAllowed, `${address} is not among the source addresses that are allowed`);
      return;
    }
    void this.#parts.native.bindRefusal(address).then((errno) => {
      if (this.#isOver) return;
      if (errno === null) this.#socks.bound();
      else this.#socks.refuse(ReplyCode.failure, `${address}: ${errno}`);
    });
  }

  connect(address: string, port: number, from: string | null): void {
    if (!this.#parts.rules.mayConnect(address, port)) {
      this.#socks.refuse(ReplyCode.notAllowed, `${address} port ${port} is not among the destinations allowed`);
      return;
    }
    this.#side?.pause();
    this.#deadlineMs = this.#parts.nowMs() + this.#parts.options.timeoutMs;
    this.#parts.counters.outbound++;
    const way = { address, port, unix: null, localAddress: from };
    this.#destination = this.#parts.reactor.connect(way, this);
  }

  failed(end: HandshakeEnd, _detail: string): void {
    this.#fail(end);
    this.#side?.end();
  }

  // ── the destination ──────────────────────────────────────────────────────────────────────────────────────────────

  onConnect(): void {
    const destination = this.#destination;
    if (this.#isOver || destination === null) return;
    const { reply, ahead } = this.#socks.connected(destination.localAddress, destination.localPort);
    const start = { toFirst: reply, toSecond: ahead };
    try {
      this.relay = this.#side?.join(destination, start, (fault) => this.#relayEnded(fault)) ?? null;
    } catch {
      this.#fail("relay");
      this.#side?.destroy();
    }
  }

  onData(): void {}

  onEnd(): void {}

  onDrain(): void {}

  onClose(fault: Fault | null): void {
    this.#destination = null;
    if (this.#isOver || this.relay !== null) return;
    this.#socks.refuse(replyOf(fault?.errno ?? null), fault?.message ?? "closed");
    this.#parts.reactor.requestTurn();
  }

  #relayEnded(fault: Fault | null): void {
    this.#count();
    if (fault === null) this.#parts.counters.completed++;
    else this.#parts.counters.fail("relay");
    this.#finish();
  }

  /** The relay's bytes become the proxy's. */
  #count(): void {
    this.#parts.counters.clientToDestination += this.relay?.toSecondBytes ?? 0;
    this.#parts.counters.destinationToClient += this.relay?.toFirstBytes ?? 0;
  }

  #fail(kind: FailureKind): void {
    if (this.#isOver) return;
    this.#parts.counters.fail(kind);
    this.#finish();
  }

  #finish(): void {
    this.#isOver = true;
    if (this.relay === null) this.#destination?.destroy();
    this.#parts.over(this);
  }
}

/** The reply for the errno of a connect. */
export function replyOf(errno: string | null): ReplyCode {
  switch (errno) {
    case "ENETUNREACH":
      return ReplyCode.networkUnreachable;
    case "EHOSTUNREACH":
      return ReplyCode.hostUnreachable;
    case "ECONNREFUSED":
      return ReplyCode.refused;
    case "ETIMEDOUT":
      return ReplyCode.expired;
    default:
      return ReplyCode.failure;
  }
}
