import type { Socket } from "node:net";
import { assert } from "../base/assert.js";
import type { Fault } from "../base/fault.js";
import { type AddonModule, ROW_CELLS, RowKind } from "./addon-module.js";
import type {
  Connection,
  ConnectionHandler,
  ConnectOptions,
  Listener,
  ListenOptions,
  Reactor,
  ReactorOptions,
  Relay,
  RelayStart,
} from "./binding.js";
import { AddonConnection, type ConnectionHost } from "./connection.js";
import { listenFault, socketFault } from "./faults.js";
import { LEAST_ARENA_BYTES, STALL_MS, TURN_BUFFER_BYTES } from "./limits.js";
import { Lingering } from "./linger.js";
import { noHandler } from "./no-handler.js";
import { AddonRelay } from "./relay.js";
import { Turn } from "./turn.js";

/** Rows that one call of the addon can bring. */
const ROWS = 1024;

/**
 * The JavaScript side of the addon's reactor: each call of the addon brings a batch of rows, see `native/reactor.h`.
 * Runs on: the thread that made it.
 * Owns: its connections and listeners, the receive arena, the turn's output buffer.
 * When full: with the output buffer full, each further small write of the turn gets memory of its own.
 * On failure: what a handler throws is this thread's uncaught exception; sockets fail one by one, through `onClose`.
 */
export class AddonReactor implements Reactor, ConnectionHost {
  readonly addon: AddonModule;
  readonly number: number;

  readonly #turn: Turn<AddonConnection>;
  readonly #lingering = new Lingering<AddonConnection>();
  readonly #arena: Buffer;
  readonly #rows = new Int32Array(ROWS * ROW_CELLS);
  /** By slot. */
  readonly #connections: (AddonConnection | undefined)[] = [];
  readonly #listeners = new Map<number, AddonListener>();
  /** By the slot of their first end. */
  readonly #relays = new Map<number, AddonRelay>();
  readonly #turnBuffer = Buffer.allocUnsafeSlow(TURN_BUFFER_BYTES);
  #turnBufferUsed = 0;
  #isClosed = false;

