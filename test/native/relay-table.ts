import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, test } from "node:test";
import type { Fault } from "../../src/base/fault.js";
import type { Native, Relay, RelayStart } from "../../src/native/binding.js";
import { until } from "../support/server.js";
import { foreignServer, nextTurn, Peer, Signal, type World, withWorld } from "./peer.js";

const NOTHING: RelayStart = { toFirst: new Uint8Array(), toSecond: new Uint8Array() };

/** Two programs that talk through a relay: `left` and `right` are their sockets. */
interface Joined {
  readonly left: Socket;
  readonly right: Socket;
  readonly relay: Relay;
  readonly ended: Promise<Fault | null>;
}

async function join(
  world: World,
  start: RelayStart = NOTHING,
  before?: (left: Socket) => Promise<void>,
): Promise<Joined> {
  const index = world.accepted.length;
  const server = await foreignServer();
  const accepted = once(server, "connection");
  const left = connect({ port: world.port, host: "127.0.0.1", allowHalfOpen: true });
  left.on("error", () => {});
  await once(left, "connect");
  const first = await world.server(index);
  await before?.(left);
  const address = server.address();
  const second = new Peer();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const way = { address: "127.0.0.1", port, unix: null, localAddress: null };
  second.connection = world.reactor.connect(way, second);
  const [right] = (await accepted) as [Socket];
  server.close();
  right.allowHalfOpen = true;
  right.on("error", () => {});
  await second.connected.promise;
  const end = new Signal<Fault | null>();
  const relay = world.reactor.relay(first.connection, second.connection, start, (fault) => end.resolve(fault));
  return { left, right, relay, ended: end.promise };
}

/** Everything that a socket gets up to its end, as a digest, with the number of bytes. */
async function swallow(socket: Socket): Promise<string> {
  const hash = createHash("sha256");
  let bytes = 0;
  socket.on("data", (chunk: Buffer) => {
    hash.update(chunk);
    bytes += chunk.length;
  });
  socket.resume();
  await once(socket, "end");
  return `${bytes} ${hash.digest("hex")}`;
}

/** Resolves when a socket is closed, in order or not; what it gets is thrown away. */
function closed(socket: Socket): Promise<void> {
  socket.resume();
  socket.on("end", () => socket.end());
  return new Promise((resolve) => {
    socket.on("close", () => resolve());
  });
}

function digest(...parts: readonly Uint8Array[]): string {
  const all = Buffer.concat(parts);
  return `${all.length} ${createHash("sha256").update(all).digest("hex")}`;
}

