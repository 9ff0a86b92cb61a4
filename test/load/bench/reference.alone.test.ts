/**
 * A short benchmark against the committed reference, as CI does it. It compares ratios with source and sink alone on the
 * same machine in the same rounds, takes the medians, and looks up to three times: a regression is there each time, what
 * else the machine did is not. Runs after all other tests, alone (`scripts/test.mjs`).
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { type BenchOptions, runBench } from "../../../src/load/bench/bench.js";
import { compareReports, comparisonText, differences, readEarlier } from "../../../src/load/bench/compare.js";
import { projectRoot } from "../../support/root.js";

/** Beyond 1 / 0.6 = 1.67 times as bad as the reference: twice as bad is found, a third more or less is not. */
const TOLERANCE = 0.4;
const LOOKS = 3;
const REFERENCE = "bench/load/reference.json";

const LOAD: Pick<BenchOptions, "settings" | "amount" | "rounds" | "baseline"> = {
  settings: {
    size: "1k",
    connections: 40,
    pipelining: true,
    tls: false,
    messagesPerConnection: null,
    domains: 1,
    zipf: 0,
    defer: 0,
    bounce: 0,
    retryMs: null,
    // What a flush to the disk costs is the machine's.
    durability: "committed",
    workers: 1,
  },
  amount: { warmup: 3000, count: 5000, durationMs: null, ratePerSecond: null },
  rounds: 3,
  baseline: "own",
};

test("throughput and CPU by baseline are not far from the reference", async () => {
  const reference = readEarlier(join(projectRoot, REFERENCE));
  assert.deepEqual(differences(reference, LOAD.settings, LOAD.amount), []);
  const directory = mkdtempSync(join(tmpdir(), "hikyaku-test-"));
  const seen: string[] = [];
  try {
    for (let look = 1; look <= LOOKS; look++) {
      const report = await runBench({
        ...LOAD,
        said: { version: "test", command: "reference.alone.test" },
        program: { file: process.execPath, args: [join(projectRoot, "bin", "hikyaku.js")] },
        sweepWorkers: null,
        sweepConnections: null,
        share: null,
        directory,
        keep: false,
        signal: new AbortController().signal,
        progress: () => {},
        step: () => {},
      });
      const comparison = compareReports(reference, report, TOLERANCE);
      assert.deepEqual(comparison.warnings, []);
      seen.push(comparisonText(comparison, REFERENCE, TOLERANCE));
      if (!comparison.regression) return;
    }
    assert.fail(`a regression, ${LOOKS} times:\n${seen.join("")}`);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
