import { createSecureContext, type SecureContext, TLSSocket } from "node:tls";
import type { Fault } from "../base/fault.js";
import type { Connection, ConnectionHandler, Reactor, Relay, RelayStart } from "../native/binding.js";
import { StreamRelay } from "../native/stream-relay.js";
import type { ProxyTls } from "./options.js";

/** Who listens to the client of a proxy. */
export interface ClientListener {
  received(buffer: Buffer, start: number, end: number): void;
  /** The client has ended its direction, or is gone; told once or more often. */
  gone(): void;
  /** TLS could not be agreed upon. */
  tlsFailed(): void;
}

/** The client's connection, in clear or with TLS. */
export interface ClientSide {
  send(bytes: Uint8Array): void;
  /** Stops reading: what the client sends on waits in the kernel. */
  pause(): void;
  /** Sends what was said, then closes. */
  end(): void;
  destroy(): void;
  /**
   * Joins it with the connection to the destination; the listener is called no more.
   * @throws {Fault} when it cannot be.
   */
  join(destination: Connection, start: RelayStart, onEnd: (fault: Fault | null) => void): Relay;
}

/** A client that talks in clear. */
export class PlainClient implements ClientSide, ConnectionHandler {
  readonly #reactor: Reactor;
  readonly #connection: Connection;
  readonly #listener: ClientListener;

  constructor(reactor: Reactor, connection: Connection, listener: ClientListener) {
    this.#reactor = reactor;
    this.#connection = connection;
    this.#listener = listener;
    connection.handler = this;
  }

  send(bytes: Uint8Array): void {
    this.#connection.writeBytes(bytes);
    this.#reactor.requestTurn();
  }

  pause(): void {
    this.#connection.pause();
  }

  end(): void {
    this.#connection.end();
    this.#reactor.requestTurn();
  }

  destroy(): void {
    this.#connection.destroy();
  }

  join(destination: Connection, start: RelayStart, onEnd: (fault: Fault | null) => void): Relay {
    return this.#reactor.relay(this.#connection, destination, start, onEnd);
  }

  onConnect(): void {}

  onData(buffer: Buffer, start: number, end: number): void {
    this.#listener.received(buffer, start, end);
  }

  onEnd(): void {
    this.#listener.gone();
  }

  onDrain(): void {}

  onClose(): void {
    this.#listener.gone();
  }
}

/** A client that talks TLS: its socket is Node's, and so is the relay. */
export class SecureClient implements ClientSide {
  readonly #socket: TLSSocket;

  /** What is taken off again when the socket becomes part of a relay. */
  readonly #heard: (chunk: Buffer) => void;
  readonly #left: () => void;

  constructor(connection: Connection, context: SecureContext, listener: ClientListener) {
    const raw = connection.detach();
    this.#socket = new TLSSocket(raw, { isServer: true, secureContext: context });
    let secured = false;
    this.#heard = (chunk) => listener.received(chunk, 0, chunk.length);
    this.#left = () => listener.gone();
    this.#socket.on("secure", () => {
      secured = true;
    });
    this.#socket.on("error", () => {
      if (!secured) listener.tlsFailed();
    });
    this.#socket.on("data", this.#heard);
    for (const event of ["error", "end", "close"]) this.#socket.on(event, this.#left);
  }

  send(bytes: Uint8Array): void {
    this.#socket.write(bytes);
  }

  pause(): void {
    this.#socket.pause();
  }

  end(): void {
    this.#socket.end();
    this.#socket.destroySoon();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  join(destination: Connection, start: RelayStart, onEnd: (fault: Fault | null) => void): Relay {
    const second = destination.detach();
    this.#socket.off("data", this.#heard);
    for (const event of ["error", "end", "close"]) this.#socket.off(event, this.#left);
    return new StreamRelay(this.#socket, second, start, onEnd);
  }
}

/**
 * Reads certificate and key.
 * @throws when they are no PEM, or do not belong together.
 */
export function secureContext(tls: ProxyTls): SecureContext {
  return createSecureContext({ cert: tls.cert, key: tls.key, minVersion: "TLSv1.2" });
}
