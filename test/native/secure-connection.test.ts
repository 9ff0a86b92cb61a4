/** TLS over a connection of the reactor keeps the promises of a plain one; both reactors. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket, connect as tcp } from "node:net";
import { test } from "node:test";
import { connect, createSecureContext, TLSSocket } from "node:tls";
import fc from "fast-check";
import type { Fault } from "../../src/base/fault.js";
import type { Connection, ConnectionHandler, Reactor } from "../../src/native/binding.js";
import { loadNative } from "../../src/native/load.js";
import { SecureConnection } from "../../src/native/secure-connection.js";
import { StandIn } from "../../src/native/stand-in.js";
import { selfSigned } from "../../src/sink/certificate.js";
import { until } from "../support/server.js";

const { certificate, key } = selfSigned(["x.example"], Date.now());
const secureContext = createSecureContext({ cert: certificate, key });

/** A TLS server of one connection; its TLS begins at once. */
async function listen(take: (secure: TLSSocket, raw: Socket) => void): Promise<Server> {
  const server = createServer((raw) => {
    raw.on("error", () => {});
    const secure = new TLSSocket(raw, { isServer: true, secureContext });
    secure.on("error", () => {});
    take(secure, raw);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

/** What a connection's owner sees. */
class Owner implements ConnectionHandler {
  readonly received: Buffer[] = [];
  readonly events: string[] = [];
  fault: Fault | null = null;
  onReady: () => void = () => {};

  onConnect(): void {
    this.onReady();
  }
  onData(buffer: Buffer, start: number, end: number): void {
    this.received.push(Buffer.from(buffer.subarray(start, end)));
  }
  onEnd(): void {
    this.events.push("end");
  }
  onDrain(): void {
    this.events.push("drain");
  }
  onClose(fault: Fault | null): void {
    this.fault = fault;
    this.events.push("close");
  }
}

interface Secured {
  readonly owner: Owner;
  readonly connection: SecureConnection;
  readonly handshakes: (Error | null)[];
}

async function secured(reactor: Reactor, server: Server): Promise<Secured> {
  const owner = new Owner();
  const { port } = server.address() as AddressInfo;
  const plain: Connection = reactor.connect({ address: "127.0.0.1", port, unix: null, localAddress: null }, owner);
  await new Promise<void>((resolve) => {
    owner.onReady = resolve;
  });
  const handshakes: (Error | null)[] = [];
  const connection = await new Promise<SecureConnection>((resolve) => {
    const made: SecureConnection = new SecureConnection(plain, {
      wrap: (socket) => connect({ socket, rejectUnauthorized: false }),
      event: "secureConnect",
      onHandshake: (error) => {
        handshakes.push(error);
        resolve(made);
      },
      requestTurn: () => reactor.requestTurn(),
    });
  });
  return { owner, connection, handshakes };
}

for (const native of [loadNative(), new StandIn()]) {
  const world = async (
    take: (secure: TLSSocket, raw: Socket) => void,
    body: (made: Secured, reactor: Reactor) => Promise<void>,
  ): Promise<void> => {
    const server = await listen(take);
    const reactor = native.createReactor({ arenaBytes: 65_536, onTurn: () => {} });
    try {
      const made = await secured(reactor, server);
      await body(made, reactor);
      made.connection.destroy();
    } finally {
      reactor.close();
      server.close();
    }
  };

  test(`${native.kind}: a secure connection counts as one of the reactor's until its socket is closed`, async () => {
    await world(
      () => {},
      async ({ connection, owner }, reactor) => {
        assert.equal(reactor.size, 1);
        connection.destroy();
        await until(() => owner.events.includes("close"), "its end");
        await until(() => reactor.size === 0, "nothing is left");
      },
    );
  });

  test(`${native.kind}: whatever is written arrives in order, and small bytes may change at once`, async () => {
    const piece = fc.oneof(
      fc.string({ minLength: 0, maxLength: 50 }).map((text) => text.replace(/[^\x20-\x7e]/g, "?")),
      fc.integer({ min: 0, max: 40_000 }),
      fc.constantFrom(16_384, 65_536, 65_537, 200_000),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { minLength: 1, maxLength: 12 }), fc.boolean(), async (pieces, polite) => {
        const got: Buffer[] = [];
        await world(
          (secure) => secure.on("data", (bytes: Buffer) => got.push(bytes)),
          async ({ connection, owner }) => {
            const sent: Buffer[] = [];
            for (const [i, one] of pieces.entries()) {
              if (typeof one === "string") {
                sent.push(Buffer.from(one, "latin1"));
                connection.writeText(one);
                continue;
              }
              const bytes = Buffer.alloc(one, i + 1);
              sent.push(Buffer.from(bytes));
              connection.writeBytes(bytes);
              if (one <= 16_384) bytes.fill(0);
            }
            const whole = Buffer.concat(sent);
            assert.equal(connection.pendingBytes, whole.length);
            if (polite) connection.end();
            await until(() => Buffer.concat(got).length >= whole.length, "everything has arrived");
            assert.ok(Buffer.concat(got).equals(whole));
            await until(() => connection.pendingBytes === 0, "nothing is left");
            if (polite) await until(() => owner.events.includes("close"), "the end");
            else assert.equal(owner.events.includes("drain"), whole.length > 65_536);
          },
        );
      }),
      { numRuns: 15 },
    );
  });

  test(`${native.kind}: a peer that does not read is noticed, and large content goes out in steps`, async () => {
    const peers: TLSSocket[] = [];
    await world(
      (secure) => {
        secure.pause();
        peers.push(secure);
      },
      async ({ connection, owner }) => {
        const bytes = Buffer.alloc(20_000_000, 1);
        assert.equal(connection.writeBytes(bytes), false);
        await until(() => connection.pendingBytes < bytes.length, "something has left");
        const stuck = connection.pendingBytes;
        assert.ok(stuck > 0);
        assert.deepEqual(owner.events, []);
        let heard = 0;
        let steps = 0;
        peers[0]?.on("data", (some: Buffer) => {
          heard += some.length;
          if (connection.pendingBytes > 0 && connection.pendingBytes < stuck) steps++;
        });
        peers[0]?.resume();
        await until(() => heard === bytes.length, "everything has arrived");
        await until(() => owner.events.includes("drain"), "room again");
        assert.ok(steps > 10, `${steps} steps`);
      },
    );
  });

  test(`${native.kind}: what the peer says arrives, a pause holds it, its end leaves our side open`, async () => {
    let peer: TLSSocket | null = null;
    const got: Buffer[] = [];
    await world(
      (secure) => {
        peer = secure;
        secure.on("data", (bytes: Buffer) => got.push(bytes));
      },
      async ({ connection, owner }) => {
        assert.ok(peer !== null);
        connection.pause();
        peer.write("hello");
        connection.writeText("held?");
        await until(() => Buffer.concat(got).toString() === "held?", "our own word");
        assert.deepEqual(owner.received, []);
        connection.resume();
        await until(() => Buffer.concat(owner.received).toString() === "hello", "its word");
        assert.throws(() => connection.detach(), /cannot be given away/);
        connection.destroy();
        connection.destroy();
        connection.writeText("nothing");
        await until(() => owner.events.includes("close"), "the end");
        assert.deepEqual([owner.events, owner.fault, connection.pendingBytes], [["close"], null, 0]);
      },
    );
  });

  test(`${native.kind}: a peer that ends is told of`, async () => {
    let peer: TLSSocket | null = null;
    const take = (secure: TLSSocket): void => {
      peer = secure;
      secure.resume();
    };
    await world(take, async ({ owner }) => {
      peer?.end("bye");
      await until(() => owner.events.includes("end"), "its end");
      assert.equal(Buffer.concat(owner.received).toString(), "bye");
    });
  });

  test(`${native.kind}: a line that breaks is a fault, once`, async () => {
    const server = await listen((secure) => secure.pipe(secure));
    const lines: Socket[] = [];
    const relay = createServer((from) => {
      const to = tcp({ host: "127.0.0.1", port: (server.address() as AddressInfo).port });
      from.pipe(to).pipe(from);
      for (const one of [from, to]) one.on("error", () => {});
      lines.push(from, to);
    });
    relay.listen(0, "127.0.0.1");
    await once(relay, "listening");
    const reactor = native.createReactor({ arenaBytes: 65_536, onTurn: () => {} });
    try {
      const { owner, connection } = await secured(reactor, relay);
      connection.writeText("echo");
      await until(() => Buffer.concat(owner.received).toString() === "echo", "the echo");
      for (const one of lines) one.resetAndDestroy();
      await until(() => owner.events.includes("close"), "the end");
      assert.deepEqual([owner.events, owner.fault?.errno], [["close"], "ECONNRESET"]);
    } finally {
      reactor.close();
      relay.close();
      server.close();
    }
  });

  test(`${native.kind}: a peer that leaves in the middle of the handshake is one failed handshake`, async () => {
    const server = createServer((raw) => {
      raw.on("error", () => {});
      raw.once("data", () => raw.end());
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const reactor = native.createReactor({ arenaBytes: 65_536, onTurn: () => {} });
    try {
      const { owner, handshakes } = await secured(reactor, server);
      await until(() => owner.events.includes("close"), "the end");
      assert.equal(handshakes.length, 1);
      assert.match(String(handshakes[0]), /disconnected|closed the connection/);
    } finally {
      reactor.close();
      server.close();
    }
  });
}
