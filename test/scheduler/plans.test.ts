import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { SpoolKey } from "../../src/base/brands.js";
import { KEY_EPOCH_MS, KEYS_PER_MS } from "../../src/protocol/message-id.js";
import { idealSessions } from "../../src/scheduler/connection-curve.js";
import { EXPIRED, nextAttemptMs, requeueMs, retryIntervalMs } from "../../src/scheduler/retry-plan.js";
import { compilePool, WeightedTurn } from "../../src/scheduler/source-choice.js";

const NOW = 1_800_000_000_000;
const middle = { next: () => 0.5 };
const defaults = { retryIntervalMs: 1_200_000, maxRetryIntervalMs: null, maxAgeMs: 604_800_000 };

function keyOf(createdMs: number): SpoolKey {
  return ((createdMs - KEY_EPOCH_MS) * KEYS_PER_MS) as SpoolKey;
}

test("the opening curve meets its published points", () => {
  const points: [number, number][] = [
    [0, 0],
    [1, 1],
    [2, 2],
    [3, 3],
    [4, 3],
    [5, 4],
    [10, 7],
    [20, 12],
    [32, 17],
    [64, 25],
    [128, 31],
    [256, 32],
  ];
  for (const [ready, ideal] of points) assert.equal(idealSessions(ready, 32), ideal, `ready ${ready}`);
  for (let ready = 1; ready <= 1024; ready++) {
    assert.ok(idealSessions(ready, 1024) <= ready);
    assert.ok(idealSessions(ready, 7) <= 7);
  }
  assert.equal(idealSessions(100, 1024), 100);
});

test("back-off doubles up to its ceiling, in whole seconds, and saturates", () => {
  assert.deepEqual(
    [0, 1, 2, 3].map((attempts) => retryIntervalMs(defaults, attempts)),
    [1_200_000, 2_400_000, 4_800_000, 9_600_000],
  );
  assert.equal(retryIntervalMs({ ...defaults, maxRetryIntervalMs: 3_000_000 }, 5), 3_000_000);
  assert.equal(retryIntervalMs({ ...defaults, retryIntervalMs: 1500 }, 0), 1000);
  assert.equal(retryIntervalMs({ ...defaults, retryIntervalMs: 1500 }, 1), 3000);
  assert.equal(retryIntervalMs({ ...defaults, retryIntervalMs: 10 }, 0), 1000, "never a spin");
  assert.ok(Number.isFinite(retryIntervalMs(defaults, 65_535)));
});

test("jitter is half of a twentieth of the interval to either side, thirty seconds at most", () => {
  const at = (retryIntervalMs: number, chance: number): number =>
    nextAttemptMs({ ...defaults, retryIntervalMs }, keyOf(NOW), 0, NOW, { next: () => chance }) - NOW;
  assert.equal(at(1_200_000, 0), 1_200_000 - 30_000);
  assert.equal(at(1_200_000, 0.5), 1_200_000);
  assert.ok(Math.abs(at(1_200_000, 0.999999) - 1_230_000) < 10);
  assert.equal(at(60_000, 0), 60_000 - 1500);
  assert.equal(at(36_000_000, 0), 36_000_000 - 30_000, "capped at a minute in all");
});

test("a message that would be too old by then expires at once", () => {
  const options = { ...defaults, maxAgeMs: 3_600_000 };
  const created = NOW - 2_400_000;
  assert.equal(nextAttemptMs(options, keyOf(created), 0, NOW, middle), NOW + 1_200_000, "age + delay = max_age");
  assert.equal(nextAttemptMs(options, keyOf(created - 1), 0, NOW, middle), EXPIRED);
});

test("what was not tried is looked at within a minute", () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (chance) => {
      const delayMs = requeueMs(NOW, { next: () => chance }) - NOW;
      assert.ok(delayMs >= 0 && delayMs < 60_000);
    }),
  );
});

function pick(weights: number[], count: number, refused: number[] = []): string {
  const turn = new WeightedTurn();
  const excluded = Uint8Array.from(weights, (_, at) => (refused.includes(at) ? 1 : 0));
  return Array.from({ length: count }, () => "abcdef"[turn.next(weights, excluded)] ?? "-").join("");
}

test("weighted round robin", () => {
  assert.equal(pick([4, 2, 1], 14), "aaababcaaababc");
  assert.equal(pick([1, 1, 1], 6), "abcabc");
  assert.equal(pick([10, 5], 6), "aabaab", "by the common divisor");
  assert.equal(pick([7], 3), "aaa");
  assert.equal(pick([4, 2, 1], 6, [0]), "bbcbbc");
  assert.equal(pick([4, 2], 2, [0, 1]), "--");
  assert.equal(pick([7], 1, [0]), "-");
});

test("weighted round robin gives everybody the share of its weight, whatever was refused before", () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 6 }),
      fc.nat(60),
      (weights, before) => {
        const turn = new WeightedTurn();
        const excluded = new Uint8Array(weights.length);
        for (let at = 0; at < before; at++) {
          excluded.fill(0);
          excluded[at % weights.length] = 1;
          turn.next(weights, excluded);
        }
        excluded.fill(0);
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        const counts = weights.map(() => 0);
        for (let at = 0; at < total * 3; at++) counts[turn.next(weights, excluded)]++;
        for (const [at, weight] of weights.entries()) assert.ok(Math.abs(counts[at] - weight * 3) <= weight + 1);
      },
    ),
    { numRuns: 200 },
  );
});

test("entries of weight 0 count as absent", () => {
  const pool = compilePool({
    name: "p",
    entries: [
      { name: "x", weight: 0 },
      { name: "y", weight: 2 },
    ],
  });
  assert.deepEqual(pool, { name: "p", sources: ["y"], weights: [2] });
});
