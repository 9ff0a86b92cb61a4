import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, test } from "node:test";
import { loadNative } from "../../src/native/load.js";
import { type Peer, withWorld } from "./peer.js";

const native = loadNative();
const isAddon = native.kind === "addon";
const child = join(import.meta.dirname, "child.js");

/** Lines of JSON that a child says, one after the other. */
async function* said(process: ChildProcessWithoutNullStreams): AsyncGenerator<Record<string, unknown>> {
  for await (const line of createInterface({ input: process.stdout })) yield JSON.parse(line);
}

async function next(lines: AsyncGenerator<Record<string, unknown>>): Promise<Record<string, unknown>> {
  const { value, done } = await lines.next();
  assert.ok(!done, "the child ended early");
  return value;
}

/** Runs a part of `child.ts` in a network of its own, after `setUp`; null where that is not permitted. */
function inOwnNetwork(part: string, setUp: string): Record<string, unknown> | null {
  const script = `ip link set lo up && ${setUp} && exec "$0" "$@"`;
  const args = ["-n", "sh", "-c", script, process.execPath, child, part];
  const result = spawnSync("unshare", args, { encoding: "utf8", timeout: 20_000 });
  if (result.error || /not permitted|not found|read-only/i.test(result.stderr)) return null;
  assert.equal(result.status, 0, result.stderr);
  return JSON.parse(result.stdout);
}

describe("the addon at its limits", { skip: !isAddon }, () => {
  test("out of descriptors: clients wait, nobody is lost, nothing spins", async () => {
    const server = spawn("sh", ["-c", 'ulimit -n 60; exec "$0" "$@"', process.execPath, child, "greet"]);
    try {
      const lines = said(server);
      const { port } = await next(lines);
      await withWorld(native, async (world) => {
        const clients = Array.from({ length: 120 }, () => world.connect({ port: Number(port) }));
        const greeted = clients.map((client) => client.bytes(2));
        const { stalled } = await next(lines);
        assert.ok(Number(stalled) < 60);
        const leave = (client: Peer): void => client.connection.end();
        await Promise.all(greeted.map((promise, i) => promise.then(() => leave(clients[i] as Peer))));
        for (const client of clients) assert.equal(client.received, "hi");
      });
      server.stdin.write("how was it\n");
      const { stalls, cpuMs } = await next(lines);
      assert.ok(Number(stalls) < 40, `${stalls} stalls`);
      assert.ok(Number(cpuMs) < 2000, `${cpuMs} ms of CPU`);
      await lines.return(undefined);
    } finally {
      server.kill();
    }
  });

  test("a port that another process only holds is refused", async () => {
    const reserved = await native.reservePort("127.0.0.1", 0);
    const ask = (): Record<string, unknown> => {
      const result = spawnSync(process.execPath, [child, "reserve", String(reserved.port)], { encoding: "utf8" });
      return JSON.parse(result.stdout);
    };
    assert.match(String(ask()["error"]), /EADDRINUSE/);
    reserved.release();
    assert.deepEqual(ask(), { reserved: true });
  });

  test("one source address has more connections than ports: they are chosen by destination", (context) => {
    const setUp = 'echo "40000 40099" > /proc/sys/net/ipv4/ip_local_port_range';
    const result = inOwnNetwork("ports", setUp);
    if (result === null) return context.skip("no network of its own here");
    assert.equal(result["up"], 240);
    assert.ok(Number(result["ports"]) <= 100);
  });

  test("device, mark, free and transparent binds", (context) => {
    const result = inOwnNetwork("options", "ip route add local 192.0.2.0/24 dev lo");
    if (result === null) return context.skip("no network of its own here");
    const expected = { marked: ["connect"], free: "192.0.2.7", clear: "192.0.2.8", lost: "ENODEV" };
    assert.deepEqual(result, expected);
  });
});
