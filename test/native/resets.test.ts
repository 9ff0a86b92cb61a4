import assert from "node:assert/strict";
import { once } from "node:events";
import { describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import { loadNative } from "../../src/native/load.js";
import { nextTurn, withWorld } from "./peer.js";

const native = loadNative();

/** A server that says "421 busy" and resets; then it sets the shared word, also while our own thread sleeps. */
const rudeServer = `
  const { createServer } = require("node:net");
  const { parentPort, workerData } = require("node:worker_threads");
  const server = createServer((socket) => {
    socket.write("421 busy\\r\\n", () => {
      socket.resetAndDestroy();
      Atomics.store(workerData, 0, 1);
      Atomics.notify(workerData, 0);
    });
  });
  server.listen(0, "127.0.0.1", () => parentPort.postMessage(server.address().port));
`;

async function withRudeServer(body: (port: number, waitForReset: () => void) => Promise<void>): Promise<void> {
  const word = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(rudeServer, { eval: true, workerData: word });
  try {
    const [port] = (await once(worker, "message")) as [number];
    await body(port, () => void Atomics.wait(word, 0, 0, 5000));
  } finally {
    await worker.terminate();
  }
}

describe("the addon and peers that reset", { skip: native.kind !== "addon" }, () => {
  test("what a peer said before its reset is told even when our send fails first", () =>
    withRudeServer((port, waitForReset) =>
      withWorld(native, async (world) => {
        const client = world.connect({ port });
        await client.connected.promise;
        // Asleep until the reset is there, so that our next send meets it before our next receive does.
        waitForReset();
        client.connection.writeText("EHLO us\r\n");
        const fault = await client.closed.promise;
        assert.ok(fault?.errno === "ECONNRESET" || fault?.errno === "EPIPE", String(fault));
        assert.equal(client.received, "421 busy\r\n");
        assert.deepEqual(client.events, ["connect", "close"]);
        assert.equal(client.connection.writeText("ignored"), true);
      }),
    ));

  test("a paused connection whose send fails is closed in that turn: nobody reads what it might still hear", () =>
    withRudeServer((port, waitForReset) =>
      withWorld(native, async (world) => {
        const client = world.connect({ port });
        await client.connected.promise;
        client.connection.pause();
        waitForReset();
        client.connection.writeText("EHLO us\r\n");
        // The turn that sends it, before the kernel's own word of the reset can be taken.
        world.reactor.requestTurn();
        const fault = await client.closed.promise;
        assert.match(fault?.message ?? "", /^send to /);
        assert.equal(client.received, "");
        assert.deepEqual(client.events, ["connect", "close"]);
      }),
    ));

  test("a reset that is there before the connection was seen up", () =>
    withRudeServer((port, waitForReset) =>
      withWorld(native, async (world) => {
        const client = world.connect({ port });
        waitForReset();
        const fault = await client.closed.promise;
        assert.equal(fault?.errno, "ECONNRESET");
        assert.equal(client.received, "421 busy\r\n");
        assert.deepEqual(client.events, ["connect", "close"]);
      }),
    ));

  test("a paused connection learns of a reset at once", () =>
    withWorld(native, async (world) => {
      const [client, server] = await world.pair();
      client.connection.pause();
      server.connection.pause();
      client.connection.writeText("unread");
      await nextTurn(world);
      server.connection.destroy();
      assert.equal((await client.closed.promise)?.errno, "ECONNRESET");
    }));
});
