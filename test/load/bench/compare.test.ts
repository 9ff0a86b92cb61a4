import assert from "node:assert/strict";
import { test } from "node:test";
import { Fault } from "../../../src/base/fault.js";
import {
  compareReports,
  comparisonText,
  differences,
  parseEarlier,
  readEarlier,
} from "../../../src/load/bench/compare.js";
import type { BenchReport } from "../../../src/load/bench/figures.js";
import { reportJson } from "../../../src/load/bench/report-json.js";
import { EXAMPLE_REPORT } from "./example-report.js";

function earlier(report: BenchReport = EXAMPLE_REPORT) {
  return parseEarlier(JSON.stringify(reportJson(report)), "before.json");
}

function withRatios(throughput: number, cpu: number | null): BenchReport {
  return { ...EXAMPLE_REPORT, baseline: { kind: "own", rounds: [], ratios: { throughput, cpu } } };
}

test("ratios are compared where both have the same baseline, whatever the absolute figures", () => {
  const slowMachine = { ...withRatios(0.25, 2.8), rounds: [10] };
  const comparison = compareReports(earlier(), slowMachine, 0.1);
  assert.deepEqual([comparison.regression, comparison.warnings], [false, []]);
  assert.deepEqual(
    comparison.figures.map(({ name }) => name),
    ["throughput by baseline", "CPU by baseline"],
  );
});

test("half the rate or twice the cost is a regression by any tolerance below 50 %", () => {
  for (const [report, name] of [
    [withRatios(0.13, 2.75), "throughput by baseline"],
    [withRatios(0.26, 5.5), "CPU by baseline"],
  ] as const) {
    const comparison = compareReports(earlier(), report, 0.49);
    assert.ok(comparison.regression);
    assert.deepEqual(
      comparison.figures.filter(({ worse }) => worse).map((figure) => figure.name),
      [name],
    );
    assert.equal(compareReports(earlier(), report, 0.51).regression, false);
  }
});

test("better is no regression, and CPU that is not known is not compared", () => {
  assert.equal(compareReports(earlier(), withRatios(0.9, 0.5), 0).regression, false);
  const comparison = compareReports(earlier(), withRatios(0.26, null), 0.1);
  assert.deepEqual(
    comparison.figures.map(({ name }) => name),
    ["throughput by baseline"],
  );
});

test("without a common baseline absolute figures are compared, with a warning", () => {
  const alone = { ...EXAMPLE_REPORT, baseline: null };
  const comparison = compareReports(earlier(), { ...alone, rounds: [700, 710, 690] }, 0.1);
  assert.equal(comparison.regression, true);
  assert.match(comparison.warnings.join(), /same --baseline/);
  const other = { ...alone, machine: { ...alone.machine, cpus: 64 } };
  assert.match(compareReports(earlier(), other, 0.1).warnings.join(), /machines differ/);
  const smtp = {
    ...EXAMPLE_REPORT,
    baseline: { ...withRatios(1, 1).baseline, kind: "smtp" as const, rounds: [], ratios: { throughput: 1, cpu: null } },
  };
  assert.match(compareReports(earlier(), smtp, 0.1).warnings.join(), /same --baseline/);
  assert.match(
    comparisonText(comparison, "before.json", 0.1),
    /messages per second +1567 before, 700 now, -55\.3 %: REGRESSION/,
  );
});

test("loads that differ are named", () => {
  const { settings, amount } = EXAMPLE_REPORT;
  assert.deepEqual(differences(earlier(), settings, amount), []);
  const other = { ...EXAMPLE_REPORT.settings, size: "10k", workers: 8 };
  assert.deepEqual(differences(earlier(), other, amount), ["size was 1k, is 10k", "workers was 2, is 8"]);
  assert.deepEqual(differences(earlier(), other, amount, ["workers"]), ["size was 1k, is 10k"]);
  const unasked = { ...settings, workers: null, pipelining: !settings.pipelining, retryMs: 2000 };
  assert.deepEqual(differences(earlier(), unasked, amount), [
    `pipelining was ${settings.pipelining ? "on, is off" : "off, is on"}`,
    "retry was not within the run, is 2000 ms",
    "workers was 2, is the server's own choice",
  ]);
  assert.deepEqual(differences(earlier(), settings, { ratePerSecond: 50 }), [
    "rate was as many as the server takes, is 50 a second",
  ]);
});

test("another amount is compared with a warning", () => {
  const { amount } = EXAMPLE_REPORT;
  const short = { ...withRatios(0.25, 2.8), amount: { ...amount, count: 7, warmup: amount.warmup + 1 } };
  const { warnings, regression } = compareReports(earlier(), short, 0.1);
  assert.equal(regression, false);
  assert.deepEqual(warnings, [
    `count was ${amount.count}, is 7: a short run measures how a server begins`,
    `warmup was ${amount.warmup}, is ${amount.warmup + 1}: a short run measures how a server begins`,
  ]);
});

test("what is no report is refused with the file's name", () => {
  for (const [text, reason] of [
    ["{", /^before\.json: /],
    ["{}", /^before\.json: no report of this version: version/],
    [JSON.stringify({ ...reportJson(EXAMPLE_REPORT), version: 2 }), /version/],
    [JSON.stringify({ ...reportJson(EXAMPLE_REPORT), rounds: [] }), /rounds/],
  ] as const) {
    assert.throws(
      () => parseEarlier(text, "before.json"),
      (error) => error instanceof Fault && error.code === "config.invalid" && reason.test(error.message),
    );
  }
  assert.throws(() => readEarlier("/nowhere/before.json"), /\/nowhere\/before\.json: /);
});
