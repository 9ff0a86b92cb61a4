import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  formatDuration,
  formatRate,
  formatSize,
  parseCount,
  parseDuration,
  parseLimit,
  parseRate,
  parseSize,
} from "../../src/base/units.js";

test("durations: the written forms", () => {
  const cases: readonly (readonly [string | number, number | null])[] = [
    [90, 90_000],
    [0, 0],
    [0.5, 500],
    ["90s", 90_000],
    ["5 mins", 300_000],
    ["2 hours", 7_200_000],
    ["1h 30m", 5_400_000],
    ["1h30m", 5_400_000],
    ["1.5h", 5_400_000],
    ["7d", 604_800_000],
    ["1w", 604_800_000],
    ["250ms", 250],
    [" 20m ", 1_200_000],
    [-1, null],
    [Number.NaN, null],
    [Number.POSITIVE_INFINITY, null],
    [1e300, null],
    ["", null],
    [" ", null],
    ["90", null],
    ["-5s", null],
    ["5 lightyears", null],
    ["1h 30", null],
    ["1h,30m", null],
    ["1M", null],
    ["constructor", null],
    [`${"9".repeat(200)}s`, null],
  ];
  for (const [written, expected] of cases) assert.equal(parseDuration(written), expected, String(written));
  assert.equal(formatDuration(5_400_000), "1h 30m");
  assert.equal(formatDuration(604_800_000), "7d");
  assert.equal(formatDuration(0), "0s");
  assert.equal(formatDuration(1500), "1s 500ms");
});

test("sizes: the written forms", () => {
  const cases: readonly (readonly [string | number, number | null])[] = [
    [0, 0],
    [4096, 4096],
    ["20MiB", 20 * 1024 * 1024],
    ["20 mib", 20 * 1024 * 1024],
    ["1GB", 1_000_000_000],
    ["1.5GiB", 1.5 * 2 ** 30],
    ["998B", 998],
    [1.5, null],
    [-1, null],
    ["20M", null],
    ["", null],
    ["MiB", null],
    ["20 MiB extra", null],
    ["9999999999TiB", null],
  ];
  for (const [written, expected] of cases) assert.equal(parseSize(written), expected, String(written));
  assert.equal(formatSize(20 * 1024 * 1024), "20MiB");
  assert.equal(formatSize(1_000_000_000), "1GB");
  assert.equal(formatSize(998), "998B");
});

test("counts and limits: separators, the least, local", () => {
  assert.equal(parseCount("10_000"), 10_000);
  assert.equal(parseCount("10,000"), 10_000);
  assert.equal(parseCount(1), 1);
  for (const wrong of [0, -1, 1.5, "0", "", "_1", "1e3", "9".repeat(30)]) assert.equal(parseCount(wrong), null);
  assert.deepEqual(parseLimit("local:32"), { count: 32, local: true });
  assert.deepEqual(parseLimit(32), { count: 32, local: false });
  assert.equal(parseLimit("local:"), null);
});

test("rates: the written forms and their canonical print", () => {
  const cases: readonly (readonly [string, string | null])[] = [
    ["100/min", "100/m"],
    ["100/minute", "100/m"],
    ["1,000/hr", "1000/h"],
    ["1_000/day", "1000/d"],
    ["20/30min", "20/1800s"],
    ["20/60s", "20/m"],
    ["5/s,max_burst=1", "5/s,max_burst=1"],
    ["5/s,max_burst=5", "5/s"],
    ["local:5/second", "local:5/s"],
    ["5/mins", null],
    ["0/s", null],
    ["5/0s", null],
    ["5", null],
    ["5/", null],
    ["/s", null],
    ["5/s,max_burst=0", null],
    ["5/s,burst=2", null],
    ["remote:5/s", null],
  ];
  for (const [written, expected] of cases) {
    const rate = parseRate(written);
    assert.equal(rate === null ? null : formatRate(rate), expected, written);
  }
});

test("what is printed is read back as the same value", () => {
  const whole = fc.maxSafeNat();
  fc.assert(fc.property(whole, (ms) => parseDuration(formatDuration(ms)) === ms));
  fc.assert(fc.property(whole, (bytes) => parseSize(formatSize(bytes)) === bytes));
  const rate = fc.record(
    {
      quantity: fc.integer({ min: 1 }),
      periodSeconds: fc.integer({ min: 1, max: 1e9 }),
      maxBurst: fc.integer({ min: 1 }),
      local: fc.boolean(),
    },
    { noNullPrototype: true },
  );
  fc.assert(fc.property(rate, (value) => assert.deepEqual(parseRate(formatRate(value)), value)));
});

test("no text makes a parser throw, and none gives a value outside its range", () => {
  fc.assert(
    fc.property(fc.string({ maxLength: 120 }), (text) => {
      for (const value of [parseDuration(text), parseSize(text), parseCount(text)]) {
        assert.ok(value === null || (Number.isSafeInteger(value) && value >= 0));
      }
      parseRate(text);
      parseLimit(text);
    }),
  );
});
