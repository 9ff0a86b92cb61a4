import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseBest, defaultWorkers, noiseOf, orderOf } from "../../../src/load/bench/sweep.js";

function candidates(...rates: readonly (readonly number[])[]) {
  return rates.map((messagesPerSecond, i) => ({ value: i + 1, messagesPerSecond }));
}

test("the fastest wins when it is faster than the noise", () => {
  const sweep = chooseBest("workers", candidates([1000, 1010, 990], [1500, 1510, 1490], [1300, 1310, 1290]));
  assert.equal(sweep.best, 2);
  assert.equal(sweep.toml, "[threads]\nworkers = 2\n");
  assert.equal(sweep.doubtful, false);
});

test("within the noise the smaller value is preferred", () => {
  assert.equal(chooseBest("workers", candidates([980, 1100, 940], [1000, 1120, 960], [1005, 1130, 980])).best, 1);
  // Quiet rounds, and still less than two parts in a hundred between them.
  assert.equal(chooseBest("workers", candidates([990, 990, 990], [1000, 1000, 1000])).best, 1);
});

test("what drifts from round to round is not taken for the noise of a value", () => {
  // The machine becomes three times as fast; in two of three rounds the second value is a quarter faster, although the
  // medians are near each other.
  const drifting = candidates([800, 1940, 2400], [1000, 2000, 3000]);
  assert.equal(chooseBest("connections", drifting).best, 2);
  assert.equal(chooseBest("connections", drifting).toml, null);
});

test("rounds that say little are said to", () => {
  const wild = candidates([500, 1500, 1000], [1800, 700, 1100]);
  assert.ok(noiseOf(wild) > 0.4);
  assert.equal(chooseBest("workers", wild).doubtful, true);
});

test("values that are tried, and their order", () => {
  assert.deepEqual(defaultWorkers(3), [1, 2, 3]);
  assert.deepEqual(defaultWorkers(16), [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16]);
  assert.deepEqual(orderOf(3, 0), [0, 1, 2]);
  assert.deepEqual(orderOf(3, 1), [2, 1, 0]);
});
