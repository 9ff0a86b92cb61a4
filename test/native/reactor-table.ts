import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Fault } from "../../src/base/fault.js";
import type { Native } from "../../src/native/binding.js";
import { until } from "../support/server.js";
import { foreignServer, nextTurn, type Peer, Signal, World, withWorld } from "./peer.js";

/** What every implementation of the native face must do with addresses, turns and listeners. */
export function describeReactor(native: Native): void {
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
        assert.equal(world.reactor.size, 2);
        socket.on("data", (bytes) => socket.end(`node got ${bytes}`));
        socket.resume();
        client.connection.writeText("hello");
        assert.equal(await client.bytes(20), "220 gonode got hello");
        await client.ended.promise;
        assert.deepEqual(server.events, []);
        socket.destroy();
        client.connection.destroy();
        await until(() => world.reactor.size === 0, "both count until they are closed");
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
