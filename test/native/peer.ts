import { createServer, type Server } from "node:net";
import type { Fault } from "../../src/base/fault.js";
import type { Connection, ConnectionHandler, ConnectOptions, Native, Reactor } from "../../src/native/binding.js";

/** A promise and its resolver. */
export class Signal<T> {
  readonly promise: Promise<T>;
  resolve!: (value: T) => void;

  constructor() {
    this.promise = new Promise((resolve) => {
      this.resolve = resolve;
    });
  }
}

/** A handler that records what happens, and can be told what to do at each event. */
export class Peer implements ConnectionHandler {
  connection!: Connection;
  readonly connected = new Signal<void>();
  readonly ended = new Signal<void>();
  readonly closed = new Signal<Fault | null>();
  /** Events in their order, without the bytes. */
  readonly events: string[] = [];
  received = "";
  receivedBytes = 0;
  whenData: ((bytes: Buffer) => void) | null = null;
  whenDrain: (() => void) | null = null;
  whenEnd: (() => void) | null = null;
  /** False when only the number of bytes counts. */
  keepsText = true;
  #wanted: { length: number; signal: Signal<string> } | null = null;

  onConnect(): void {
    this.events.push("connect");
    this.connected.resolve();
  }

  onData(buffer: Buffer, start: number, end: number): void {
    this.receivedBytes += end - start;
    if (this.keepsText) this.received += buffer.toString("latin1", start, end);
    this.whenData?.(buffer.subarray(start, end));
    if (this.#wanted !== null && this.receivedBytes >= this.#wanted.length) this.#wanted.signal.resolve(this.received);
  }

  onEnd(): void {
    this.events.push("end");
    this.ended.resolve();
    this.whenEnd?.();
  }

  onDrain(): void {
    this.events.push("drain");
    this.whenDrain?.();
  }

  onClose(fault: Fault | null): void {
    this.events.push("close");
    this.closed.resolve(fault);
  }

  /** Resolves with everything received once it is at least `length` bytes. */
  bytes(length: number): Promise<string> {
    const signal = new Signal<string>();
    this.#wanted = { length, signal };
    if (this.receivedBytes >= length) signal.resolve(this.received);
    return signal.promise;
  }
}

/** One reactor with a listener on 127.0.0.1 whose connections become {@link Peer}s. */
export class World {
  readonly reactor: Reactor;
  readonly accepted: Peer[] = [];
  turns = 0;
  port = 0;
  whenAccepted: ((peer: Peer) => void) | null = null;
  whenTurn: (() => void) | null = null;
  #waiting: { count: number; signal: Signal<void> } | null = null;

  constructor(native: Native) {
    this.reactor = native.createReactor({
      arenaBytes: 256 * 1024,
      onTurn: () => {
        this.turns++;
        this.whenTurn?.();
      },
    });
  }

  async listen(host = "127.0.0.1", port = 0): Promise<ReturnType<Reactor["listen"]>> {
    const listener = this.reactor.listen({ host, port, backlog: 511 }, (connection) => {
      const peer = new Peer();
      peer.connection = connection;
      connection.handler = peer;
      this.accepted.push(peer);
      this.whenAccepted?.(peer);
      if (this.#waiting !== null && this.accepted.length >= this.#waiting.count) this.#waiting.signal.resolve();
    });
    await listener.ready;
    this.port = listener.port;
    return listener;
  }

  connect(options: Partial<ConnectOptions> = {}): Peer {
    const peer = new Peer();
    const defaults = { address: "127.0.0.1", port: this.port, unix: null, localAddress: null };
    peer.connection = this.reactor.connect({ ...defaults, ...options }, peer);
    return peer;
  }

  /** Resolves with the accepted connection of this number, from 0. */
  async server(index: number): Promise<Peer> {
    if (this.accepted.length <= index) {
      const signal = new Signal<void>();
      this.#waiting = { count: index + 1, signal };
      await signal.promise;
    }
    return this.accepted[index] as Peer;
  }

  /** A connected pair: the client's end and the server's. */
  async pair(options: Partial<ConnectOptions> = {}): Promise<[Peer, Peer]> {
    const index = this.accepted.length;
    const client = this.connect(options);
    const server = await this.server(index);
    await client.connected.promise;
    return [client, server];
  }
}

/** Runs `body` in a world of its own, with a listener, and closes it. */
export async function withWorld(native: Native, body: (world: World) => Promise<void>): Promise<void> {
  const world = new World(native);
  try {
    await world.listen();
    await body(world);
  } finally {
    world.reactor.close();
  }
}

/** Resolves after the reactor's next turn has run. */
export function nextTurn(world: World): Promise<void> {
  const signal = new Signal<void>();
  const before = world.whenTurn;
  world.whenTurn = () => {
    world.whenTurn = before;
    before?.();
    signal.resolve();
  };
  world.reactor.requestTurn();
  return signal.promise;
}

/** A listener on 127.0.0.1 that is not ours. */
export async function foreignServer(): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}
