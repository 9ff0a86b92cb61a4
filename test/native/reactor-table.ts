import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Fault } from "../../src/base/fault.js";
import type { Native } from "../../src/native/binding.js";
import { nextTurn, type Peer, Signal, World, withWorld } from "./peer.js";

/** What every implementation of the native face must do with sockets. */
export function describeReactor(native: Native): void {
  describe(`${native.kind}: connections`, () => {
    test("echo: accepted, connected, bytes both ways, addresses on both sides", () =>
      withWorld(native, async (world) => {
        world.whenAccepted = (server) => {
          server.whenData = (bytes) => server.connection.writeBytes(bytes);
        };
        const [client, server] = await world.pair();
        assert.equal(client.connection.writeText("ehlo caf\xe9\r\n"), true);
        assert.equal(await client.bytes(11), "ehlo caf\xe9\r\n");
        assert.equal(server.connection.remoteAddress, "127.0.0.1");
        assert.equal(server.connection.remotePort, client.connection.localPort);
        assert.equal(client.connection.localAddress, "127.0.0.1");
        assert.equal(client.connection.remotePort, world.port);
        assert.equal(server.connection.localPort, world.port);
        assert.equal(world.reactor.size, 2);
        assert.deepEqual(client.events, ["connect"]);
      }));

    test("what is written before the connection is up waits for it", () =>
      withWorld(native, async (world) => {
        const client = world.connect();
        client.connection.writeText("early ");
        client.connection.writeBytes(Buffer.from("bird"));
        const server = await world.server(0);
        assert.equal(await server.bytes(10), "early bird");
      }));

    test("texts and bytes, small and large, keep their order; small bytes may be used again at once", () =>
      withWorld(native, async (world) => {
        const [client, server] = await world.pair();
        const small = Buffer.from("small");
        let expected = "";
        for (let i = 0; i < 40; i++) {
          client.connection.writeText(`<${i}>`);
          small.writeUInt8(65 + (i % 26));
          expected += `<${i}>${small.toString("latin1")}`;
          client.connection.writeBytes(small);
          if (i % 10 !== 0) continue;
          const large = Buffer.alloc(20_000, 97 + (i % 26));
          client.connection.writeBytes(large);
          expected += large.toString("latin1");
        }
        small.fill(0);
        assert.equal(await server.bytes(expected.length), expected);
        await nextTurn(world);
        assert.equal(client.connection.pendingBytes, 0);
      }));

    test("what waits for several turns arrives as it was written", () =>
      withWorld(native, async (world) => {
        const [client, server] = await world.pair();
        const [chatter] = await world.pair();
        server.connection.pause();
        const parts: string[] = [];
        for (let i = 0; i < 700; i++) {
          const letter = 65 + (i % 50);
          const [text, small, large] = [7001, 3000, 20_000].map((size, j) => Buffer.alloc(size, letter + j));
          client.connection.writeText(String(text));
          client.connection.writeBytes(small as Buffer);
          if (i % 20 === 0) client.connection.writeBytes(large as Buffer);
          parts.push(String(text), String(small));
          if (i % 20 === 0) parts.push(String(large));
          if (i % 10 !== 0) continue;
          // Others write in the meantime; the kernel's buffers fill up; the reader takes a little now and then.
          chatter.connection.writeBytes(Buffer.alloc(16_000, 33));
          if (i === 300) server.connection.resume();
          await nextTurn(world);
          if (i === 300) server.connection.pause();
        }
        assert.ok(client.connection.pendingBytes > 1_000_000);
        server.connection.resume();
        const expected = parts.join("");
        const received = await server.bytes(expected.length);
        assert.ok(received === expected);
      }));

    test("a text longer than one send's room arrives whole", () =>
      withWorld(native, async (world) => {
        const [client, server] = await world.pair();
        const text = "0123456789abcdef".repeat(25_000);
        assert.equal(client.connection.writeText(text), false);
        client.connection.writeText("!");
        assert.ok((await server.bytes(text.length + 1)) === `${text}!`);
      }));

    test("50 MB with back-pressure: the sender stops at the mark and goes on when drained", () =>
      withWorld(native, async (world) => {
        const total = 50 * 1024 * 1024;
        const [client, server] = await world.pair();
        server.keepsText = false;
        const block = Buffer.alloc(256 * 1024, 1);
        const done = server.bytes(total);
        let sent = 0;
        let highest = 0;
        const pump = (): void => {
          while (sent < total) {
            sent += block.length;
            const isRoom = client.connection.writeBytes(block);
            highest = Math.max(highest, client.connection.pendingBytes);
            if (!isRoom) return;
          }
        };
        client.whenDrain = pump;
        // The receiver stops and restarts all the time, so that the sender's kernel buffer fills up.
        server.whenData = () => {
          server.connection.pause();
          setImmediate(() => server.connection.resume());
        };
        pump();
        await done;
        assert.equal(server.receivedBytes, total);
        assert.ok(highest <= 64 * 1024 + block.length, `${highest} bytes waited`);
      }));

    test("a paused connection gets no bytes; the sender's wait until it resumes", () =>
      withWorld(native, async (world) => {
        const [client, server] = await world.pair();
        server.connection.pause();
        client.connection.writeText("held back");
        const [otherClient, other] = await world.pair();
        otherClient.connection.writeText("x");
        await other.bytes(1);
        await nextTurn(world);
        assert.equal(server.received, "");
        server.connection.resume();
        assert.equal(await server.bytes(9), "held back");
      }));

    test("half close: the peer's end is told, and can still be answered", () =>
      withWorld(native, async (world) => {
        const [client, server] = await world.pair();
        client.connection.writeText("last words");
        client.connection.end();
        server.whenEnd = () => {
          server.connection.writeText("heard");
          server.connection.end();
        };
        assert.equal(await server.closed.promise, null);
        assert.equal(await client.closed.promise, null);
        assert.equal(server.received, "last words");
        assert.deepEqual(server.events, ["end", "close"]);
        assert.equal(client.received, "", "nothing is told after end()");
        assert.equal(world.reactor.size, 0);
      }));

    test("end() with unread bytes: the last reply still arrives", () =>
      withWorld(native, async (world) => {
        world.whenAccepted = (server) => {
          server.whenData = () => {
            server.connection.writeText("421 too many errors\r\n");
            server.connection.end();
          };
        };
        const [client, server] = await world.pair();
        client.keepsText = true;
        client.connection.writeBytes(Buffer.alloc(400_000));
        client.whenEnd = () => client.connection.end();
        assert.equal(await client.closed.promise, null, "no reset");
        assert.equal(client.received, "421 too many errors\r\n");
        assert.equal(await server.closed.promise, null);
      }));

    test("a peer that never ends is closed after a while, and one that floods at once", () =>
      withWorld(native, async (world) => {
        const [, silent] = await world.pair();
        const [floodClient, flooded] = await world.pair();
        silent.connection.end();
        flooded.connection.end();
        const block = Buffer.alloc(512 * 1024);
        floodClient.whenDrain = () => floodClient.connection.writeBytes(block);
        floodClient.connection.writeBytes(block);
        const first = await Promise.race([silent, flooded].map((peer) => peer.closed.promise.then(() => peer)));
        assert.ok(first === flooded, "1 MiB was too much, whatever the time");
        assert.equal(await flooded.closed.promise, null);
        assert.equal(await silent.closed.promise, null);
      }));
  });

  describe(`${native.kind}: ends`, () => {
    test("a refused connection is ECONNREFUSED, told once and later", () =>
      withWorld(native, async (world) => {
        const port = await freePort();
        const client = world.connect({ port });
        assert.deepEqual(client.events, []);
        client.connection.writeText("never sent");
        const fault = await client.closed.promise;
        assert.ok(fault instanceof Fault);
        assert.equal(fault.code, "socket.failed");
        assert.equal(fault.errno, "ECONNREFUSED");
        assert.match(fault.message, /127\.0\.0\.1:\d+: ECONNREFUSED$/);
        assert.deepEqual(client.events, ["close"]);
        assert.equal(world.reactor.size, 0);
      }));

    test("what cannot even be tried is told through onClose too", () =>
      withWorld(native, async (world) => {
        for (const [options, errno] of [
          [{ address: "mail.example" }, "EINVAL"],
          [{ localAddress: "192.0.2.7" }, "EADDRNOTAVAIL"],
          [{ unix: "/nowhere/socket" }, "ENOENT"],
        ] as const) {
          const client = world.connect(options);
          assert.deepEqual(client.events, []);
          assert.equal((await client.closed.promise)?.errno, errno);
        }
      }));

    test("destroy() in a handler: onClose comes after the handler, once; later calls do nothing", () =>
      withWorld(native, async (world) => {
        const [client, server] = await world.pair();
        server.whenData = () => {
          server.events.push("data");
          server.connection.destroy();
          server.connection.destroy();
          server.connection.end();
          server.events.push("still in the handler");
        };
        client.connection.writeText("go");
        assert.equal(await server.closed.promise, null);
        assert.equal(server.connection.writeText("ignored"), true);
        assert.equal(server.connection.writeBytes(Buffer.alloc(100_000)), true);
        assert.equal(server.connection.pendingBytes, 0);
        server.connection.pause();
        server.connection.resume();
        await client.ended.promise.then(() => client.connection.destroy());
        await client.closed.promise;
        await nextTurn(world);
        assert.deepEqual(server.events, ["data", "still in the handler", "close"]);
      }));

    test("destroy() with bytes unread resets the peer, which learns ECONNRESET", () =>
      withWorld(native, async (world) => {
        const [client, server] = await world.pair();
        server.connection.pause();
        client.connection.writeBytes(Buffer.alloc(100_000));
        await nextTurn(world);
        server.connection.destroy();
        const fault = await client.closed.promise;
        assert.ok(fault?.errno === "ECONNRESET" || fault?.errno === "EPIPE", String(fault?.errno));
      }));

    test("one handler may destroy another's connection in the same batch", () =>
      withWorld(native, async (world) => {
        const pairs = [await world.pair(), await world.pair(), await world.pair()];
        const servers = pairs.map(([, server]) => server);
        for (const server of servers) {
          server.whenData = () => {
            for (const other of servers) if (other !== server) other.connection.destroy();
          };
        }
        for (const [client] of pairs) client.connection.writeText("x");
        const survivor = await Promise.race(servers.map((server) => server.bytes(1).then(() => server)));
        for (const server of servers) if (server !== survivor) assert.equal(await server.closed.promise, null);
        assert.equal(survivor.events.length, 0);
      }));

    test("a connection made while another is destroyed is never told what was that one's", () =>
      withWorld(native, async (world) => {
        const pairs = [await world.pair(), await world.pair(), await world.pair()];
        const servers = pairs.map(([, server]) => server);
        const made: Peer[] = [];
        for (const server of servers) {
          server.whenData = () => {
            for (const other of servers) {
              if (other === server || other.events.includes("replaced")) continue;
              other.events.push("replaced");
              other.connection.destroy();
              made.push(world.connect());
            }
          };
        }
        for (const [client] of pairs) client.connection.writeText("x");
        await Promise.race(servers.map((server) => server.bytes(1)));
        await nextTurn(world);
        await Promise.all(made.map((peer) => peer.connected.promise));
        assert.ok(made.length >= 2);
        for (const peer of made) assert.equal(peer.received, "");
      }));

    test("close() from inside a handler", async () => {
      const world = new World(native);
      await world.listen();
      const pairs = [await world.pair(), await world.pair(), await world.pair()];
      for (const [client, server] of pairs) {
        server.whenData = () => world.reactor.close();
        client.connection.writeText("x");
      }
      await Promise.all(pairs.flat().map((peer) => peer.closed.promise));
      assert.equal(pairs.filter(([, server]) => server.received === "x").length, 1);
    });

    test("close() with output queued leaves nothing running", async () => {
      const world = new World(native);
      await world.listen();
      const [client, server] = await world.pair();
      client.connection.writeText("never leaves");
      server.connection.end();
      world.reactor.close();
      await Promise.all([client.closed.promise, server.closed.promise]);
      for (let i = 0; i < 3; i++) await new Promise<void>((resolve) => setImmediate(resolve));
      assert.ok(!process.getActiveResourcesInfo().includes("Immediate"));
    });

    test("close() ends everything; every onClose still comes", async () => {
      const world = new World(native);
      await world.listen();
      const [client, server] = await world.pair();
      world.reactor.close();
      assert.deepEqual(client.events, ["connect"]);
      await Promise.all([client.closed.promise, server.closed.promise]);
      assert.equal(world.reactor.size, 0);
      const late = world.connect();
      assert.equal((await late.closed.promise)?.errno, "EBADF");
    });
  });

  describe(`${native.kind}: addresses and turns`, () => {
    test("connections leave from the chosen source address", () =>
      withWorld(native, async (world) => {
        for (const localAddress of ["127.0.0.2", "127.0.0.3"]) {
          const [client, server] = await world.pair({ localAddress });
          assert.equal(server.connection.remoteAddress, localAddress);
          assert.equal(client.connection.localAddress, localAddress);
          assert.ok(client.connection.localPort > 0);
        }
      }));

    test("IPv6, and IPv4 on a listener of both", async () => {
      const world = new World(native);
      try {
        await world.listen("::");
        const [v6] = await world.pair({ address: "::1", localAddress: "::1" });
        assert.equal((await world.server(0)).connection.remoteAddress, "::1");
        assert.equal(v6.connection.localAddress, "::1");
        await world.pair();
        assert.equal((await world.server(1)).connection.remoteAddress, "127.0.0.1");
        assert.equal((await world.server(1)).connection.localAddress, "127.0.0.1");
      } finally {
        world.reactor.close();
      }
    });

    test("a unix socket", () =>
      withWorld(native, async (world) => {
        const directory = mkdtempSync(join(tmpdir(), "hikyaku-"));
        const path = join(directory, "socket");
        const server = createServer((socket) => socket.pipe(socket));
        await new Promise<void>((resolve) => server.listen(path, resolve));
        try {
          const client = world.connect({ unix: path, address: null });
          client.connection.writeText("over a file");
          assert.equal(await client.bytes(11), "over a file");
          assert.equal(client.connection.remoteAddress, path);
          client.connection.destroy();
          await client.closed.promise;
        } finally {
          server.close();
          rmSync(directory, { recursive: true });
        }
      }));

    test("a unix socket whose peer has gone: a paused connection keeps the last words", () =>
      withWorld(native, async (world) => {
        const directory = mkdtempSync(join(tmpdir(), "hikyaku-"));
        const path = join(directory, "socket");
        const gone = new Signal<void>();
        const server = createServer((socket) => {
          socket.on("close", () => gone.resolve());
          socket.end("goodbye", () => socket.destroy());
        });
        await new Promise<void>((resolve) => server.listen(path, resolve));
        try {
          const client = world.connect({ unix: path, address: null });
          client.connection.pause();
          await Promise.all([gone.promise, client.connected.promise]);
          for (let i = 0; i < 3; i++) await nextTurn(world);
          assert.deepEqual([client.received, client.events], ["", ["connect"]]);
          client.connection.resume();
          await client.ended.promise;
          assert.equal(client.received, "goodbye");
          client.connection.end();
          assert.equal(await client.closed.promise, null);
        } finally {
          server.close();
          rmSync(directory, { recursive: true });
        }
      }));

    test("300 connections at once, each with its own bytes", () =>
      withWorld(native, async (world) => {
        world.whenAccepted = (server) => {
          server.whenData = (bytes) => server.connection.writeBytes(bytes);
        };
        const clients = Array.from({ length: 300 }, () => world.connect());
        clients.forEach((client, i) => {
          client.connection.writeText(`number ${i}`.padEnd(20));
        });
        const replies = await Promise.all(clients.map((client) => client.bytes(20)));
        replies.forEach((reply, i) => {
          assert.equal(reply, `number ${i}`.padEnd(20));
        });
        assert.equal(world.reactor.size, 600);
      }));

    test("handlers run before onTurn, and what onTurn writes goes out", () =>
      withWorld(native, async (world) => {
        const [client, server] = await world.pair();
        const order: string[] = [];
        const waiting: Peer[] = [];
        server.whenData = () => {
          order.push("data");
          waiting.push(server);
        };
        world.whenTurn = () => {
          if (waiting.length === 0) return;
          order.push("turn");
          for (const peer of waiting.splice(0)) peer.connection.writeText("250 ok\r\n");
        };
        client.connection.writeText("mail");
        assert.equal(await client.bytes(8), "250 ok\r\n");
        assert.deepEqual(order, ["data", "turn"]);
      }));

    test("requests of turns are one turn, also from inside onTurn", () =>
      withWorld(native, async (world) => {
        const before = world.turns;
        for (let i = 0; i < 10; i++) world.reactor.requestTurn();
        await nextTurn(world);
        assert.equal(world.turns, before + 1);
        const second = new Signal<void>();
        world.whenTurn = () => {
          if (world.turns === before + 2) world.reactor.requestTurn();
          if (world.turns === before + 3) second.resolve();
        };
        world.reactor.requestTurn();
        await second.promise;
      }));

    test("a detached connection lives on as a socket of Node's", () =>
      withWorld(native, async (world) => {
        const [client, server] = await world.pair();
        server.whenData = (bytes) => {
          assert.equal(bytes.toString(), "STARTTLS");
          server.connection.writeText("220 go");
        };
        client.connection.writeText("STARTTLS");
        await client.bytes(6);
        await nextTurn(world);
        const socket = server.connection.detach();
        assert.equal(world.reactor.size, 1);
        socket.on("data", (bytes) => socket.end(`node got ${bytes}`));
        socket.resume();
        client.connection.writeText("hello");
        assert.equal(await client.bytes(20), "220 gonode got hello");
        await client.ended.promise;
        assert.deepEqual(server.events, []);
      }));
  });

  describe(`${native.kind}: listening`, () => {
    test("a reserved port is refused to others, and can be had again after release", async () => {
      const reserved = await native.reservePort("127.0.0.1", 0);
      const world = new World(native);
      try {
        await world.listen("127.0.0.1", reserved.port);
        // The server ends first, so the port keeps a connection in TIME_WAIT, as after a stop.
        const [client, server] = await world.pair();
        server.connection.end();
        await client.ended.promise;
        client.connection.end();
        await Promise.all([server.closed.promise, client.closed.promise]);
        await assert.rejects(native.reservePort("127.0.0.1", reserved.port), (fault) => {
          assert.ok(fault instanceof Fault);
          assert.equal(fault.code, "listen.in-use");
          assert.equal(fault.errno, "EADDRINUSE");
          return true;
        });
      } finally {
        world.reactor.close();
      }
      reserved.release();
      reserved.release();
      (await native.reservePort("127.0.0.1", reserved.port)).release();
    });

    test("a port of somebody else's is in use; a name is no address", async () => {
      const other = await foreignServer();
      const world = new World(native);
      const address = other.address();
      assert.ok(typeof address === "object" && address !== null);
      try {
        const inUse = { code: "listen.in-use", errno: "EADDRINUSE" };
        await assert.rejects(native.reservePort("127.0.0.1", address.port), inUse);
        await assert.rejects(world.listen("127.0.0.1", address.port), inUse);
        await assert.rejects(world.listen("localhost"), { code: "listen.failed", errno: "EINVAL" });
      } finally {
        other.close();
        world.reactor.close();
      }
    });

    test("a paused listener takes nobody; a resumed one takes those who waited", async () => {
      const world = new World(native);
      try {
        const listener = await world.listen();
        listener.pause();
        const client = world.connect();
        await client.connected.promise;
        await nextTurn(world);
        assert.equal(world.accepted.length, 0);
        listener.resume();
        await world.server(0);
        listener.close();
        listener.close();
        const refused = world.connect();
        assert.equal((await refused.closed.promise)?.errno, "ECONNREFUSED");
      } finally {
        world.reactor.close();
      }
    });
  });
}

/** A port on which nobody listens. */
async function freePort(): Promise<number> {
  const server = await foreignServer();
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function foreignServer(): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}
