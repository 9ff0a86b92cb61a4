/** Where mail hosts do not answer, a stop ends at its bound: ten seconds for deliveries, five for the workers. */
import { test } from "node:test";
import { stopUnderLoad } from "../torture/signals.js";

test("a mail host that does not answer holds the stop no longer than its bound", async (t) => {
  t.diagnostic(await stopUnderLoad({ seed: 5, signals: ["SIGTERM"], latencyMs: 120_000, withinMs: 20_000 }));
});