/** What every implementation must do with two connections that are joined. */
export function describeRelays(native: Native): void {
  describe(`${native.kind}: relays`, () => {
    test("bytes go both ways at once, in order, behind those of the start", () =>
      withWorld(native, async (world) => {
        const start = { toFirst: Buffer.from("to the first"), toSecond: Buffer.from("to the second") };
        const { left, right, relay, ended } = await join(world, start);
        const [there, back] = [randomBytes(3_000_000), randomBytes(2_000_001)];
        const got = Promise.all([swallow(left), swallow(right)]);
        left.end(there);
        right.end(back);
        assert.deepEqual(await got, [digest(start.toFirst, back), digest(start.toSecond, there)]);
        assert.equal(await ended, null);
        assert.deepEqual([relay.toFirstBytes, relay.toSecondBytes], [back.length + 12, there.length + 13]);
        assert.equal(world.reactor.size, 0);
      }));

    test("one direction may end while the other goes on", () =>
      withWorld(native, async (world) => {
        const { left, right, ended } = await join(world);
        const heard = swallow(right);
        left.end("all that I have to say");
        assert.equal(await heard, digest(Buffer.from("all that I have to say")));
        const answer = swallow(left);
        for (let i = 0; i < 50; i++) {
          right.write("still here\n");
          await new Promise(setImmediate);
        }
        right.end();
        assert.equal(await answer, digest(Buffer.from("still here\n".repeat(50))));
        assert.equal(await ended, null);
      }));

    test("bytes and an end that came before the join are not lost", () =>
      withWorld(native, async (world) => {
        const { left, right, ended } = await join(world, NOTHING, async (early) => {
          world.accepted[0]?.connection.pause();
          early.end("early words");
          await once(early, "finish");
        });
        assert.equal(await swallow(right), digest(Buffer.from("early words")));
        right.end("bye");
        assert.equal(await swallow(left), digest(Buffer.from("bye")));
        assert.equal(await ended, null);
      }));

    test("the slower side sets the pace, and gets everything in the end", () =>
      withWorld(native, async (world) => {
        const { left, right, relay, ended } = await join(world);
        right.pause();
        const chunk = randomBytes(64 * 1024);
        const total = 400;
        left.resume();
        for (let i = 0; i < total; i++) left.write(chunk);
        left.end();
        let before = -1;
        await until(() => {
          const still = relay.toSecondBytes === before && left.writableLength > 0;
          before = relay.toSecondBytes;
          return still;
        }, "the relay to stand still");
        assert.ok(relay.toSecondBytes < (total * chunk.length) / 2, `${relay.toSecondBytes} bytes were taken`);
        const rest = swallow(right);
        assert.equal(await rest, digest(...Array.from({ length: total }, () => chunk)));
        right.end();
        assert.equal(await ended, null);
      }));

    test("an end behind bytes that wait for a slow reader comes after them", () =>
      withWorld(native, async (world) => {
        const { left, right, ended } = await join(world);
        right.pause();
        right.end();
        await once(left.resume(), "end");
        const bytes = randomBytes(6_000_000);
        left.end(bytes);
        await new Promise(setImmediate);
        assert.equal(await swallow(right), digest(bytes));
        assert.equal(await ended, null);
      }));

    test("a reset of one end closes the other, also while nothing moves", () =>
      withWorld(native, async (world) => {
        // Node does not look at a socket that has ended: there the next write finds out.
        for (const halfClosed of native.kind === "addon" ? [false, true] : [false]) {
          const { left, right, ended } = await join(world);
          if (halfClosed) {
            left.end();
            await once(right.resume(), "end");
          }
          const gone = closed(right);
          left.resetAndDestroy();
          const fault = await ended;
          assert.equal(fault?.code, "socket.failed");
          right.end();
          await gone;
          assert.equal(world.reactor.size, 0);
        }
      }));

    test("destroyed: both ends are closed, and nobody is told", () =>
      withWorld(native, async (world) => {
        const { left, right, relay, ended } = await join(world);
        const gone = Promise.all([closed(left), closed(right)]);
        left.end();
        right.end();
        relay.destroy();
        relay.destroy();
        await gone;
        let told = false;
        void ended.then(() => (told = true));
        for (let i = 0; i < 3; i++) await nextTurn(world);
        assert.equal(told, false);
        assert.equal(world.reactor.size, 0);
      }));

    test("40 relays at once, and a reactor that closes with some of them open", () =>
      withWorld(native, async (world) => {
        const joined: Joined[] = [];
        for (let i = 0; i < 40; i++) joined.push(await join(world));
        const heard = joined.map(({ right }) => swallow(right));
        joined.forEach(({ left }, i) => {
          left.end(Buffer.alloc(100_000, i));
        });
        const all = await Promise.all(heard);
        all.forEach((one, i) => {
          assert.equal(one, digest(Buffer.alloc(100_000, i)));
        });
        const gone = Promise.all(joined.map(({ right }) => closed(right)));
        for (const { right } of joined) right.end();
        world.reactor.close();
        await gone;
      }));

    test("whether an address can be left from", async () => {
      assert.equal(await native.bindRefusal("127.0.0.9"), null);
      assert.equal(await native.bindRefusal("::1"), null);
      assert.equal(await native.bindRefusal("192.0.2.77"), "EADDRNOTAVAIL");
      assert.equal(await native.bindRefusal("nonsense"), "EINVAL");
    });
  });
}
