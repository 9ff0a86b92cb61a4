/** `kill -9` under load: what a client was promised is kept, once, in every mode of durability. */
import { test } from "node:test";
import { killRounds } from "../torture/kill.js";
import { describeSummary } from "../torture/verdict.js";

const SEED = 7;

test("killed twenty times, flushed: nothing lost, nothing settled twice, duplicates in the window only", async (t) => {
  const summary = await killRounds({ seed: SEED, rounds: 20, durability: "flushed", workers: 2 }, (line) =>
    t.diagnostic(line),
  );
  t.diagnostic(describeSummary(summary));
});

test("killed, committed: a crash of the process loses nothing there either", async (t) => {
  const summary = await killRounds({ seed: SEED + 1, rounds: 5, durability: "committed", workers: 3 }, (line) =>
    t.diagnostic(line),
  );
  t.diagnostic(describeSummary(summary));
});

test("killed, deferred: what was in memory may be gone, the sums of what is left hold", async (t) => {
  const summary = await killRounds({ seed: SEED + 2, rounds: 5, durability: "deferred", workers: 2 }, (line) =>
    t.diagnostic(line),
  );
  t.diagnostic(describeSummary(summary));
});
