/** A step behind the listening that fails: what was begun ends, with one line and exit status 1. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { createServer } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { makeDir, removeDir, until, writeConfig } from "../support/server.js";
import { type Finished, launch, launchIn } from "./command.js";

/** Runs a command that must end by itself. */
function ending(t: TestContext, ...args: string[]): Promise<Finished> {
  const { child, finished } = launch(...args);
  t.after(() => child.kill("SIGKILL"));
  return finished;
}

test("start: a ready file that cannot be written stops the server again", { timeout: 20_000 }, async (t) => {
  const dir = makeDir();
  t.after(() => removeDir(dir));
  const config = writeConfig(dir, {});
  const path = join(dir, "none", "ready.json");
  const started = await ending(t, "start", "--config", config, "--ready-file", path, "--no-events");
  assert.equal(started.code, 1);
  assert.match(
    started.err,
    /^hikyaku: the ready file \S+none\/ready\.json cannot be written: ENOENT: no such file or directory\n$/,
  );
});

test("generate: nobody waits at --hold for a ready file that cannot be written; without a server it says why, alone", {
  timeout: 20_000,
}, async (t) => {
  const dir = makeDir();
  t.after(() => removeDir(dir));
  const path = join(dir, "none", "ready.json");
  const sink = launch("sink", "--listen", "0", "--ready-file", join(dir, "sink.json"));
  t.after(() => sink.child.kill("SIGKILL"));
  await until(() => existsSync(join(dir, "sink.json")), "the sink");
  const { port } = JSON.parse(readFileSync(join(dir, "sink.json"), "utf8")).smtp[0];
  const load = ["--target", `127.0.0.1:${port}`, "--hold", "--count", "5", "--concurrency", "1"];
  // Its standard input stays open, so that only the fault can end it.
  const generate = launchIn({ input: "pipe" }, "generate", ...load, "--ready-file", path);
  t.after(() => generate.child.kill("SIGKILL"));
  const ended = await generate.finished;
  assert.equal(ended.code, 1);
  assert.match(ended.err, /^hikyaku generate: the ready file \S+none\/ready\.json cannot be written: ENOENT: .*\n$/);

  const alone = await ending(t, "generate", "--target", "127.0.0.1:1", "--give-up", "10ms", "--count", "1");
  assert.deepEqual([alone.code, alone.out], [3, ""]);
  assert.match(alone.err, /^hikyaku generate: nothing was sent: connect to 127\.0\.0\.1:1: ECONNREFUSED\n$/);
});

test("sink: a ready file that cannot be written, or a taken port for counters, ends it", {
  timeout: 20_000,
}, async (t) => {
  const dir = makeDir();
  t.after(() => removeDir(dir));
  const folder = join(dir, "folder");
  mkdirSync(folder);
  const unwritten = await ending(t, "sink", "--listen", "0", "--ready-file", folder);
  assert.equal(unwritten.code, 1);
  assert.match(unwritten.err, /^hikyaku sink: the ready file \S+ cannot be written: .*\n$/);
  assert.deepEqual(readdirSync(dir), ["folder"], "no half of it is left");

  const squatter = createServer().listen(0, "127.0.0.1");
  await once(squatter, "listening");
  t.after(() => squatter.close());
  const address = squatter.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  const taken = await ending(t, "sink", "--listen", "0", "--http", String(port));
  assert.deepEqual([taken.code, taken.out], [1, ""]);
  assert.match(taken.err, /^hikyaku sink: .*EADDRINUSE.*\n$/);
});
