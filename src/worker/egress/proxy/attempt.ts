/**
 * One try to have a proxy connect: a connection to one of its addresses, and the handshake on it.
 *
 * Runs on   a worker
 * Owns      the connection until it is up; then its handler is the owner's
 * When full a handshake's few bytes are all that is ever written
 * On failure `attemptOver` with a fault that names the proxy, when the connection to it is closed
 */
import { Fault, type FaultCode } from "../../../base/fault.js";
import type { HaProxyConfig, ProxyConfig, SocksProxyConfig } from "../../../config/compiled.js";
import { proxyHeader } from "../../../handshake/proxy-header.js";
import { ReplyCode } from "../../../handshake/socks.js";
import { SocksClient, type SocksTurn } from "../../../handshake/socks-client.js";
import type { Connection, ConnectionHandler, ConnectOptions, Reactor } from "../../../native/binding.js";
import { proxyName } from "../cause.js";

/** Codes of a proxy's faults. */
export type ProxyFaultCode = Extract<FaultCode, `proxy.${string}`>;

/** Who makes attempts. */
export interface AttemptHost {
  /** The owner has not closed the connection meanwhile. */
  readonly isWanted: boolean;
  /** The handshake has ended. Gives the handler that the connection has from now on. */
  attemptUp(inner: Connection, localAddress: string, localPort: number): ConnectionHandler;
  /** The connection to the proxy is closed; `fault` tells why, null when it was dropped. */
  attemptOver(fault: Fault | null): void;
}

/** An attempt under way. */
export interface Attempt {
  /** What it is doing, for the text of a fault. */
  doing(): string;
  /** Ends it with this fault. */
  fail(code: ProxyFaultCode, text: string): void;
  /** Ends it without one. */
  drop(): void;
}

/**
 * Connects to a proxy by `way`, and has it connect to `destination`, whose address is numeric and of the family of the
 * proxy's source address.
 */
export function startAttempt(
  reactor: Reactor,
  way: ConnectOptions,
  proxy: ProxyConfig,
  destination: ConnectOptions,
  host: AttemptHost,
): Attempt {
  const target = { address: destination.address ?? "", port: destination.port };
  const attempt =
    proxy.protocol === "haproxy" ? new HaAttempt(proxy, target, host) : new SocksAttempt(proxy, target, host);
  attempt.connection = reactor.connect(way, attempt);
  return attempt;
}

interface Target {
  readonly address: string;
  readonly port: number;
}

abstract class ProxyAttempt implements ConnectionHandler, Attempt {
  connection: Connection | null = null;
  protected readonly host: AttemptHost;
  readonly #name: string;
  #isConnected = false;
  #fault: Fault | null = null;
  #isDropped = false;

  constructor(proxy: ProxyConfig, host: AttemptHost) {
    this.#name = proxyName(proxy);
    this.host = host;
  }

  protected abstract begin(connection: Connection): void;
  protected abstract waiting(): string;

  get isOver(): boolean {
    return this.#isDropped || this.#fault !== null;
  }

  doing(): string {
    return this.#isConnected ? this.waiting() : "while connecting to it";
  }

  fail(code: ProxyFaultCode, text: string): void {
    this.#fault ??= new Fault(code, `proxy ${this.#name}: ${text}`);
    this.connection?.destroy();
  }

  drop(): void {
    this.#isDropped = true;
    this.connection?.destroy();
  }

  onConnect(): void {
    this.#isConnected = true;
    if (this.connection !== null && !this.isOver) this.begin(this.connection);
  }

  onData(_buffer: Buffer, _start: number, _end: number): void {}

  onEnd(): void {
    this.fail("proxy.handshake", `it closed the connection ${this.doing()}`);
  }

  onDrain(): void {}

  onClose(fault: Fault | null): void {
    if (this.#isDropped) {
      this.host.attemptOver(null);
      return;
    }
    const word = fault === null ? "it closed the connection" : (fault.errno ?? fault.message);
    const code = this.#isConnected ? "proxy.handshake" : "proxy.unreachable";
    this.#fault ??= new Fault(code, `proxy ${this.#name}: ${word} ${this.doing()}`);
    this.host.attemptOver(this.#fault);
  }
}

/** A header, and no answer: what the proxy makes of it is seen by whether a greeting comes. */
class HaAttempt extends ProxyAttempt {
  readonly #proxy: HaProxyConfig;
  readonly #target: Target;

  constructor(proxy: HaProxyConfig, target: Target, host: AttemptHost) {
    super(proxy, host);
    this.#proxy = proxy;
    this.#target = target;
  }

  protected begin(connection: Connection): void {
    const { version, sourceAddress } = this.#proxy;
    connection.writeBytes(proxyHeader(version, { address: sourceAddress, port: 0 }, this.#target));
    connection.handler = this.host.attemptUp(connection, sourceAddress, 0);
    connection.handler.onConnect();
  }

  protected waiting(): string {
    return "behind the PROXY header";
  }
}

class SocksAttempt extends ProxyAttempt {
  readonly #proxy: SocksProxyConfig;
  readonly #target: Target;
  readonly #client: SocksClient;

  constructor(proxy: SocksProxyConfig, target: Target, host: AttemptHost) {
    super(proxy, host);
    this.#proxy = proxy;
    this.#target = target;
    const { sourceAddress: bind, credentials } = proxy;
    this.#client = new SocksClient({ bind, host: target.address, port: target.port, credentials });
  }

  protected begin(connection: Connection): void {
    connection.writeBytes(this.#client.start());
  }

  protected waiting(): string {
    return `while waiting for the reply to ${this.#asked()}`;
  }

  #asked(): string {
    switch (this.#client.step) {
      case "methods":
        return "the greeting";
      case "auth":
        return "user name and password";
      case "bind":
        return `BIND ${this.#proxy.sourceAddress}`;
      case "connect":
        return `CONNECT ${this.#target.address} port ${this.#target.port}`;
    }
  }

  override onData(buffer: Buffer, start: number, end: number): void {
    const { connection } = this;
    if (this.isOver || connection === null) return;
    const turn = this.#client.feed(buffer, start, end);
    switch (turn.kind) {
      case "more":
        return;
      case "send":
        connection.writeBytes(turn.bytes);
        return;
      case "failed":
        this.fail(codeOf(turn), `${turn.reason}, in reply to ${this.#asked()}`);
        return;
      case "up": {
        connection.handler = this.host.attemptUp(connection, turn.bound.address, turn.bound.port);
        connection.handler.onConnect();
        // The destination's first words may be in the same piece.
        if (turn.end < end && this.host.isWanted) connection.handler.onData(buffer, turn.end, end);
      }
    }
  }
}

/** Whose failure a reply is: the proxy's own, its machine's, or the destination's. */
function codeOf({ step, code }: Extract<SocksTurn, { kind: "failed" }>): ProxyFaultCode {
  if (code === null || step === "methods" || step === "auth") return "proxy.handshake";
  if (step === "bind") return code === ReplyCode.failure ? "proxy.unplumbed" : "proxy.handshake";
  switch (code) {
    case ReplyCode.networkUnreachable:
    case ReplyCode.hostUnreachable:
    case ReplyCode.refused:
    case ReplyCode.expired:
    case ReplyCode.failure:
      return "proxy.destination";
    default:
      return "proxy.handshake";
  }
}
