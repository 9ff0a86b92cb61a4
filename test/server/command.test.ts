/** The `hikyaku` command as a user meets it: exit codes, first lines, stop, tail. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { test } from "node:test";
import { makeDir, removeDir, until, writeConfig } from "../support/server.js";
import { connectAndGreet } from "../support/smtp-client.js";

const main = new URL("../../src/cli/main.js", import.meta.url).pathname;

interface Finished {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

function launch(args: readonly string[]): { child: ChildProcess; out: () => string; finished: Promise<Finished> } {
  const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let err = "";
  child.stdout?.on("data", (chunk: Buffer) => (out += chunk.toString()));
  child.stderr?.on("data", (chunk: Buffer) => (err += chunk.toString()));
  const finished = once(child, "close").then(([code]) => ({ code: code as number | null, out, err }));
  return { child, out: () => out, finished };
}

function run(...args: string[]): Promise<Finished> {
  return launch(args).finished;
}

interface Ready {
  readonly pid: number;
  readonly smtp: readonly { readonly host: string; readonly port: number }[];
  readonly http: readonly { readonly host: string; readonly port: number }[];
}

async function startCommand(
  dir: string,
): Promise<{ ready: Ready; out: () => string; finished: Promise<Finished>; child: ChildProcess }> {
  const readyFile = join(dir, "ready.json");
  const started = launch(["start", "--config", join(dir, "hikyaku.toml"), "--ready-file", readyFile]);
  await until(() => existsSync(readyFile) || started.child.exitCode !== null, "the server");
  assert.equal(started.child.exitCode, null, "it runs");
  return { ready: JSON.parse(readFileSync(readyFile, "utf8")) as Ready, ...started };
}

test("start, a first message, its events on the terminal, tail, stop", async () => {
  const dir = makeDir();
  const config = writeConfig(dir, {});
  const { ready, out, finished } = await startCommand(dir);
  assert.match(out(), /sandbox: everything goes to the built-in sink/);
  assert.match(out(), /flushed: 250 means that a message is on disk/);
  assert.match(out(), new RegExp(`SMTP +127\\.0\\.0\\.1:${ready.smtp[0]!.port}`));
  const client = await connectAndGreet(ready.smtp[0]!.port);
  await client.send("you@example.org", ["friend@example.com"], "Subject: hello\r\n\r\nFirst");
  await client.end();
  await until(() => /Delivery.*friend@example\.com/.test(out()), "the delivery on the terminal");
  assert.match(out(), /Reception.*friend@example\.com/);

  const tail = await run("tail", "--config", config, "--no-follow", "--type", "Delivery", "--json");
  assert.equal(tail.code, 0);
  assert.equal((JSON.parse(tail.out.trim()) as { recipient: string }).recipient, "friend@example.com");

  const endpoint = `http://127.0.0.1:${ready.http[0]!.port}`;
  const live = await fetch(`${endpoint}/api/check-liveness/v1`);
  assert.equal(live.status, 200);
  const metrics = await (await fetch(`${endpoint}/metrics`)).text();
  assert.match(metrics, /^total_messages_received\{service="esmtp_listener"\} 1$/m);
  assert.match(metrics, /^total_messages_delivered\{service="smtp_client"\} 1$/m);
  assert.match(metrics, /^scheduled_count_total 0$/m);
  const foreign = await fetch(`${endpoint}/api/admin/stop/v1`, {
    method: "POST",
    headers: { origin: "http://evil.example" },
  });
  assert.equal(foreign.status, 403);

  const stop = await run("stop", "--endpoint", endpoint);
  assert.deepEqual([stop.code, stop.out], [0, "stopping\nstopped\n"]);
  assert.equal((await finished).code, 0);
  const gone = await run("stop", "--endpoint", endpoint);
  assert.equal(gone.code, 3);
  removeDir(dir);
});

test("a wrong configuration: exit 78, file, line, key, nearest key; check says 1", async () => {
  const dir = makeDir();
  const path = join(dir, "wrong.toml");
  writeFileSync(path, '[node]\nhostname = "a.example"\n[threads]\nworkerz = 2\n');
  const started = await run("start", "--config", path);
  assert.equal(started.code, 78);
  assert.match(started.err, /wrong\.toml:4: threads\.workerz: .*workers/);
  const checked = await run("check", "--config", path);
  assert.equal(checked.code, 1);
  assert.equal(checked.err, started.err);
  const missing = await run("start", "--config", join(dir, "none.toml"));
  assert.equal(missing.code, 78);
  const good = writeConfig(dir, {});
  assert.equal((await run("check", "--config", good)).code, 0);
  assert.equal((await run("frobnicate")).code, 2);
  removeDir(dir);
});

test("a port in use, a spool in use, a spool that cannot be written: one clear line, exit 1", async () => {
  const dir = makeDir();
  const squatter = createServer().listen(0, "127.0.0.1");
  await once(squatter, "listening");
  const address = squatter.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const config = writeConfig(dir, {});
  const text = readFileSync(config, "utf8");
  writeFileSync(config, text.replace('listen = "127.0.0.1:0"', `listen = "127.0.0.1:${port}"`));
  const inUse = await run("start", "--config", config);
  assert.equal(inUse.code, 1);
  assert.match(inUse.err, new RegExp(`^hikyaku: smtp_listener 127\\.0\\.0\\.1:${port}.*in use.*\\n$`));
  assert.equal(existsSync(join(dir, "var")), false, "a start that failed left something");
  writeFileSync(
    config,
    text.replace(/http_listener\]\]\nlisten = "127.0.0.1:0"/, `http_listener]]\nlisten = "127.0.0.1:${port}"`),
  );
  const httpInUse = await run("start", "--config", config);
  squatter.close();
  assert.equal(httpInUse.code, 1);
  assert.match(httpInUse.err, new RegExp(`^hikyaku: http_listener 127\\.0\\.0\\.1:${port}.*in use.*\\n$`));
  assert.equal(existsSync(join(dir, "var")), false, "a start that failed left something");

  writeFileSync(config, text);
  const { finished, child } = await startCommand(dir);
  const second = await run("start", "--config", config);
  assert.equal(second.code, 1);
  assert.match(second.err, /^hikyaku: the spool .* is used by another running server, process \d+\n$/);
  child.kill("SIGTERM");
  child.kill("SIGTERM");
  assert.equal((await finished).code, 0);

  const blocked = makeDir();
  const file = writeConfig(blocked, {});
  writeFileSync(join(blocked, "var"), "not a directory");
  const unwritable = await run("start", "--config", file);
  assert.equal(unwritable.code, 1);
  assert.match(unwritable.err, /^hikyaku: the spool .* cannot be made: (EEXIST|ENOTDIR).*var.*'\n$/);
  if (existsSync("/proc/self")) {
    writeFileSync(file, readFileSync(file, "utf8").replace("./var", "/proc/hikyaku/var"));
    const nowhere = await run("start", "--config", file);
    assert.equal(nowhere.code, 1);
    assert.match(nowhere.err, /^hikyaku: the spool .* cannot be made: ENOENT: no directory can be made in \/proc\n$/);
  }
  removeDir(blocked);
  removeDir(dir);
});
