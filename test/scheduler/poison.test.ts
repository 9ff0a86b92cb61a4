/** Messages that workers died of: never handed out again, set aside by their owner, their rows freed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { OutcomeFlag, OutcomeKind } from "../../src/protocol/layout/frames.js";
import { totals } from "../../src/scheduler/snapshot.js";
import { Harness, hosts } from "./harness.js";

const NOTHING = { has: () => false };
const DAY_MS = 86_400_000;

/** The worker dies with everything that it was told, and its successor is ready. */
function replace(world: Harness, worker: number, settled = NOTHING): void {
  const port = world.ports[worker];
  port.drain(world.scheduler, 1000);
  port.deliveries = [];
  world.scheduler.workerLost(port.index);
  world.scheduler.lostInformed(port.index, settled);
  world.turns();
  world.scheduler.workerRestored(port.index, port);
  world.turns();
}

/** The owner confirms all that it was told to set aside. */
function confirm(world: Harness): void {
  for (const port of world.ports) {
    for (const { row } of port.aside.splice(0)) port.send((sink) => sink.retired(port.index, row));
  }
  world.turns();
}

test("a message in dead hands that killed twice goes to quarantine, the others go on", () => {
  const world = new Harness();
  const keys = world.accept("a.example", 3);
  world.turns();
  world.sentence(keys[0]);
  replace(world, 0);
  assert.deepEqual(
    world.port.aside.map(({ key, reason, depth }) => ({ key, reason, depth })),
    [{ key: keys[0], reason: "it kills", depth: "envelope" }],
  );
  assert.equal(world.scheduler.core.counters.quarantined, 1);
  assert.deepEqual(new Set(world.deliverAll()), new Set(keys.slice(1)));
  assert.equal(world.scheduler.messages, 1, "its row is kept until its owner has confirmed");
  confirm(world);
  assert.equal(world.scheduler.messages, 0);
  assert.ok(world.heard.includes(`gone ${keys[0]}`));
});

test("it is set aside by its owner, not by the worker that died of it", () => {
  const world = new Harness(2);
  const [key] = world.accept("a.example", 1, { shard: 1 });
  world.ports[1].drain(world.scheduler, 10);
  world.scheduler.workerLost(world.ports[1].index);
  world.turns();
  assert.equal(world.ports[0].deliveries[0]?.key, key);
  world.sentence(key);
  replace(world, 0);
  assert.deepEqual([world.ports[0].aside, world.ports[1].aside], [[], []], "while its owner is down it waits");
  assert.equal(totals(world.scheduler.core).retiring, 1);
  world.scheduler.lostInformed(world.ports[1].index, NOTHING);
  world.scheduler.workerRestored(world.ports[1].index, world.ports[1]);
  world.turns();
  assert.equal(world.ports[1].aside[0]?.key, key);
  assert.deepEqual(world.ports[0].deliveries, []);
});

test("one that killed while it was decided about is found among its owner's rows, in whatever state", () => {
  const world = new Harness();
  world.routes.set("null.example", { kind: "null-mx", ttlMs: DAY_MS });
  const [decided] = world.accept("null.example");
  const [waiting] = world.accept("later.example", 1, { dueMs: world.clock.steadyMs() + DAY_MS });
  world.turns();
  assert.equal(world.port.disposed.length, 1);
  world.sentence(decided);
  world.sentence(waiting);
  replace(world, 0);
  assert.deepEqual(new Set(world.port.aside.map(({ key }) => key)), new Set([decided, waiting]));
  assert.equal(world.port.disposed.length, 1, "the decision is not made anew");
  confirm(world);
  assert.equal(world.scheduler.messages, 0);
});

test("one that another worker has in hand meanwhile is set aside when it comes back", () => {
  for (const kind of [OutcomeKind.transient, OutcomeKind.returned]) {
    const world = new Harness();
    const [key] = world.accept("a.example");
    world.turns();
    world.sentence(key);
    world.answer(world.port.deliveries[0], kind);
    world.turns();
    assert.equal(world.port.aside[0]?.key, key);
    assert.deepEqual([world.port.deliveries, world.port.rescheduled], [[], []]);
  }
});

