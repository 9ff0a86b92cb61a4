import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HISTOGRAM_ERROR, Histogram } from "../../src/load/histogram.js";

const PERCENTS = [0, 1, 25, 50, 75, 90, 95, 99, 99.9, 100];
const values = fc.array(
  fc.oneof(fc.nat({ max: 300 }), fc.nat({ max: 100_000 }), fc.integer({ min: 0, max: 2 ** 32 - 1 })),
  { minLength: 1, maxLength: 400 },
);

function filled(numbers: readonly number[]): Histogram {
  const histogram = new Histogram();
  for (const value of numbers) histogram.record(value);
  return histogram;
}

test("percentiles agree with a sorted array to within one bucket", () => {
  fc.assert(
    fc.property(values, (numbers) => {
      const sorted = [...numbers].sort((a, b) => a - b);
      const histogram = filled(numbers);
      for (const percent of PERCENTS) {
        const exact = sorted[Math.max(1, Math.ceil((percent / 100) * sorted.length)) - 1] as number;
        const found = histogram.percentile(percent);
        assert.ok(found >= exact, `p${percent}: ${found} is below ${exact}`);
        assert.ok(found <= exact * (1 + HISTOGRAM_ERROR), `p${percent}: ${found} is far above ${exact}`);
      }
      assert.equal(histogram.min, sorted[0]);
      assert.equal(histogram.max, sorted.at(-1));
      assert.equal(histogram.count, sorted.length);
      assert.equal(histogram.mean, sorted.reduce((sum, value) => sum + value, 0) / sorted.length);
    }),
    { numRuns: 200 },
  );
});

test("merging is recording in one", () => {
  fc.assert(
    fc.property(values, values, (first, second) => {
      const merged = filled(first);
      merged.merge(filled(second));
      const whole = filled([...first, ...second]);
      for (const percent of PERCENTS) assert.equal(merged.percentile(percent), whole.percentile(percent));
      assert.deepEqual(
        [merged.count, merged.min, merged.max, merged.mean],
        [whole.count, whole.min, whole.max, whole.mean],
      );
    }),
    { numRuns: 50 },
  );
});

test("nothing recorded, and a value beyond the range", () => {
  const empty = new Histogram();
  assert.deepEqual([empty.count, empty.min, empty.max, empty.mean, empty.percentile(50)], [0, 0, 0, 0, 0]);
  const merged = new Histogram();
  merged.merge(empty);
  merged.record(7.9);
  assert.equal(merged.percentile(50), 7);
  merged.record(1e12);
  assert.equal(merged.max, 2 ** 32 - 1);
});
