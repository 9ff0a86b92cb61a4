/**
 * A connection that is made by a proxy.
 *
 *     resolving ─▶ one address of the proxy after the other: connecting ─▶ handshake ─▶ up
 *
 * Its handler is told of it when the handshake has ended, and sees a connection to the destination from then on. Nothing
 * is written to the proxy but the handshake before, and nothing else is tried when the proxy fails.
 *
 * Runs on   a worker
 * Owns      the connection to the proxy, and a timer until it is up
 * When full as the connection
 * On failure `onClose` with a fault of code `proxy.*` that names the proxy, once, within the time that was given
 */
import type { Socket } from "node:net";
import { assert } from "../../../base/assert.js";
import { Fault } from "../../../base/fault.js";
import type { IpLookupStrategy, ProxyConfig } from "../../../config/compiled.js";
import { isAddress } from "../../../config/text-kinds.js";
import { familyOf } from "../../../handshake/address-bytes.js";
import type { Connection, ConnectionHandler, ConnectOptions, Reactor } from "../../../native/binding.js";
import { proxyName } from "../cause.js";
import { type Attempt, type AttemptHost, startAttempt } from "./attempt.js";

/** What a connection through a proxy needs of its worker. */
export interface ThroughParts {
  readonly reactor: Reactor;
  /** Finds addresses of a host; `done` is called exactly once, with empty lists when there are none. */
  readonly resolve: (
    host: string,
    strategy: IpLookupStrategy,
    done: (v4: readonly string[], v6: readonly string[]) => void,
  ) => void;
}

/**
 * Connects to `options.address` through a proxy, which is reached from `options.localAddress`.
 * @param timeoutMs until the handshake has ended; each address of the proxy gets its share of what is left.
 */
export function connectThrough(
  parts: ThroughParts,
  proxy: ProxyConfig,
  options: ConnectOptions,
  timeoutMs: number,
  handler: ConnectionHandler,
): Connection {
  const connection = new ThroughConnection(parts, proxy, options, timeoutMs, handler);
  connection.begin();
  return connection;
}