test("told and not confirmed, it is told again, unless the log has its record: then it merely goes", () => {
  const world = new Harness();
  const [key] = world.accept("a.example");
  world.turns();
  world.sentence(key);
  replace(world, 0);
  assert.equal(world.port.aside.splice(0).length, 1);
  replace(world, 0);
  assert.equal(world.port.aside.splice(0).length, 1);
  replace(world, 0, { has: (_shard: number, settled: number) => settled === key } as typeof NOTHING);
  assert.equal(world.port.aside.length, 0);
  assert.deepEqual(
    world.port.retired.map((order) => order.key),
    [key],
  );
});

test("a ring without room delays it; nothing is lost", () => {
  const world = new Harness();
  const [key] = world.accept("a.example");
  world.turns();
  world.sentence(key);
  world.port.freeRoom = 0;
  replace(world, 0);
  assert.equal(world.port.aside.length, 0);
  world.port.freeRoom = 1000;
  world.after(10);
  assert.equal(world.port.aside[0]?.key, key);
});

test("a sentence that was forgotten for too many others, before its owner could be told, is carried out all the same", () => {
  const world = new Harness();
  const [key] = world.accept("a.example");
  world.turns();
  world.sentence(key);
  world.port.freeRoom = 0;
  replace(world, 0);
  world.sentenced.clear();
  world.port.freeRoom = 1000;
  world.after(10);
  const [order] = world.port.aside;
  assert.deepEqual(
    [order?.key, order?.reason, order?.depth, order?.recorded],
    [key, "workers died with it in hand", "header", false],
    "and nothing is read of it that it may kill with",
  );
  assert.deepEqual(world.port.deliveries, []);
});

test("an attempt that came to its end speaks for the message, one that reached nobody does not", () => {
  const world = new Harness();
  const [key] = world.accept("a.example");
  const other = { shard: 0, key: 1, reason: "", depth: "bytes" } as never;
  world.sentenced.set(1 as never, other);
  world.turns();
  world.answer(world.port.deliveries[0], OutcomeKind.transient, OutcomeFlag.connectFailed);
  world.turns();
  assert.deepEqual(world.heard, []);
  world.after(DAY_MS / 2);
  world.answer(world.port.deliveries[0], OutcomeKind.transient, 0);
  world.turns();
  assert.deepEqual(world.heard, [`survived ${key}`]);
});

test("an expiry that died with its worker is decided again, although the message would not be too old for another try", () => {
  const world = new Harness();
  world.queues.set("a.example", { maxAgeMs: 1000, retryIntervalMs: 60_000 });
  const [key] = world.accept("a.example");
  world.turns();
  world.answer(world.port.deliveries[0], OutcomeKind.transient);
  world.turns();
  replace(world, 0);
  assert.deepEqual(
    world.port.disposed.map((order) => [order.record, order.key]),
    [
      ["Expiration", key],
      ["Expiration", key],
    ],
  );
  assert.deepEqual(world.port.deliveries, []);
});

test("a shared limit is not kept for a path whose only message was sentenced while it waited for it", () => {
  const world = new Harness();
  for (const name of ["a", "b", "c"]) {
    world.routes.set(`${name}.example`, hosts(name));
    world.paths.set(name, { additionalConnectionLimits: { all: 1 }, maxDeliveriesPerConnection: 1 });
  }
  const [first] = world.accept("a.example");
  world.turns();
  const [sentenced] = world.accept("b.example");
  world.turns();
  const [last] = world.accept("c.example");
  world.turns();
  assert.equal(totals(world.scheduler.core).ready, 2);
  world.sentence(sentenced);
  assert.deepEqual(world.deliverAll(), [first]);
  world.confirmClosed();
  assert.deepEqual(world.deliverAll(), [last]);
  assert.equal(world.port.aside[0]?.key, sentenced);
  world.confirmClosed();
  world.turns();
  assert.equal(world.scheduler.core.leases.total, 0);
});
