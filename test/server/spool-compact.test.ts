/** `spool-compact` of a running server: space comes back, no mail is lost or held up, by command and by itself. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Counter } from "../../src/protocol/metrics.js";
import { DEFAULT_PROFILE } from "../../src/sink/options.js";
import { startSink } from "../../src/sink/sink.js";
import { makeDir, readLog, removeDir, startServer, until, writeConfig } from "../support/server.js";
import { connectAndGreet } from "../support/smtp-client.js";

const main = new URL("../../src/cli/main.js", import.meta.url).pathname;

async function command(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let err = "";
  child.stdout.on("data", (part: Buffer) => (out += part.toString()));
  child.stderr.on("data", (part: Buffer) => (err += part.toString()));
  const [code] = await once(child, "close");
  return { code: code as number | null, out, err };
}

function spoolBytes(dir: string): number {
  const spool = join(dir, "var", "spool");
  const shards = readdirSync(spool).filter((name) => /^shard-[0-9]+$/.test(name));
  return shards.reduce((sum, name) => sum + statSync(join(spool, name, "data.mdb")).size, 0);
}

test("under load, with sessions that read other workers' shards: everything arrives once, space comes back", async () => {
  const dir = makeDir();
  const seen = new Map<string, number>();
  const sink = await startSink({
    host: "127.0.0.1",
    port: 0,
    profile: DEFAULT_PROFILE,
    onMessage: (envelope) => {
      for (const recipient of envelope.recipients) seen.set(recipient, (seen.get(recipient) ?? 0) + 1);
    },
  });
  // One session for all: it reads from both shards.
  writeConfig(dir, { workers: 2, to: `127.0.0.1:${sink.port}`, shaping: '["default"]\nconnection_limit = 1\n' });
  const running = await startServer(dir);
  try {
    const http = `http://127.0.0.1:${running.server.ready.http[0]!.port}`;
    const content = `Subject: x\r\n\r\n${"A line of text that fills its place.\r\n".repeat(1500)}`;
    let sent = 0;
    let over = false;
    const clients = Array.from({ length: 4 }, async (_, number) => {
      const client = await connectAndGreet(running.port);
      for (let i = 0; !over; i++) {
        const reply = await client.send("s@x.example", [`r-${number}-${i}@example.com`], content);
        assert.match(reply, /^250 /);
        sent++;
      }
      await client.end();
    });
    await until(() => sent >= 40, "some mail");
    const compactions: Promise<{ code: number | null; out: string; err: string }>[] = [];
    for (let i = 0; i < 3; i++) {
      const from = sent;
      compactions.push(command("spool-compact", "--endpoint", http, "--json"));
      await compactions[i];
      await until(() => sent >= from + 20, "mail goes on");
    }
    over = true;
    await Promise.all(clients);
    await until(() => running.server.scheduler.messages === 0, "all to be delivered");
    for (const { code, out, err } of await Promise.all(compactions)) {
      assert.equal(code, 0, err + out);
      const answer = JSON.parse(out) as { shards: { shard: number; held_ms: number; error: null }[] };
      assert.deepEqual(
        answer.shards.map(({ shard, error }) => [shard, error]),
        [
          [0, null],
          [1, null],
        ],
      );
      for (const { held_ms } of answer.shards) assert.ok(held_ms < 2000, `${held_ms}`);
    }
    assert.equal(seen.size, sent);
    assert.ok([...seen.values()].every((times) => times === 1));
    const types = readLog(dir).map((record) => record.type);
    assert.equal(types.filter((type) => type === "Delivery").length, sent);
    assert.equal(types.filter((type) => type === "Reception").length, sent);
    assert.equal(types.length, 2 * sent);

    const before = spoolBytes(dir);
    const last = await command("spool-compact", "--name", "data", "--endpoint", http);
    assert.equal(last.code, 0, last.err);
    assert.match(last.out, /shard +bytes before +bytes after/);
    assert.ok(spoolBytes(dir) < before / 4, `${before} ${spoolBytes(dir)}`);
    // Counters are measured once a second.
    await until(() => running.server.shared.sum(Counter.spoolFileBytes) === spoolBytes(dir), "the metric");
    const metrics = await (await fetch(`${http}/metrics`)).text();
    assert.match(metrics, /^spool_compactions_total 8$/m);
    assert.match(metrics, /^spool_used_bytes [1-9]/m);

    const wrong = await fetch(`${http}/api/admin/spool-compact/v1`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: '{"name":"other"}',
    });
    assert.equal(wrong.status, 400);
  } finally {
    await running.stop();
    await sink.stop();
    removeDir(dir);
  }
  const nobody = await command("spool-compact", "--endpoint", "http://127.0.0.1:1");
  assert.equal(nobody.code, 3);
  assert.equal((await command("spool-compact", "--name", "other")).code, 2);
});

test("a shard that was mostly free for a while is compacted by itself; its mail is still there after a restart", async () => {
  const dir = makeDir();
  const sink = await startSink({ host: "127.0.0.1", port: 0, profile: DEFAULT_PROFILE });
  writeConfig(dir, {
    to: `127.0.0.1:${sink.port}`,
    queue: 'retry_interval = "1h"',
    spool: 'compact_after = "1s"',
    listener: 'max_message_size = "200MB"',
  });
  let running = await startServer(dir);
  try {
    const client = await connectAndGreet(running.port);
    await client.send("s@x.example", ["450-later@waits.example"], "Subject: waits\r\n\r\nx");
    const big = `Subject: big\r\n\r\n${"A line of text that fills its place.\r\n".repeat(2 << 20)}`;
    const whole = client.send("s@x.example", ["gone@example.com"], big);
    const highest = { bytes: 0 };
    await until(() => {
      highest.bytes = Math.max(highest.bytes, spoolBytes(dir));
      return running.notices.some((line) => /^spool shard 0: compacted from/.test(line));
    }, "the compaction");
    assert.match(await whole, /^250 /);
    await client.end();
    assert.ok(highest.bytes > 75_000_000 && spoolBytes(dir) < 1_000_000, `${highest.bytes} ${spoolBytes(dir)}`);
    await running.stop();
    running = await startServer(dir);
    await until(() => running.server.scheduler.messages === 1, "the message that waits");
  } finally {
    await running.stop();
    await sink.stop();
    removeDir(dir);
  }
});
