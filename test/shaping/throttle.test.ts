/** Rates: GCRA against a table, against a model that counts, and all or nothing. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseRate, type Rate } from "../../src/base/units.js";
import { Throttle, ThrottleBook, takeAll } from "../../src/shaping/throttle.js";

function rate(written: string): Rate {
  const parsed = parseRate(written);
  assert.ok(parsed !== null, written);
  return parsed;
}

/** What every back end must answer: at this microsecond, the wait of one token, taken when 0. */
const TABLE: readonly (readonly [written: string, steps: readonly (readonly [atUs: number, waitUs: number])[]])[] = [
  [
    "2/s",
    [
      [0, 0],
      [0, 0],
      [0, 500_000],
      [499_999, 1],
      [500_000, 0],
      [500_000, 500_000],
    ],
  ],
  [
    "2/s,max_burst=1",
    [
      [0, 0],
      [0, 500_000],
      [500_000, 0],
      [600_000, 400_000],
      [5_000_000, 0],
      [5_000_000, 500_000],
    ],
  ],
  [
    "1/min",
    [
      [0, 0],
      [1, 59_999_999],
      [60_000_000, 0],
      [60_000_000, 60_000_000],
    ],
  ],
  [
    "3/30min,max_burst=2",
    [
      [0, 0],
      [0, 0],
      [0, 600_000_000],
      [600_000_000, 0],
    ],
  ],
  [
    "1_000/s,max_burst=3",
    [
      [7, 0],
      [7, 0],
      [7, 0],
      [7, 1000],
      [1006, 1],
      [1007, 0],
      [1007, 1000],
    ],
  ],
  [
    "1/d",
    [
      [0, 0],
      [86_399_999_999, 1],
      [86_400_000_000, 0],
    ],
  ],
];

test("tokens come at even intervals, max_burst of them may be saved up", () => {
  for (const [written, steps] of TABLE) {
    const throttle = new Throttle("", rate(written));
    for (const [atUs, waitUs] of steps) {
      assert.equal(throttle.waitUs(atUs), waitUs, `${written} at ${atUs}`);
      if (waitUs === 0) throttle.take(atUs);
    }
  }
});

const rates = fc.record({
  quantity: fc.integer({ min: 1, max: 100_000 }),
  periodSeconds: fc.constantFrom(1, 7, 60, 1800, 86_400),
  maxBurst: fc.integer({ min: 1, max: 1000 }),
  local: fc.constant(false),
});

test("in no window are there more tokens than the burst and what the window's length gives", () => {
  fc.assert(
    fc.property(rates, fc.array(fc.double({ min: 0, max: 3, noNaN: true }), { maxLength: 300 }), (one, gaps) => {
      const throttle = new Throttle("", one);
      const taken: number[] = [];
      let nowUs = 0;
      for (const gap of gaps) {
        nowUs += gap * gap * throttle.intervalUs;
        if (throttle.waitUs(nowUs) > 0) continue;
        throttle.take(nowUs);
        taken.push(nowUs);
      }
      for (let from = 0; from < taken.length; from++) {
        for (let to = from; to < taken.length; to++) {
          const windowUs = taken[to]! - taken[from]!;
          assert.ok(to - from + 1 <= one.maxBurst + windowUs / throttle.intervalUs + 1e-6);
        }
      }
    }),
    { numRuns: 200 },
  );
});

test("a wait is exact: not a microsecond earlier, and then the token is there; whoever always asks gets the whole rate", () => {
  fc.assert(
    fc.property(rates, fc.integer({ min: 0, max: 1e12 }), fc.integer({ min: 1, max: 2000 }), (one, startUs, tokens) => {
      const throttle = new Throttle("", one);
      let nowUs = startUs;
      for (let i = 0; i < tokens; i++) {
        const waitUs = throttle.waitUs(nowUs);
        if (waitUs > 1) assert.ok(throttle.waitUs(nowUs + waitUs - 1) > 0);
        nowUs += waitUs;
        assert.equal(throttle.waitUs(nowUs), 0);
        throttle.take(nowUs);
      }
      const expectedUs = Math.max(0, tokens - one.maxBurst) * throttle.intervalUs;
      assert.ok(Math.abs(nowUs - startUs - expectedUs) <= 1 + expectedUs * 1e-6, `${nowUs - startUs} ${expectedUs}`);
    }),
    { numRuns: 200 },
  );
});

test("several throttles: all or nothing", () => {
  const fast = new Throttle("fast", rate("10/s"));
  const slow = new Throttle("slow", rate("1/min"));
  assert.equal(takeAll([fast, slow], 0), 0);
  for (let i = 0; i < 100; i++) assert.equal(takeAll([fast, slow], 0), 60_000_000);
  for (let i = 0; i < 9; i++) assert.equal(takeAll([fast], 0), 0, "the refusals took no token of the other");
  assert.equal(takeAll([fast], 0), 100_000);
  assert.equal(takeAll([], 0), 0);
});

test("a name and a rate are one throttle; another rate starts afresh; letting go is no way to new tokens", () => {
  const book = new ThrottleBook();
  const one = book.hold("x", rate("1/min"), 0);
  assert.equal(book.hold("x", rate("1/min"), 0), one);
  one.take(0);
  assert.equal(book.hold("x", rate("2/min"), 0).waitUs(0), 0);
  book.release(one, 0);
  book.release(one, 0);
  const again = book.hold("x", rate("1/min"), 1);
  assert.equal(again.waitUs(1), 59_999_999);
  book.release(again, 60_000_000);
  assert.equal(book.size, 1, "only the other rate is left");
});

test("throttles that nobody holds are dropped when they are full again", () => {
  const book = new ThrottleBook();
  for (let i = 0; i < 10_000; i++) {
    const nowUs = i * 1_000_000;
    const throttle = book.hold(`name ${i}`, rate("1/min"), nowUs);
    throttle.take(nowUs);
    book.release(throttle, nowUs);
  }
  assert.ok(book.size <= 1024 + 60, `${book.size}`);
});
