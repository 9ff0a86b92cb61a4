import assert from "node:assert/strict";
import type { PathId, Row, SessionId, ShardIndex, SpoolKey } from "../../../src/base/brands.js";
import { ManualClock } from "../../../src/base/clock.js";
import type { PathConfig } from "../../../src/config/compiled.js";
import { PATH_DEFAULTS } from "../../../src/config/path-settings.js";
import type { Connection, ConnectionHandler } from "../../../src/native/binding.js";
import { COUNTER_COUNT } from "../../../src/protocol/metrics.js";
import type { OutgoingMessage } from "../../../src/smtp/client-envelope.js";
import { EgressPath } from "../../../src/worker/egress/path.js";
import { EgressSession } from "../../../src/worker/egress/session.js";
import type { SettledEnd } from "../../../src/worker/egress/session-host.js";
import { TlsDesk } from "../../../src/worker/egress/tls/desk.js";
import type { Fate } from "../../../src/worker/egress/verdict.js";
import type { SpooledMessage } from "../../../src/worker/spool/envelope.js";
import { message } from "../../smtp/client-harness.js";

/** A connection without a network: what was written to it, and the handler that the session gave it. */
export class FakeConnection implements Connection {
  handler: ConnectionHandler;
  readonly remoteAddress = "192.0.2.1";
  readonly remotePort = 25;
  readonly localAddress = "192.0.2.2";
  readonly localPort = 40_000;
  pendingBytes = 0;
  /** The peer takes nothing more: what is written stays. */
  isStuck = false;
  written = "";
  closed: "" | "ended" | "destroyed" = "";

  constructor(handler: ConnectionHandler) {
    this.handler = handler;
  }

  writeText(text: string): boolean {
    return this.#write(text);
  }

  writeBytes(bytes: Uint8Array): boolean {
    return this.#write(Buffer.from(bytes).toString("latin1"));
  }

  #write(text: string): boolean {
    if (this.isStuck) this.pendingBytes += text.length;
    this.written += text;
    return true;
  }

  /** The peer says something. */
  hear(text: string): void {
    const bytes = Buffer.from(text, "latin1");
    this.handler.onData(bytes, 0, bytes.length);
  }

  pause(): void {}
  resume(): void {}
  end(): void {
    this.closed = "ended";
  }
  destroy(): void {
    this.closed = "destroyed";
  }
  detach(): never {
    assert.fail("nobody asked for the socket");
  }
}

/** A message as it would be read. */
export function spooled(key: SpoolKey, { content, sender }: OutgoingMessage): SpooledMessage {
  const reception = {
    protocol: "ESMTP",
    ehlo: null,
    receivedFrom: null,
    receivedVia: null,
    sessionId: null,
    durability: "flushed",
  } as const;
  const envelope = { sender, recipient: "to@b.example", queue: "b.example", reception, meta: null };
  return { kind: "message", key, envelope, content, hold: null, bodyKey: key, flags: 0, attempts: 0, dueMs: 0 };
}

/** A session with as many addresses as asked for, and all that it did. */
export class SessionWorld {
  readonly clock = new ManualClock();
  readonly connections: FakeConnection[] = [];
  readonly fates: Fate[] = [];
  readonly ends: SettledEnd[] = [];
  /** Rows, in the order in which they were settled. */
  readonly settled: number[] = [];
  /** What was said of BDAT. */
  readonly chunks: string[] = [];
  /** Failures that were not the end of an attempt. */
  readonly failures: string[] = [];
  mayChunk = true;
  /** The addresses are never found. */
  neverPlans = false;
  /** Recipients have their row's number in their address. */
  #named = false;
  readonly session: EgressSession;
  overs = 0;

  constructor(
    addresses: number,
    config: Partial<PathConfig> = {},
    load: () => OutgoingMessage = () => message({ content: Buffer.from("Subject: x\r\n\r\nText\r\n") }),
  ) {
    const definition = {
      id: 1 as PathId,
      name: "p",
      site: "mx.example",
      source: { name: "s", address: null, freeBind: false, ehloDomain: null, remotePort: null, proxy: null },
      pool: "pool",
      hosts: [],
      explicit: true,
      sts: "none" as const,
      secure: false,
      config: { ...PATH_DEFAULTS, ...config },
    };
    const targets = Array.from({ length: addresses }, (_, i) => ({
      name: `mx${i + 1}.example`,
      address: `192.0.2.${i + 1}`,
      port: 25,
      unix: null,
      dane: { kind: "none" as const },
    }));
    const desk = new TlsDesk({ clock: this.clock, counters: new Float64Array(COUNTER_COUNT), requestTurn: () => {} });
    this.session = new EgressSession(1 as SessionId, new EgressPath(definition, "host.example", this.clock), "log", {
      connect: (_session, handler) => {
        const connection = new FakeConnection(handler);
        this.connections.push(connection);
        return connection;
      },
      security: (session, target, clear) => desk.security(session.path, target, clear, (act) => act()),
      plan: (_session, done) => {
        if (!this.neverPlans) done(addresses === 0 ? { kind: "none" } : { kind: "plan", targets });
      },
      load: (_session, batch) => {
        const one = load();
        for (const assigned of batch) assigned.loaded = spooled(assigned.key, one);
        const recipients = batch.map(({ row }) => (this.#named ? `to${row}@b.example` : "to@b.example"));
        return { ...one, recipients };
      },
      up() {},
      mayChunk: () => this.mayChunk,
      chunked: (_target, how) => {
        this.chunks.push(how);
      },
      failedOnce: (_session, _assigned, response) => {
        this.failures.push(response.content);
      },
      settled: (_session, assigned, fate, end) => {
        this.settled.push(assigned.row);
        this.fates.push(fate);
        this.ends.push(end);
      },
      ended: () => {
        this.overs++;
      },
    });
  }

  /** The connection to the n-th address that was tried. */
  connection(n: number): FakeConnection {
    const connection = this.connections[n];
    assert.ok(connection !== undefined, `there is no connection ${n}`);
    return connection;
  }

  give(row = 1, more = false): boolean {
    const key = row as SpoolKey;
    return this.session.give({ row: row as Row, shard: 0 as ShardIndex, key, attempts: 0, more, loaded: null });
  }

  /** The one transaction of these recipients, given as the scheduler does. */
  giveAll(rows: readonly number[]): void {
    this.#named = true;
    rows.forEach((row, i) => {
      assert.ok(this.give(row, i < rows.length - 1));
    });
  }

  /** Lets time pass, with a sweep every quarter of a second, until `done` or so long. Returns how long it was. */
  pass(ms: number, done: () => boolean = () => false): number {
    const began = this.clock.monoMs();
    while (!done() && this.clock.monoMs() - began < ms) {
      this.clock.advance(250);
      this.session.sweep(this.clock.monoMs());
    }
    return this.clock.monoMs() - began;
  }
}
