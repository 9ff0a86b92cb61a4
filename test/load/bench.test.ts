import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Fault } from "../../src/base/fault.js";
import { type BenchOptions, runBench } from "../../src/load/bench/bench.js";
import { processUsage, usageBetween } from "../../src/load/bench/process-usage.js";
import { reportJson, reportText } from "../../src/load/bench/report.js";

function options(directory: string): BenchOptions {
  const program = fileURLToPath(new URL("./proxy-program.js", import.meta.url));
  return {
    program: { file: process.execPath, args: [program] },
    amount: ["--count", "500"],
    size: "2k",
    concurrency: 5,
    pipelining: true,
    workers: 2,
    durability: "flushed",
    directory,
    keep: false,
    signal: new AbortController().signal,
  };
}

test("a whole bench, and what it says", async () => {
  const directory = mkdtempSync(join(tmpdir(), "hikyaku-test-"));
  try {
    const report = await runBench(options(directory));
    assert.deepEqual([report.accepted, report.failed, report.settings.workers], [500, 0, 2]);
    assert.ok(report.endToEnd.messagesPerSecond > 0);
    assert.match(reportText(report), /^500 messages of 2k, 5 connections, flushed, 2 workers/);
    assert.match(JSON.stringify(reportJson(report)), /"end_to_end":\{"seconds":/);
    if (existsSync("/proc/self/task")) {
      assert.ok(report.server.threads.some((thread) => thread.name === "scheduler"));
      assert.ok(report.server.maxRssBytes > 1e6);
    }
    assert.deepEqual(readdirSync(directory), []);
  } finally {
    rmSync(directory, { recursive: true });
  }
});

test("a server that does not start is named, with what it said, and nothing stays behind", async () => {
  const directory = mkdtempSync(join(tmpdir(), "hikyaku-test-"));
  try {
    await assert.rejects(
      runBench({ ...options(directory), workers: 13 }),
      (error) => error instanceof Fault && /the server ended with status 1[\s\S]*thirteen workers/.test(error.message),
    );
    assert.deepEqual(readdirSync(directory), []);
  } finally {
    rmSync(directory, { recursive: true });
  }
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
