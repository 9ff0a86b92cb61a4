import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Fault } from "../../../src/base/fault.js";
import { type BenchOptions, runBench } from "../../../src/load/bench/bench.js";
import { processUsage, usageBetween } from "../../../src/load/bench/process-usage.js";
import { EXAMPLE_REPORT } from "./example-report.js";

const program = fileURLToPath(new URL("./proxy-program.js", import.meta.url));

async function inDirectory(run: (options: BenchOptions, steps: string[]) => Promise<void>): Promise<void> {
  const directory = mkdtempSync(join(tmpdir(), "hikyaku-test-"));
  const steps: string[] = [];
  const options: BenchOptions = {
    said: EXAMPLE_REPORT.program,
    program: { file: process.execPath, args: [program] },
    settings: { ...EXAMPLE_REPORT.settings, size: "2k", connections: 5, defer: 0, bounce: 0 },
    amount: { warmup: 100, count: 500, durationMs: null, ratePerSecond: null },
    rounds: 1,
    baseline: null,
    sweepWorkers: null,
    sweepConnections: null,
    share: null,
    directory,
    keep: false,
    signal: new AbortController().signal,
    progress: () => {},
    step: (title) => steps.push(title),
  };
  try {
    await run(options, steps);
    // Nothing stays behind.
    assert.deepEqual(readdirSync(directory), []);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test("one run: the warm-up is not counted, and every message is followed from end to end", () =>
  inDirectory(async (options, steps) => {
    const { result, rounds, machine } = await runBench(options);
    assert.deepEqual(steps, ["2 workers, 5 connections"]);
    assert.deepEqual([result.accepted, result.refused, result.workers], [500, 0, 2]);
    assert.deepEqual([result.delivered, result.bounced, result.waiting], [500, 0, 0]);
    assert.deepEqual(rounds, [result.endToEnd.messagesPerSecond]);
    assert.ok(result.endToEnd.messagesPerSecond > 0 && result.endToEnd.seconds > 0);
    // Behind the stand-in for a server the sink answers first, always: that is no negative latency.
    assert.deepEqual([result.transit.count, result.transit.early, result.transit.latencyMs["max"]], [500, 500, 0]);
    const sum = (counts: readonly number[]) => counts.reduce((total, count) => total + count, 0);
    assert.deepEqual([sum(result.timeline.taken), sum(result.timeline.delivered)], [500, 500]);
    assert.equal(result.spool, null);
    assert.ok(machine.cpus >= 1);
    if (existsSync("/proc/self/task")) {
      assert.ok(result.server.threads.some((thread) => thread.name === "scheduler"));
      assert.ok(result.server.maxRssBytes > 1e6);
    }
  }));

test("rounds with a baseline, a sweep over two things, and a run at a part of the maximum", () =>
  inDirectory(async (options, steps) => {
    const report = await runBench({
      ...options,
      amount: { ...options.amount, warmup: 0, count: 200 },
      rounds: 2,
      baseline: "own",
      sweepWorkers: [1, 2],
      sweepConnections: [3, 4],
      share: 0.5,
    });
    assert.deepEqual(
      report.sweeps.map(({ of, candidates }) => [of, candidates.map(({ value }) => value)]),
      [
        ["workers", [1, 2]],
        ["connections", [3, 4]],
      ],
    );
    const [workers, connections] = report.sweeps.map(({ best }) => best);
    assert.deepEqual(steps.slice(0, 5), [
      "round 1 of 2, 1 worker, 5 connections",
      "round 1 of 2, 2 workers, 5 connections",
      "round 2 of 2, 2 workers, 5 connections",
      "round 2 of 2, 1 worker, 5 connections",
      "round 1 of 2, source and sink alone",
    ]);
    assert.equal(steps.length, 4 + 2 + 4 + 1);
    assert.deepEqual([report.settings.workers, report.settings.connections], [workers, connections]);
    const { baseline, load, result } = report;
    assert.ok(baseline !== null && load !== null);
    assert.equal(baseline.rounds.length, 2);
    assert.ok(baseline.ratios.throughput > 0);
    const most = load.maximum.endToEnd.messagesPerSecond;
    assert.equal(result.ratePerSecond, Math.round(most / 2));
    assert.ok(
      result.injection.messagesPerSecond <= (most / 2) * 1.1,
      `${result.injection.messagesPerSecond} of ${most}`,
    );
    assert.equal(result.accepted, 200);
  }));

test("Postfix's source and sink as a baseline", { skip: skipWithoutPostfix() }, () =>
  inDirectory(async (options) => {
    const amount = { ...options.amount, warmup: 0, count: 200 };
    const { baseline } = await runBench({ ...options, amount, baseline: "smtp" });
    assert.ok(baseline !== null && (baseline.rounds[0]?.messagesPerSecond ?? 0) > 0);
    assert.ok(baseline.ratios.throughput > 0);
    assert.equal(baseline.ratios.cpu, null);
  }),
);

function skipWithoutPostfix(): string | false {
  const found = ["/usr/sbin", ...(process.env["PATH"] ?? "").split(":")].some((at) =>
    existsSync(join(at, "smtp-sink")),
  );
  if (!found) assert.notEqual(process.env["CI"], "true", "smtp-sink is not installed");
  return found ? false : "smtp-sink is not installed";
}

test("a server that does not start is named, with what it said", () =>
  inDirectory(async (options) => {
    await assert.rejects(
      runBench({ ...options, settings: { ...options.settings, workers: 13 } }),
      (error) => error instanceof Fault && /the server ended with status 1[\s\S]*thirteen workers/.test(error.message),
    );
  }));

test("an interrupted bench stops its processes", () =>
  inDirectory(async (options) => {
    const interrupt = new AbortController();
    const amount = { ...options.amount, count: null, durationMs: 3_600_000 };
    const progress = () => interrupt.abort();
    await assert.rejects(runBench({ ...options, amount, progress, signal: interrupt.signal }), { name: "AbortError" });
  }));

test("a directory that cannot be written to is a fault", async () => {
  await inDirectory(async (options) => {
    await assert.rejects(runBench({ ...options, directory: "/nowhere" }), /no directory can be made in \/nowhere/);
  });
});

test("what a process used is told by thread", { skip: !existsSync("/proc/self/task") }, () => {
  const before = processUsage(process.pid);
  assert.ok(before !== null);
  for (const start = process.cpuUsage(); process.cpuUsage(start).user < 30_000; ) Math.sqrt(2);
  const after = processUsage(process.pid);
  assert.ok(after !== null);
  const used = usageBetween(before, after);
  const own = used.threads.find((thread) => thread.id === process.pid);
  assert.ok(own !== undefined && own.cpuUs > 10_000);
  assert.ok(used.threads.every((thread, i) => i === 0 || thread.cpuUs <= (used.threads[i - 1]?.cpuUs ?? 0)));
  assert.equal(processUsage(2 ** 30), null);
});
