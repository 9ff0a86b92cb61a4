import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { joinTimes } from "../../../src/load/bench/transit.js";

const directory = mkdtempSync(join(tmpdir(), "hikyaku-test-"));
after(() => rmSync(directory, { recursive: true }));
const BEGAN_US = 1e9;
const MS = 1000;

/** A file of moments, `[number, ms since the beginning]`. */
function file(name: string, records: readonly (readonly [number, number])[]): string {
  const path = join(directory, name);
  const fields = records.flatMap(([number, ms]) => [number, BEGAN_US + ms * MS]);
  writeFileSync(path, new Uint8Array(Float64Array.from(fields).buffer));
  return path;
}

test("moments are joined by number; the warm-up, duplicates and strangers are left out", () => {
  const source = file("source", [
    [11, 10],
    [12, 20],
    [13, 30],
    [14, 250],
  ]);
  const sink = file("sink", [
    [1, -50],
    [10, 1],
    [12, 120],
    [11, 15],
    [12, 121],
    [13, 29.5],
    [99, 60],
  ]);
  const { transit, timeline, delivered, seconds } = joinTimes(source, sink, BEGAN_US);
  assert.deepEqual([delivered, transit.count, transit.early], [3, 3, 1]);
  assert.equal(seconds, 0.12);
  const { min, max, mean, p50 } = transit.latencyMs;
  assert.deepEqual({ min, max, mean }, { min: 0, max: 100, mean: 35 });
  assert.ok(p50 !== undefined && p50 >= 5 && p50 <= 5.04);
  assert.deepEqual(transit.curve.at(-1), [100, 100]);
  assert.deepEqual(timeline.stepSeconds, 0.05);
  assert.deepEqual(timeline.taken, [3, 0, 0, 0, 0, 1]);
  assert.deepEqual(timeline.delivered, [2, 0, 1, 0, 0, 0]);
});

test("nothing delivered is no latency", () => {
  const { transit, delivered, seconds } = joinTimes(file("one", [[1, 5]]), file("none", []), BEGAN_US);
  assert.deepEqual([transit.count, transit.curve, delivered, seconds], [0, [], 0, 0]);
});

test("a long run has at most a hundred steps", () => {
  const source = file("long", [
    [1, 0],
    [2, 3_000_000],
  ]);
  const { timeline } = joinTimes(source, file("empty", []), BEGAN_US);
  assert.equal(timeline.stepSeconds, 60);
  assert.equal(timeline.taken.length, 51);
  assert.equal(timeline.taken.at(-1), 1);
});