  /** @throws {Fault} `socket.failed` when no descriptor is left for it. */
  constructor(addon: AddonModule, options: ReactorOptions) {
    assert(options.arenaBytes >= LEAST_ARENA_BYTES, "a receive arena has at least 64 KiB");
    this.addon = addon;
    this.#arena = Buffer.allocUnsafeSlow(options.arenaBytes);
    this.#turn = new Turn(options.onTurn, () => {
      this.#turnBufferUsed = 0;
    });
    const takeRows = (count: number): void => {
      for (let i = 0; i < count && !this.#isClosed; i++) this.#takeRow(i * ROW_CELLS);
    };
    this.number = addon.openReactor(this.#arena, this.#rows, (count) => this.#turn.run(takeRows, count));
    if (this.number < 0) throw socketFault("open", "a reactor", addon.errnoName(-this.number));
  }

  get size(): number {
    return this.#turn.size;
  }

  listen(options: ListenOptions, onConnection: (connection: Connection) => void): Listener {
    const { host, port, backlog } = options;
    const slot = this.addon.listen(this.number, host, port, backlog);
    if (slot < 0) throw listenFault(host, port, this.addon.errnoName(-slot));
    const listener = new AddonListener(this, slot, host, onConnection);
    this.#listeners.set(slot, listener);
    return listener;
  }

  connect(options: ConnectOptions, handler: ConnectionHandler): Connection {
    const slot = this.addon.connect(
      this.number,
      options.address,
      options.port,
      options.unix,
      options.localAddress,
      options.freeBind ?? false,
      options.transparent ?? false,
      options.device ?? null,
      options.mark ?? null,
      options.userTimeoutMs ?? 0,
    );
    const peer = options.unix ?? options.address ?? "";
    const port = options.unix === null ? options.port : 0;
    const connection = new AddonConnection(this, Math.max(-1, slot), peer, port, false);
    connection.handler = handler;
    this.#turn.size++;
    if (slot >= 0) this.#connections[slot] = connection;
    else connection.takeClosed(this.addon.errnoName(-slot));
    return connection;
  }

  relay(first: Connection, second: Connection, start: RelayStart, onEnd: (fault: Fault | null) => void): Relay {
    assert(first instanceof AddonConnection && second instanceof AddonConnection, "a relay joins connections of ours");
    const gone = (): void => {
      this.#relays.delete(first.slot);
      this.#turn.size -= 2;
    };
    const relay = AddonRelay.begin(this.addon, this.number, [first, second], start, onEnd, gone);
    for (const end of [first, second]) this.#connections[end.slot] = undefined;
    this.#relays.set(first.slot, relay);
    return relay;
  }

  requestTurn(): void {
    this.#turn.request();
  }

  close(): void {
    if (this.#isClosed) return;
    for (const listener of this.#listeners.values()) listener.close();
    for (const connection of this.#connections) connection?.destroy();
    for (const relay of [...this.#relays.values()]) relay.destroy();
    this.#isClosed = true;
    this.#turn.stop();
    this.#lingering.stop();
    this.addon.closeReactor(this.number);
  }

  // ── for connections and listeners ──────────────────────────────────────────────────────────────────────────────────

  noteDirty(connection: AddonConnection): void {
    this.#turn.noteDirty(connection);
  }

  copy(bytes: Uint8Array): Uint8Array {
    const start = this.#turnBufferUsed;
    const end = start + bytes.length;
    if (end > TURN_BUFFER_BYTES) return Buffer.from(bytes);
    this.#turnBuffer.set(bytes, start);
    this.#turnBufferUsed = end;
    return this.#turnBuffer.subarray(start, end);
  }

  isBorrowed(bytes: Uint8Array): boolean {
    return bytes.buffer === this.#turnBuffer.buffer;
  }

  noteDrained(connection: AddonConnection): void {
    this.#turn.noteDrained(connection);
  }

  noteLingering(connection: AddonConnection): void {
    this.#lingering.add(connection);
  }

  noteClosed(connection: AddonConnection): void {
    if (connection.slot >= 0) this.#connections[connection.slot] = undefined;
    this.#lingering.remove(connection);
    this.#turn.noteClosed(connection);
  }

  noteDetached(connection: AddonConnection, socket: Socket): void {
    this.#connections[connection.slot] = undefined;
    // It stays a socket of this thread, for TLS or a relay.
    socket.once("close", () => this.#turn.size--);
  }

  forgetListener(slot: number): void {
    this.#listeners.delete(slot);
  }

  // ── rows ───────────────────────────────────────────────────────────────────────────────────────────────────────────

  #takeRow(at: number): void {
    const rows = this.#rows;
    const slot = rows[at];
    const kind = rows[at + 1];
    if (kind === RowKind.accepted) {
      this.#accept(slot, rows[at + 2], rows[at + 3]);
      return;
    }
    if (kind === RowKind.stalled) {
      this.#listeners.get(slot)?.takeStall();
      return;
    }
    if (kind === RowKind.relayed) {
      this.#relays.get(slot)?.takeEnd(rows[at + 2]);
      return;
    }
    // A handler that ran earlier in this batch may have closed it.
    const connection = this.#connections[slot];
    if (connection === undefined) return;
    switch (kind) {
      case RowKind.data:
        connection.takeData(this.#arena, rows[at + 2], rows[at + 3]);
        break;
      case RowKind.end:
        connection.takeEnd();
        break;
      case RowKind.writable:
        connection.takeWritable();
        break;
      case RowKind.connected:
        connection.takeConnected();
        break;
      case RowKind.closed:
        connection.takeClosed(rows[at + 2] === 0 ? null : this.addon.errnoName(rows[at + 2]));
        break;
    }
  }

  #accept(listenerSlot: number, slot: number, remotePort: number): void {
    const listener = this.#listeners.get(listenerSlot);
    if (listener === undefined) {
      this.addon.close(this.number, slot);
      return;
    }
    const address = this.addon.remoteAddress(this.number, slot);
    const connection = new AddonConnection(this, slot, address, remotePort, true);
    this.#connections[slot] = connection;
    this.#turn.size++;
    listener.onConnection(connection);
    assert(connection.handler !== noHandler, "whoever takes a connection sets its handler");
  }
}

/**
 * A listening socket of the addon's reactor.
 * Runs on: the reactor's thread. Owns: its slot.
 * When full: the kernel's queue of `backlog` connections; beyond that clients try again by themselves.
 * On failure: without descriptors or memory it stops accepting for {@link STALL_MS} and counts `stalls`.
 */
class AddonListener implements Listener {
  readonly host: string;
  readonly port: number;
  readonly ready = Promise.resolve();
  stalls = 0;
  readonly onConnection: (connection: Connection) => void;

  readonly #reactor: AddonReactor;
  readonly #slot: number;
  #stall: NodeJS.Timeout | null = null;
  #isPaused = false;
  #isClosed = false;

  constructor(reactor: AddonReactor, slot: number, host: string, onConnection: (connection: Connection) => void) {
    this.#reactor = reactor;
    this.#slot = slot;
    this.host = host;
    this.port = reactor.addon.localPort(reactor.number, slot);
    this.onConnection = onConnection;
  }

  pause(): void {
    if (this.#isClosed) return;
    this.#isPaused = true;
    this.#reactor.addon.pause(this.#reactor.number, this.#slot);
  }

  resume(): void {
    if (this.#isClosed) return;
    this.#isPaused = false;
    if (this.#stall === null) this.#reactor.addon.resume(this.#reactor.number, this.#slot);
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (this.#stall !== null) clearTimeout(this.#stall);
    this.#reactor.addon.close(this.#reactor.number, this.#slot);
    this.#reactor.forgetListener(this.#slot);
  }

  /** The addon has stopped accepting: nothing was left to accept with. */
  takeStall(): void {
    this.stalls++;
    this.#stall = setTimeout(() => {
      this.#stall = null;
      if (!this.#isPaused) this.resume();
    }, STALL_MS);
  }
}
