import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Native } from "../../src/native/binding.js";
import { nextTurn, withWorld } from "./peer.js";

/** What every implementation of the native face must do with a connection's bytes. */
export function describeConnections(native: Native): void {
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
}
