/** SIGTERM, SIGINT and SIGHUP, under load, twice, and during the start: new work is refused, nothing is lost. */
import { test } from "node:test";
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
