import assert from "node:assert/strict";
import { test } from "node:test";
import { chartSvg, logTicks, roundTicks } from "../../../src/load/bench/chart.js";
import { median } from "../../../src/load/bench/figures.js";
import { latencyPlot, sweepPlot, throughputPlot } from "../../../src/load/bench/plots.js";
import { reportHtml } from "../../../src/load/bench/report-html.js";
import { reportJson } from "../../../src/load/bench/report-json.js";
import { reportText } from "../../../src/load/bench/report-text.js";
import { EXAMPLE_REPORT, EXAMPLE_RUN } from "./example-report.js";

test("the text names load, fates, latencies, CPU by thread, baseline and the line to use", () => {
  const text = reportText(EXAMPLE_REPORT);
  for (const part of [
    /^1000 messages of 1k, 40 connections, flushed, 2 workers, 4 % deferred, 2 % bounced, 100 before counting/,
    /end to end +1567 msgs\/s/,
    /940 delivered, 20 bounced, 40 waiting/,
    /250 to the remote 250: mean 2, p50 2/,
    /scheduler 5 +6\.0 us/,
    /40 operations per commit/,
    /alone 6000 msgs\/s; with the server 0\.260 of it; CPU per message 2\.75/,
    /2 {2}median {4}1534 {2}\(1500, 1567\) {2}◀ best/,
    /\n {2}\[threads\]\n {2}workers = 2\n/,
  ]) {
    assert.match(text, part);
  }
  assert.doesNotMatch(text, /count as 0|differ too much/);
  const transit = { ...EXAMPLE_RUN.transit, early: 470 };
  assert.match(reportText({ ...EXAMPLE_REPORT, result: { ...EXAMPLE_RUN, transit } }), /50 % were there before/);
});

test("the JSON has its version and keys in snake_case all the way down", () => {
  const json = JSON.stringify(reportJson(EXAMPLE_REPORT));
  assert.match(json, /^\{"version":1,"program":\{"version":"1\.2\.3",.*"machine":\{"cpus":2,"cpu_model":/);
  assert.match(json, /"end_to_end":\{"seconds":0\.6,"messages_per_second":1567\}/);
  assert.match(json, /"p99\.9":9/);
  assert.doesNotMatch(json.replace(/"(cpu_model|system|toml)":"[^"]*"/g, ""), /"[a-z_]*[A-Z][A-Za-z]*":/);
});

test("the page says at its top what was measured, on what and how to do it again", () => {
  const [, top = ""] = /<dl>(.*?)<\/dl>.*<div class="tiles">/s.exec(reportHtml(EXAMPLE_REPORT, new Date(0))) ?? [];
  for (const part of [
    /<dt>Load<\/dt><dd>1000 messages of 1k, as fast as the server took them; after a warm-up of 100; 40 connections, kept/,
    /4 % of the attempts refused for now, 2 % refused for good by the sink/,
    /<dt>Server<\/dt><dd>flushed: 250 means on disk; 2 workers; plain SMTP/,
    /<dt>Method<\/dt><dd>3 rounds, .*; 2 numbers of workers tried, best 2; compared with our own source and sink alone</,
    /<dt>Machine<\/dt><dd>2 × A &#60;fast&#62; one, 8 GiB, linux</,
    /<dt>Versions<\/dt><dd>Hikyaku 1\.2\.3, Node v20</,
    /<dt>Command<\/dt><dd><code><span>hikyaku<\/span> <span>bench<\/span> <span>--size<\/span> .*<span>'\/a<\/span> <span>b'<\/span><\/code>/,
  ]) {
    assert.match(top, part);
  }
  const load = { share: 0.5, maximum: EXAMPLE_RUN };
  const half = reportHtml({ ...EXAMPLE_REPORT, load, result: { ...EXAMPLE_RUN, ratePerSecond: 780 } }, new Date(0));
  assert.match(half, /1000 messages of 1k, at 780 a second, 50 % of the maximum;/);
});

test("one of something is not several", () => {
  const single = { ...EXAMPLE_REPORT, result: { ...EXAMPLE_RUN, workers: 1, accepted: 1 } };
  assert.match(reportText(single), /^1 message of 1k, 40 connections, flushed, 1 worker, /);
});

test("the page holds its plots, closes what it opens, escapes, and asks for nothing else", () => {
  const page = reportHtml(EXAMPLE_REPORT, new Date(0));
  assert.match(page, /^<!doctype html>/);
  assert.match(page, /A &#60;fast&#62; one/);
  assert.equal(page.match(/<svg /g)?.length, 3);
  assert.doesNotMatch(page, /<script|<link|<img|https?:|url\(|NaN|undefined|Infinity/);
  const open: string[] = [];
  for (const [, closing, name = "", empty] of page.matchAll(/<(\/?)([a-z0-9]+)[^<>]*?(\/?)>/g)) {
    if (empty === "/" || name === "meta") continue;
    if (closing === "") open.push(name);
    else assert.equal(open.pop(), name);
  }
  assert.deepEqual(open, []);
});

test("plots put values where they belong", () => {
  const throughput = throughputPlot(EXAMPLE_RUN.timeline);
  // 400 in a tenth of a second: the top of an axis to 4,000; the last step, not a whole one, is left out.
  assert.match(throughput, /cy="16" r="4"><title>0\.05 s: 4000 msgs\/s/);
  assert.equal(throughput.match(/<circle/g)?.length, 6);
  const latency = latencyPlot(EXAMPLE_RUN.transit);
  assert.match(latency, /cx="688"[^>]*><title>99 %: 8 ms/);
  assert.equal(latencyPlot({ ...EXAMPLE_RUN.transit, curve: [] }), "");
  const [sweep] = EXAMPLE_REPORT.sweeps;
  assert.ok(sweep !== undefined);
  assert.match(sweepPlot(sweep), /2 \(best\)/);
});

test("axes have round steps", () => {
  assert.deepEqual(
    roundTicks(930).map(({ at }) => at),
    [0, 200, 400, 600, 800, 1000],
  );
  assert.deepEqual(
    roundTicks(0.3).map(({ label }) => label),
    ["0", "0.1", "0.2", "0.3"],
  );
  assert.deepEqual(
    logTicks(0.3, 40).map(({ label }) => label),
    ["0.1", "1", "10", "100"],
  );
  const axis = { label: "", ticks: [], low: 0, high: 0 };
  assert.doesNotMatch(chartSvg({ title: "", x: axis, y: axis, series: [] }), /NaN/);
});

test("medians", () => {
  assert.deepEqual([median([]), median([3]), median([5, 1, 3]), median([4, 1, 3, 2])], [0, 3, 3, 2.5]);
});
