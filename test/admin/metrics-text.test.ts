import assert from "node:assert/strict";
import { test } from "node:test";
import { histogramFamilies, metricsJson, prometheusText } from "../../src/admin/metrics-text.js";
import { HISTOGRAMS, Histogram, observe } from "../../src/protocol/histograms.js";
import { SharedState } from "../../src/protocol/layout/shared-state.js";

test("histograms of all threads are summed, their buckets count up, and no block reaches into the next", () => {
  const shared = new SharedState(SharedState.allocate(3));
  for (const [thread, value] of [
    [1, 1],
    [1, 3],
    [2, 3],
    [2, 5000],
  ] as const) {
    observe(shared.histograms(thread), Histogram.batchMessages, value);
  }
  observe(shared.histograms(2), Histogram.syncSeconds, 0.0015);
  const families = histogramFamilies(shared);
  const text = prometheusText(families).split("\n");
  const of = (name: string): string[] =>
    text.filter((line) => line.startsWith(`${name}_`) || line.includes(` ${name} `));
  assert.deepEqual(of("spool_batch_messages"), [
    "# HELP spool_batch_messages Messages that one commit has stored; commits that stored none are left out",
    "# TYPE spool_batch_messages histogram",
    ...[1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024].map(
      (le) => `spool_batch_messages_bucket{le="${le}"} ${le < 3 ? 1 : 3}`,
    ),
    'spool_batch_messages_bucket{le="+Inf"} 4',
    "spool_batch_messages_sum 5007",
    "spool_batch_messages_count 4",
  ]);
  assert.ok(of("spool_sync_seconds").includes('spool_sync_seconds_bucket{le="0.001"} 0'));
  assert.ok(of("spool_sync_seconds").includes('spool_sync_seconds_bucket{le="0.002"} 1'));
  assert.ok(of("spool_commit_seconds").includes("spool_commit_seconds_count 0"));
  assert.ok(
    shared.counters(2).every((value) => value === 0) && shared.listenerConnections(2).every((one) => one === 0),
  );
  const json = JSON.parse(JSON.stringify(metricsJson(families)));
  assert.equal(Object.keys(json).length, HISTOGRAMS.length);
  assert.deepEqual(json.spool_batch_messages.value.at(-1), { value: 4, part: "count" });
});
