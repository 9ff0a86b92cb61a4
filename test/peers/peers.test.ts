/** Real programs at both ends: Postfix's source and sink, and swaks as the mailer at hand. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { type TestContext, test } from "node:test";
import { present } from "../support/peers/program.js";
import { makeDir, readLog, removeDir, startServer, until, writeConfig } from "../support/server.js";

const path = `${process.env["PATH"]}:/usr/sbin:/sbin`;
const env = { ...process.env, PATH: path };

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  return typeof address === "object" && address !== null ? address.port : 0;
}

async function startSmtpSink(t: TestContext, port: number): Promise<ChildProcess> {
  // As root it wants to be told whom to run as.
  const user = process.getuid?.() === 0 ? ["-u", "nobody"] : [];
  const sink = spawn("smtp-sink", [...user, `127.0.0.1:${port}`, "100"], { env, stdio: "ignore" });
  t.after(() => sink.kill("SIGKILL"));
  for (;;) {
    const socket = connect(port, "127.0.0.1");
    const up = await Promise.race([
      once(socket, "connect").then(() => true),
      once(socket, "close").then(() => false),
    ]).catch(() => false);
    socket.destroy();
    if (up) break;
    assert.equal(sink.exitCode, null, "smtp-sink runs");
  }
  return sink;
}

test("smtp-source sends 400 messages through the server to smtp-sink, 10 KB each", async (t) => {
  if (!present(t, "smtp-source")) return;
  const port = await freePort();
  await startSmtpSink(t, port);
  const dir = makeDir();
  writeConfig(dir, { to: `127.0.0.1:${port}`, workers: 2 });
  const running = await startServer(dir);
  const source = spawn("smtp-source", ["-s", "10", "-l", "10240", "-m", "400", `127.0.0.1:${running.port}`], { env });
  const [code] = await once(source, "exit");
  assert.equal(code, 0);
  await until(() => running.server.scheduler.messages === 0, "the queue to drain");
  const records = readLog(dir);
  assert.equal(records.filter((record) => record.type === "Reception").length, 400);
  assert.equal(records.filter((record) => record.type === "Delivery").length, 400);
  assert.equal(records.length, 800);
  await running.stop();
  removeDir(dir);
});

test("swaks sends to several recipients, and hears about what it may not do", async (t) => {
  if (!present(t, "swaks")) return;
  const dir = makeDir();
  writeConfig(dir, {});
  const running = await startServer(dir);
  const swaks = async (...args: string[]): Promise<{ code: number; out: string }> => {
    const child = spawn("swaks", ["--server", `127.0.0.1:${running.port}`, ...args], {
      env,
      stdio: ["ignore", "pipe", "ignore"],
    });
    let out = "";
    child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
    const [code] = await once(child, "close");
    return { code: code as number, out };
  };
  const good = await swaks(
    "--from",
    "me@here.example",
    "--to",
    "a@one.example,b@two.example",
    "--body",
    ".leading dot",
  );
  assert.equal(good.code, 0, good.out);
  assert.match(good.out, /250 2\.0\.0 OK ids=[0-9a-f]{32} [0-9a-f]{32}/);
  assert.match(good.out, /250-SIZE 20971520/);
  const bad = await swaks("--from", "me@here.example", "--to", "not..an..address");
  assert.notEqual(bad.code, 0);
  await until(() => readLog(dir).filter((record) => record.type === "Delivery").length === 2, "two deliveries");
  await running.stop();
  removeDir(dir);
});
