import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Worker } from "node:worker_threads";
import { loadNative } from "../../src/native/load.js";
import { withWorld } from "./peer.js";
import type { ThreadTask } from "./thread.js";

const native = loadNative();
const isAddon = native.kind === "addon";

async function startThread(task: ThreadTask): Promise<{ worker: Worker; port: number }> {
  const worker = new Worker(join(import.meta.dirname, "thread.js"), { workerData: task });
  const [port] = (await once(worker, "message")) as [number];
  return { worker, port };
}

function openDescriptors(): number {
  return readdirSync("/proc/self/fd").length;
}

describe("the addon in several threads", { skip: !isAddon }, () => {
  test("two threads listening on one port share its connections", async () => {
    const reserved = await native.reservePort("127.0.0.1", 0);
    const task = { port: reserved.port, target: 0, outbound: 0, lock: "" };
    const threads = await Promise.all([startThread({ ...task, name: "a" }), startThread({ ...task, name: "b" })]);
    try {
      await withWorld(native, async (world) => {
        const clients = Array.from({ length: 200 }, () => world.connect({ port: reserved.port }));
        const names = await Promise.all(clients.map((client) => client.bytes(1)));
        const first = names.filter((name) => name === "a").length;
        assert.ok(first > 50 && first < 150, `one of two threads got ${first} of 200`);
      });
    } finally {
      await Promise.all(threads.map(({ worker }) => worker.terminate()));
      reserved.release();
    }
  });

  test("a thread that ends, however, leaves no descriptor behind", async (context) => {
    await withWorld(native, async (world) => {
      // Nobody reads what the threads send, so they end with full queues.
      world.whenAccepted = (peer) => peer.connection.pause();
      const directory = mkdtempSync(join(tmpdir(), "hikyaku-"));
      context.after(() => rmSync(directory, { recursive: true }));
      const lock = join(directory, "lock");
      const runs = ["terminate", "throw", "exit", "sync"];
      let before = 0;
      for (let i = 0; i < 24; i++) {
        // The first round opens what the process keeps for good.
        if (i === runs.length) before = openDescriptors();
        const end = runs[i % runs.length] as string;
        const index = world.accepted.length;
        const { worker, port } = await startThread({ name: "t", port: 0, target: world.port, outbound: 5, lock });
        const clients = Array.from({ length: 5 }, () => world.connect({ port }));
        await Promise.all(clients.map((client) => client.bytes(1)));
        await world.server(index + 4);
        const gone = new Promise((resolve) => worker.once("exit", resolve));
        const failed = end === "throw" ? once(worker, "error") : null;
        clients[0]?.connection.writeText(end);
        if (end === "terminate" || end === "sync") void worker.terminate();
        if (failed !== null) assert.match(String((await failed)[0]), /thrown in a handler/);
        await gone;
        for (const peer of [...clients, ...world.accepted.slice(index)]) {
          peer.connection.destroy();
          await peer.closed.promise;
        }
      }
      assert.equal(openDescriptors(), before);
    });
  });
});

describe("many connections", { skip: !isAddon }, () => {
  test("5,000 at once from one source address", async (context) => {
    const limit = /^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1];
    if (Number(limit) < 10_200) return context.skip(`needs 10,200 descriptors, may have ${limit}`);
    await withWorld(native, async (world) => {
      const clients = [];
      for (let done = 0; done < 5000; done += 250) {
        const batch = Array.from({ length: 250 }, () => world.connect({ localAddress: "127.0.0.9" }));
        const faults = await Promise.race([
          Promise.all(batch.map((client) => client.connected.promise)).then(() => null),
          ...batch.map((client) => client.closed.promise),
        ]);
        assert.equal(faults, null);
        // One batch fits the listener's queue; two might not, and a client tries again only after a second.
        await world.server(done + 249);
        clients.push(...batch);
      }
      assert.equal(world.reactor.size, 10_000);
      const ports = new Set(clients.map((client) => client.connection.localPort));
      assert.equal(ports.size, 5000);
      assert.ok(world.accepted.every((peer) => peer.connection.remoteAddress === "127.0.0.9"));
    });
  });
});
