/** The disk fails to sync: the client hears 4xx, that message is never delivered, and the server mends itself. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ChildServer } from "../support/child-server.js";
import { makeDir, readLog, removeDir, until, writeConfig } from "../support/server.js";
import { connectAndGreet, type SmtpClient } from "../support/smtp-client.js";
import { canTrace } from "../support/untestable.js";

const main = new URL("../../src/cli/main.js", import.meta.url).pathname;

async function trySend(client: SmtpClient, recipient: string): Promise<string> {
  for (const line of ["MAIL FROM:<s@x.example>", `RCPT TO:<${recipient}>`, "DATA"]) {
    const reply = await client.say(line);
    if (!/^[23]/.test(reply)) {
      await client.say("RSET");
      return reply;
    }
  }
  return client.say("Subject: x\r\n\r\ntext\r\n.");
}

test("a failed fdatasync is answered 451, the message is gone, and mail is taken again after the store was opened anew", async (t) => {
  if (!canTrace(t)) return;
  const dir = makeDir();
  writeConfig(dir, {});
  const ready = join(dir, "ready.json");
  const server = spawn(
    process.execPath,
    [main, "start", "--config", join(dir, "hikyaku.toml"), "--ready-file", ready],
    {
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  let words = "";
  server.stderr.on("data", (chunk: Buffer) => (words += chunk.toString()));
  t.after(() => server.kill("SIGKILL"));
  await until(() => existsSync(ready), "the server");
  const where = JSON.parse(readFileSync(ready, "utf8")) as { smtp: { port: number }[]; http: { port: number }[] };
  const http = `http://127.0.0.1:${where.http[0]!.port}`;
  const client = await connectAndGreet(where.smtp[0]!.port);
  assert.match(await trySend(client, "before@a.example"), /^250 /);
  await until(() => readLog(dir).some((record) => record.type === "Delivery"), "the first delivery");

  const inject = ["-f", "-p", String(server.pid), "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO"];
  const strace = spawn("strace", inject, { stdio: ["ignore", "ignore", "pipe"] });
  t.after(() => strace.kill("SIGKILL"));
  await once(strace.stderr, "data");
  assert.match(await trySend(client, "refused@a.example"), /^451 /);
  assert.match(await trySend(client, "refused2@a.example"), /^451 /);
  const liveness = await fetch(`${http}/api/check-liveness/v1`);
  assert.equal(liveness.status, 503);
  const gone = once(strace, "exit");
  strace.kill("SIGINT");
  await gone;

  await until(() => /takes mail/.test(words), "the shard to be opened again");
  assert.equal((await fetch(`${http}/api/check-liveness/v1`)).status, 200);
  assert.match(await trySend(client, "after@a.example"), /^250 /);
  await until(() => readLog(dir).filter((record) => record.type === "Delivery").length === 2, "the next delivery");
  await client.end();
  const stopped = once(server, "exit");
  server.kill("SIGTERM");
  await stopped;
  assert.match(words, /spool\.commit-failed/);
  assert.deepEqual(
    readLog(dir)
      .filter((record) => record.type === "Delivery" || record.type === "Reception")
      .map((record) => `${record.type} ${record.recipient}`),
    [
      "Reception before@a.example",
      "Delivery before@a.example",
      "Reception after@a.example",
      "Delivery after@a.example",
    ],
  );
  removeDir(dir);
});

test("committed: a forced flush waits for a real fdatasync, a plain message does not", async (t) => {
  if (!canTrace(t)) return;
  const dir = makeDir();
  writeConfig(dir, { durability: "committed" });
  const server = await ChildServer.start(dir);
  t.after(async () => {
    await server.kill();
    removeDir(dir);
  });
  const client = await connectAndGreet(server.port);
  const inject = ["-f", "-p", String(server.process.pid), "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO"];
  const strace = spawn("strace", inject, { stdio: ["ignore", "ignore", "pipe"] });
  t.after(() => strace.kill("SIGKILL"));
  await once(strace.stderr, "data");
  assert.match(await trySend(client, "plain@a.example"), /^250 /);
  const forced = ["MAIL FROM:<s@x.example>", "RCPT TO:<forced@a.example>", "DATA"];
  for (const line of forced) assert.match(await client.say(line), /^[23]/);
  assert.match(await client.say("X-Hikyaku-Force-Sync: yes\r\nSubject: x\r\n\r\ntext\r\n."), /^451 /);
  const gone = once(strace, "exit");
  strace.kill("SIGINT");
  await gone;
  await until(() => /takes mail/.test(server.words), "the shard to be opened again");
  for (const line of forced) assert.match(await client.say(line), /^[23]/);
  assert.match(await client.say("X-Hikyaku-Force-Sync: yes\r\nSubject: x\r\n\r\ntext\r\n."), /^250 /);
  await client.end();
  await server.stop();
  const received = readLog(dir).filter((record) => record.type === "Reception");
  assert.deepEqual(
    received.map((record) => `${record.recipient} ${record["durability"]}`),
    ["plain@a.example committed", "forced@a.example flushed"],
  );
});

test("two workers: whatever write fails, LMDB's head included, both shards take mail again", async (t) => {
  if (!canTrace(t)) return;
  const dir = makeDir();
  writeConfig(dir, { workers: 2 });
  const server = await ChildServer.start(dir);
  t.after(async () => {
    await server.kill();
    removeDir(dir);
  });
  const clients = await Promise.all(Array.from({ length: 12 }, () => connectAndGreet(server.port)));
  let accepted = 0;
  /** One message over each connection; returns how many were taken. */
  const round = async (name: string): Promise<number> => {
    const replies = await Promise.all(clients.map((client, i) => trySend(client, `${name}-${i}@d${i % 5}.example`)));
    assert.ok(replies.every((reply) => /^(250|451) /.test(reply)));
    const taken = replies.filter((reply) => reply.startsWith("250")).length;
    accepted += taken;
    return taken;
  };
  // Each worker delivers some of the other's, so that both have both shards open.
  for (let n = 0; n < 15; n++) assert.equal(await round(`warm${n}`), clients.length);
  // The third write of a commit is often that of the head; which one it is depends on the batch.
  for (let n = 0; n < 3; n++) {
    const inject = ["-e", "trace=pwrite64", "-e", "inject=pwrite64:error=EIO:when=3"];
    const strace = spawn("strace", ["-f", "-p", String(server.process.pid), ...inject], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    t.after(() => strace.kill("SIGKILL"));
    await once(strace.stderr, "data");
    strace.stderr.resume();
    // Counted by thread: it takes some rounds until one of them gets there. The notice comes a moment after the failure.
    for (let r = 0; r < 50 && count(server.words, /spool\.commit-failed/g) <= n; r++) await round(`failing${n}-${r}`);
    const gone = once(strace, "exit");
    strace.kill("SIGINT");
    await gone;
    await until(() => count(server.words, /spool\.commit-failed/g) > n, "a failure");
    const limit = performance.now() + 10_000;
    while ((await server.metric("spool_shards_unhealthy")) > 0) assert.ok(performance.now() < limit, server.words);
    assert.equal(await round(`mended${n}`), clients.length);
  }
  await until(() => readLog(dir).filter((record) => record.type === "Delivery").length >= accepted, "the deliveries");
  await Promise.all(clients.map((client) => client.end()));
  await server.stop();
  assert.equal(readLog(dir).filter((record) => record.type === "Delivery").length, accepted);
});

function count(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}
