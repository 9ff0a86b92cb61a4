/** Recipients of one transaction: they are dispatched, tried again and given back together. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { PathConfig } from "../../src/config/compiled.js";
import { OutcomeFlag, OutcomeKind } from "../../src/protocol/layout/frames.js";
import { Harness } from "./harness.js";

/** Keys of the deliveries under way, transaction by transaction. */
function transactions(world: Harness): number[][] {
  const made: number[][] = [];
  let open = false;
  for (const { key, more } of world.port.deliveries) {
    if (open) made.at(-1)?.push(key);
    else made.push([key]);
    open = more;
  }
  assert.ok(!open, "what was promised came");
  return made;
}

/** A world whose path to a.example has these options. */
function limited(options: Partial<PathConfig>): Harness {
  const world = new Harness();
  world.paths.set("mx.a.example", options);
  return world;
}

test("recipients of one transaction go to one session, up to max_recipients_per_batch", () => {
  const world = limited({ maxRecipientsPerBatch: 4 });
  const keys = world.accept("a.example", 10, { together: true });
  world.turns();
  assert.deepEqual(transactions(world), [keys.slice(0, 4), keys.slice(4, 8), keys.slice(8)]);
});

test("messages of their own, and those of another transaction, stay apart", () => {
  const world = new Harness();
  const one = world.accept("a.example", 2, { together: true });
  const two = world.accept("a.example", 2, { together: true });
  const alone = world.accept("a.example", 2);
  world.turns();
  const made = transactions(world);
  assert.deepEqual(
    made.flat().sort((a, b) => a - b),
    [...one, ...two, ...alone],
  );
  for (const transaction of made) {
    const ofOne = transaction.every((key) => one.includes(key as never));
    const ofTwo = transaction.every((key) => two.includes(key as never));
    assert.ok(ofOne || ofTwo || transaction.length === 1, `mixed: ${transaction}`);
  }
  assert.ok(made.some((transaction) => transaction.length === 2));
});

test("the session is free after its last recipient, and one transaction counts once", () => {
  const world = limited({ maxDeliveriesPerConnection: 2, connectionLimit: 1 });
  world.accept("a.example", 3, { together: true });
  world.turns();
  const first = [...world.port.deliveries];
  for (const delivery of first.slice(0, 2)) world.answer(delivery);
  world.accept("a.example", 1);
  world.turns();
  assert.deepEqual(world.port.deliveries, first.slice(2), "it has its hand full");
  world.answer(first[2]);
  world.turns();
  assert.equal(world.port.deliveries.length, 1);
  assert.equal(world.port.deliveries[0].session, first[0].session);
});

test("those that fail together are tried again together, not before their time", () => {
  const world = new Harness();
  const keys = world.accept("a.example", 5, { together: true });
  world.turns();
  const tried = [...world.port.deliveries];
  for (const [i, delivery] of tried.entries())
    world.answer(delivery, OutcomeKind.transient, i === 4 ? OutcomeFlag.sessionEnded : 0);
  world.turns();
  assert.deepEqual(world.port.deliveries, []);
  for (let minutes = 0; world.port.deliveries.length === 0 && minutes < 30; minutes++) world.after(60_000);
  const made = transactions(world);
  assert.equal(made.length, 1);
  assert.deepEqual(
    made[0].sort((a, b) => a - b),
    keys,
  );
});

test("those that a lost worker or a lost session had go back in their order", () => {
  const world = new Harness();
  const keys = world.accept("a.example", 5, { together: true });
  world.turns();
  const [first] = world.port.deliveries;
  world.port.deliveries = [];
  world.port.send((sink) => sink.session(world.port.index, first.session, 2));
  world.turns();
  for (let rest = 0; world.port.deliveries.length === 0 && rest < 100; rest++) world.after(1000);
  assert.deepEqual(transactions(world), [keys]);
});

test("one choice of a source is for a whole transaction; recipients that go alone have one each", () => {
  const run = (maxRecipientsPerBatch: number): number[] => {
    const world = new Harness();
    world.queues.set("a.example", { egressPool: "pair" });
    world.pools.set("pair", [
      { name: "one", weight: 1 },
      { name: "two", weight: 1 },
    ]);
    world.paths.set("mx.a.example", { maxRecipientsPerBatch });
    world.accept("a.example", 8, { together: true });
    world.turns();
    return [...world.scheduler.core.paths.all()].map(({ definition }) => {
      const sessions = [...world.scheduler.core.sessions.all()].filter(({ path }) => path.definition === definition);
      return sessions.reduce((sum, { hand }) => sum + hand.length, 0);
    });
  };
  assert.deepEqual(run(100), [8]);
  assert.deepEqual(run(4).sort(), [4, 4]);
});
