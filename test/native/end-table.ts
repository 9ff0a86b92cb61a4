import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { Fault } from "../../src/base/fault.js";
import type { Native } from "../../src/native/binding.js";
import { foreignServer, nextTurn, type Peer, World, withWorld } from "./peer.js";

/** What every implementation of the native face must do when connections end or cannot be made. */
export function describeEnds(native: Native): void {
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
}

/** A port on which nobody listens. */
async function freePort(): Promise<number> {
  const server = await foreignServer();
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  return typeof address === "object" && address !== null ? address.port : 0;
}
