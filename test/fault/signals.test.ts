/** SIGTERM, SIGINT and SIGHUP, under load, twice, and during the start: new work is refused, nothing is lost. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makeDir, removeDir, writeConfig } from "../support/server.js";
import { Program } from "../torture/program.js";
import { stopUnderLoad, stopWhileStarting } from "../torture/signals.js";

test("SIGTERM under load, SIGHUP and a second SIGTERM during the drain: 421, in order, nothing lost, nothing twice", async (t) => {
  const signals = ["SIGTERM", "SIGHUP", "SIGTERM", "SIGHUP"] as const;
  t.diagnostic(await stopUnderLoad({ seed: 3, signals, latencyMs: 300, withinMs: 10_000 }));
});

test("SIGINT under load does the same", async (t) => {
  t.diagnostic(await stopUnderLoad({ seed: 4, signals: ["SIGINT"], latencyMs: 30, withinMs: 10_000 }));
});

test("signals during the start: it ends in order or has not begun, and nothing is lost", async (t) => {
  t.diagnostic(await stopWhileStarting(6, 6, (line) => t.diagnostic(line)));
});

test("signals that come when all is stopped do not make the end look like a death", async (t) => {
  const dir = makeDir();
  t.after(() => removeDir(dir));
  writeConfig(dir, { to: "127.0.0.1:1" });
  const program = Program.launch(dir);
  assert.ok((await program.ready()) !== null, program.err);
  const knock = (): void => {
    if (program.out.endsWith("stopped\n")) program.signal("SIGTERM");
  };
  const knocking = setInterval(knock, 1);
  program.child.stdout?.on("data", knock);
  program.signal("SIGTERM");
  const end = await program.ended;
  clearInterval(knocking);
  assert.deepEqual(end, { code: 0, signal: null }, program.err);
});
