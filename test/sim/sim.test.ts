import assert from "node:assert/strict";
import { test } from "node:test";
import { simulate } from "./simulate.js";

const SEEDS = [1, 2, 3, 5, 8, 13, 21, 34];
const STEPS = 600;

for (const seed of SEEDS) {
  test(`a made-up world, seed ${seed}`, () => {
    const result = simulate(seed, STEPS);
    if (!result.ok) assert.fail(`seed ${seed}, step ${result.step}: ${String(result.error)}`);
    assert.ok(result.summary.delivered > 100, "something was delivered");
    assert.ok(result.summary.setAside > 0, "something killed twice");
  });
}

test("a made-up world, for long: what takes many deaths to meet", () => {
  const result = simulate(7, 8000);
  if (!result.ok) assert.fail(`seed 7, step ${result.step}: ${String(result.error)}`);
  assert.ok(result.summary.deaths > 50, "workers died");
});

test("a made-up world, fresh seed", (t) => {
  const seed = Date.now() % 1_000_000_007;
  t.diagnostic(`seed ${seed}, ${STEPS} steps; again with: node run.js --seed ${seed} --steps ${STEPS}`);
  const result = simulate(seed, STEPS);
  if (!result.ok) assert.fail(`seed ${seed}, step ${result.step}: ${String(result.error)}`);
});
