/** A disk that is really full: a small file system of the test's own, in a mount namespace of the server's own. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { DEFAULT_PROFILE } from "../../src/sink/options.js";
import { startSink } from "../../src/sink/sink.js";
import { ChildServer } from "../support/child-server.js";
import { makeDir, removeDir, until, wholeLines, writeConfig } from "../support/server.js";
import { connectAndGreet, type SmtpClient } from "../support/smtp-client.js";
import { untestable } from "../support/untestable.js";

const MIB = 1024 * 1024;

function canMount(t: TestContext): boolean {
  const dir = makeDir();
  const tried = spawnSync("unshare", ["-m", "mount", "-t", "tmpfs", "-o", "size=4m", "none", dir]);
  removeDir(dir);
  if (tried.status === 0) return true;
  return untestable(t, "a full disk needs the right to mount a small file system on this machine");
}

async function trySend(client: SmtpClient, recipient: string, bytes = 100): Promise<string> {
  for (const line of ["MAIL FROM:<s@x.example>", `RCPT TO:<${recipient}>`, "DATA"]) {
    const reply = await client.say(line);
    if (!/^[23]/.test(reply)) {
      await client.say("RSET");
      return reply;
    }
  }
  return client.say(`Subject: x\r\n\r\n${`${"x".repeat(70)}\r\n`.repeat(Math.ceil(bytes / 72))}.`);
}

/** A server whose `mounted` directory (below `var`) is a file system of 16 MiB; its sink takes nobody before `open`. */
async function scene(t: TestContext, mounted: string) {
  const dir = makeDir();
  const arrived: string[] = [];
  const sink = await startSink({
    host: "127.0.0.1",
    port: 0,
    profile: { ...DEFAULT_PROFILE, latencyMs: 50 },
    onMessage: ({ recipients }) => arrived.push(...recipients),
  });
  writeConfig(dir, { to: `127.0.0.1:${sink.port}`, queue: 'retry_interval = "1s"' });
  const place = join(dir, "var", mounted);
  mkdirSync(place, { recursive: true });
  const script = 'mount -t tmpfs -o size=16m,mode=700 none "$0" && exec "$@"';
  const server = await ChildServer.start(dir, ["unshare", "-m", "sh", "-c", script, place]);
  // The server's own view of the file system.
  const inside = `/proc/${server.process.pid}/root${place}`;
  const ballast = join(inside, "ballast");
  t.after(async () => {
    await server.kill();
    await sink.stop();
    removeDir(dir);
  });
  return {
    dir,
    server,
    arrived,
    inside,
    /** Fills the file system up to so many bytes. */
    fill: (left: number): void => {
      const { bsize, bavail } = statfsSync(inside);
      writeFileSync(ballast, Buffer.alloc(Math.max(0, bsize * bavail - left)), { flag: "a" });
    },
    empty: (): void => rmSync(ballast, { force: true }),
  };
}

test("a full spool disk: 452 before the edge, 452 or 451 at the edge, nothing refused is delivered, and all by itself again", async (t) => {
  if (!canMount(t)) return;
  const { server, arrived, fill, empty } = await scene(t, "spool");
  const accepted: string[] = [];
  const client = await connectAndGreet(server.port);
  const send = async (recipient: string, bytes?: number): Promise<string> => {
    const reply = await trySend(client, recipient, bytes);
    if (reply.startsWith("250")) accepted.push(recipient);
    return reply;
  };
  assert.match(await send("first@a.example"), /^250 /);

  // The edge: the guard has not looked yet, the commit finds no room.
  fill(0);
  let refusal = "";
  for (let n = 0; refusal === ""; n++) {
    const reply = await send(`edge${n}@a.example`, 100_000);
    if (!reply.startsWith("250")) refusal = reply;
  }
  assert.match(refusal, /^45[12] 4\.3\.[01] /);
  await until(() => /no mail is accepted: .*min_free_space/.test(server.words), "the guard");
  assert.match(await client.say("MAIL FROM:<s@x.example>"), /^45[12] 4\.3\.[01] /);
  assert.equal(await server.liveness(), 503);
  await until(() => accepted.every((recipient) => arrived.includes(recipient)), "deliveries to go on");
  empty();
  await until(() => /disk space is sufficient again/.test(server.words), "the guard");
  let reply = "";
  for (let n = 0; !(reply = await send(`after${n}@a.example`)).startsWith("250"); n++) assert.match(reply, /^45[12] /);
  assert.equal(await server.metric("spool_shards_unhealthy"), 0);

  // Before the edge: there is some room, less than min_free_space.
  fill(0.005 * 16 * MIB);
  await until(() => server.words.match(/no mail is accepted: .*min_free_space/g)?.length === 2, "the guard");
  assert.match(await client.say("MAIL FROM:<s@x.example>"), /^452 4\.3\.1 /);
  empty();
  await until(() => server.words.match(/disk space is sufficient again/g)?.length === 2, "the guard");
  assert.match(await send("last@a.example"), /^250 /);
  await client.end();
  await until(() => arrived.length >= accepted.length, "everything that was accepted");
  await server.stop();
  assert.deepEqual(arrived.sort(), accepted.sort(), "what was accepted, each once, and nothing else");
});

test("a full log disk loses no mail: what is accepted is delivered once, with one record each", async (t) => {
  if (!canMount(t)) return;
  const { server, arrived, fill, empty, inside } = await scene(t, "log");
  const client = await connectAndGreet(server.port);
  const accepted: string[] = [];
  for (let n = 0; n < 40; n++) {
    if (n === 20) fill(0);
    const reply = await trySend(client, `r${n}@a.example`);
    if (reply.startsWith("250")) accepted.push(`r${n}@a.example`);
    else assert.match(reply, /^45[12] /);
  }
  assert.ok(accepted.length >= 20);
  // The last page of the log still takes lines: what it cannot take waits in memory.
  while (!/event log cannot be written/.test(server.words)) {
    const reply = await trySend(client, `more${accepted.length}@a.example`);
    if (reply.startsWith("250")) accepted.push(`more${accepted.length}@a.example`);
    else await new Promise(setImmediate);
  }
  assert.equal(await server.liveness(), 503);
  empty();
  await until(() => /event log is written again/.test(server.words), "the log");
  await until(() => arrived.length >= accepted.length, "everything that was accepted");
  // The log is in the server's namespace: it is read while the server lives. Parts of lines, which the full disk left, are stepped over.
  const delivered = (): string[] =>
    readdirSync(inside)
      .filter((name) => name.endsWith(".jsonl"))
      .flatMap((name) => wholeLines(join(inside, name)))
      .filter((line) => line.startsWith('{"type":"Delivery"') && line.endsWith("}"))
      .map((line) => (JSON.parse(line) as { recipient: string }).recipient)
      .sort();
  await until(() => delivered().length >= accepted.length, "every record");
  accepted.sort();
  assert.deepEqual(delivered(), accepted);
  assert.deepEqual(arrived.sort(), accepted);
  await client.end();
  await server.stop();
});