class ThroughConnection implements Connection, AttemptHost {
  readonly remoteAddress: string;
  readonly remotePort: number;
  localAddress = "";
  localPort = 0;
  readonly #parts: ThroughParts;
  readonly #proxy: ProxyConfig;
  readonly #options: ConnectOptions;
  readonly #deadlineMs: number;
  #handler: ConnectionHandler;
  #candidates: readonly string[] = [];
  #attempt: Attempt | null = null;
  /** The connection to the destination, once it is one. */
  #inner: Connection | null = null;
  #isOver = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(
    parts: ThroughParts,
    proxy: ProxyConfig,
    options: ConnectOptions,
    timeoutMs: number,
    handler: ConnectionHandler,
  ) {
    this.#parts = parts;
    this.#proxy = proxy;
    this.#options = options;
    this.#handler = handler;
    this.#deadlineMs = performance.now() + timeoutMs;
    this.remoteAddress = options.address ?? options.unix ?? "";
    this.remotePort = options.address === null ? 0 : options.port;
  }

  /** Finds the proxy's addresses and tries the first. */
  begin(): void {
    const { address } = this.#options;
    const { server, sourceAddress } = this.#proxy;
    if (address === null) {
      this.#failSoon("proxy.destination", "a unix socket cannot be reached through a proxy");
    } else if (sourceAddress !== null && familyOf(sourceAddress) !== familyOf(address)) {
      this.#failSoon("proxy.destination", `${address} is not of the family of the source address ${sourceAddress}`);
    } else if (isAddress(server.host)) {
      this.#try([server.host]);
    } else {
      this.#armTimer(1, "while its name was looked up");
      this.#parts.resolve(server.host, this.#strategy(), (v4, v6) => this.#found([...v4, ...v6]));
    }
  }

  /** The proxy is reached from the source's own address, if it has one. */
  #strategy(): IpLookupStrategy {
    const { localAddress } = this.#options;
    if (localAddress === null) return "Ipv4AndIpv6";
    return familyOf(localAddress) === 4 ? "Ipv4Only" : "Ipv6Only";
  }

  #found(addresses: readonly string[]): void {
    if (this.#isOver) return;
    if (addresses.length > 0) this.#try(addresses);
    else this.#failSoon("proxy.unreachable", "no usable address was found for its name");
  }

  #try(candidates: readonly string[]): void {
    const [address, ...rest] = candidates;
    assert(address !== undefined, "an address of the proxy is left");
    this.#candidates = rest;
    const { localAddress, freeBind } = this.#options;
    const way = { address, port: this.#proxy.server.port, unix: null, localAddress, freeBind: freeBind ?? false };
    this.#attempt = startAttempt(this.#parts.reactor, way, this.#proxy, this.#options, this);
    this.#armTimer(candidates.length, null);
  }

  /** Gives the present step its share of the time. */
  #armTimer(shares: number, doing: string | null): void {
    clearTimeout(this.#timer);
    const ms = Math.max(1, (this.#deadlineMs - performance.now()) / shares);
    this.#timer = setTimeout(() => {
      const text = `nothing came for ${Math.round(ms) / 1000}s ${doing ?? this.#attempt?.doing() ?? ""}`;
      if (this.#attempt === null) this.#failSoon("proxy.unreachable", text);
      else this.#attempt.fail("proxy.unreachable", text);
    }, ms);
  }

  get isWanted(): boolean {
    return !this.#isOver;
  }

  // ── what an attempt says ─────────────────────────────────────────────────────────────────────────────────────────

  attemptUp(inner: Connection, localAddress: string, localPort: number): ConnectionHandler {
    clearTimeout(this.#timer);
    this.#attempt = null;
    this.#inner = inner;
    this.localAddress = localAddress;
    this.localPort = localPort;
    return this.#handler;
  }

  attemptOver(fault: Fault | null): void {
    this.#attempt = null;
    if (this.#isOver || fault === null) {
      this.#finish(null);
      return;
    }
    // What the proxy says of the destination would be the same at its other addresses.
    if (fault.code === "proxy.destination" || this.#candidates.length === 0) this.#finish(fault);
    else this.#try(this.#candidates);
  }

  /** Ends outside of the reactor's events. */
  #failSoon(code: "proxy.destination" | "proxy.unreachable", text: string): void {
    this.#isOver = true;
    const fault = new Fault(code, `proxy ${proxyName(this.#proxy)}: ${text}`);
    this.#endSoon(fault);
  }

  #endSoon(fault: Fault | null): void {
    clearTimeout(this.#timer);
    setImmediate(() => {
      this.#handler.onClose(fault);
      this.#parts.reactor.requestTurn();
    });
  }

  #finish(fault: Fault | null): void {
    clearTimeout(this.#timer);
    this.#isOver = true;
    this.#handler.onClose(fault);
  }

  // ── the connection ───────────────────────────────────────────────────────────────────────────────────────────────

  get handler(): ConnectionHandler {
    return this.#handler;
  }

  set handler(handler: ConnectionHandler) {
    this.#handler = handler;
    if (this.#inner !== null) this.#inner.handler = handler;
  }

  get pendingBytes(): number {
    return this.#inner?.pendingBytes ?? 0;
  }

  writeText(text: string): boolean {
    return this.#up().writeText(text);
  }

  writeBytes(bytes: Uint8Array): boolean {
    return this.#up().writeBytes(bytes);
  }

  pause(): void {
    this.#up().pause();
  }

  resume(): void {
    this.#up().resume();
  }

  end(): void {
    if (this.#inner === null) {
      this.destroy();
      return;
    }
    this.#isOver = true;
    this.#inner.end();
  }

  destroy(): void {
    const wasOver = this.#isOver;
    this.#isOver = true;
    if (this.#inner !== null) {
      this.#inner.destroy();
      return;
    }
    if (wasOver) return;
    clearTimeout(this.#timer);
    if (this.#attempt !== null) this.#attempt.drop();
    else this.#endSoon(null);
  }

  detach(): Socket {
    return this.#up().detach();
  }

  #up(): Connection {
    assert(this.#inner !== null, "nothing is said on a connection before the proxy has made it");
    return this.#inner;
  }
}
