/** The short form of `bench/load/dead-destination.ts`: dead destinations with queues do not hold up a healthy one. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { DEATHS, DeadWorld } from "../support/dead-destination.js";
import { atEnd, testDir } from "../support/peers/relay.js";

const COUNT = 1000;
/** How often a machine that does something else at the wrong moment is given another chance. */
const ATTEMPTS = 4;
/** The bench is there for the figure; here the runs are short and the machine may be busy. */
const LEAST = 0.4;

test("hosts that refuse, drop or greet late, with mail waiting for each, do not slow another", {
  timeout: 120_000,
}, async (t) => {
  const dir = testDir(t);
  const world = await DeadWorld.start(join(dir, "world"), { retry: "20m", workers: 1 });
  atEnd(t, () => world.stop());
  await world.measure(COUNT);
  const without = await world.measure(COUNT);
  for (const death of DEATHS) await world.fill(death, COUNT);
  const ratios: number[] = [];
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const beside = await world.measure(COUNT);
    assert.ok(beside.waiting >= DEATHS.length * COUNT, "the dead destinations' messages wait");
    ratios.push(beside.perSecond / without.perSecond);
    if (ratios.some((ratio) => ratio >= LEAST)) return;
  }
  assert.fail(`throughput beside them: ${ratios.map((ratio) => ratio.toFixed(2)).join(", ")} of that without`);
});
