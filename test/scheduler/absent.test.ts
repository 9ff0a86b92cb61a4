/** A session of another worker cannot see a message: its owner is asked, and says what becomes of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Row, SessionId } from "../../src/base/brands.js";
import { OutcomeFlag, OutcomeKind } from "../../src/protocol/layout/frames.js";
import { totals } from "../../src/scheduler/snapshot.js";
import { Harness, type RecordingPort } from "./harness.js";

const NOBODY = 0 as SessionId;

/** A message that was handed out and not seen; the owner has the question. */
function asked(): { world: Harness; port: RecordingPort; row: Row } {
  const world = new Harness();
  world.accept("a.example");
  world.turns();
  world.answer(world.port.deliveries[0], OutcomeKind.absent, 0);
  world.turns();
  const [order] = world.port.disposed;
  assert.deepEqual([order.record, order.ifMissing, order.attempts], ["AdminBounce", true, 0]);
  assert.equal(totals(world.scheduler.core).retiring, 1, "nobody else may have it meanwhile");
  return { world, port: world.port, row: order.row };
}

test("one that exists comes back to the front, at no attempt's cost", () => {
  const { world, port, row } = asked();
  port.send((sink) => sink.outcome(port.index, row, NOBODY, OutcomeKind.returned, 0, 0));
  world.turns();
  assert.equal(port.deliveries[0]?.attempts, 0);
  assert.equal(world.deliverAll().length, 1);
  assert.equal(world.scheduler.messages, 0);
  assert.equal(world.scheduler.core.counters.delivered, 1);
});

test("one that is lost is freed once its record is written and its entry known to be gone", () => {
  const { world, port, row } = asked();
  port.send((sink) => sink.outcome(port.index, row, NOBODY, OutcomeKind.disposed, 0, 0));
  port.send((sink) => sink.retired(port.index, row));
  world.turns();
  assert.equal(world.scheduler.messages, 0);
  assert.equal(world.scheduler.core.counters.absent, 1);
});

test("what the owner cannot find out now is put off, not asked again at once", () => {
  const { world, port, row } = asked();
  port.send((sink) => sink.outcome(port.index, row, NOBODY, OutcomeKind.returned, OutcomeFlag.later, 0));
  world.turns();
  assert.equal(port.deliveries.length, 0);
  assert.equal(totals(world.scheduler.core).waiting, 1);
  world.after(61_000);
  assert.equal(port.deliveries.length, 1);
});

test("while the owner is down, or its ring is full, it is put off", () => {
  for (const full of [true, false]) {
    const world = new Harness(2);
    world.accept("a.example", 1, { shard: 0 });
    world.turns();
    const [delivery] = world.ports[0].deliveries;
    if (full) world.ports[0].freeRoom = 0;
    else {
      world.scheduler.workerLost(world.ports[0].index);
      world.scheduler.lostInformed(world.ports[0].index, { has: () => false });
      world.ports[0].deliveries = [];
      world.turns();
    }
    world.answer(full ? delivery : world.ports[1].deliveries[0], OutcomeKind.absent, 0);
    world.scheduler.turn();
    assert.deepEqual([world.ports[0].disposed.length, totals(world.scheduler.core).waiting], [0, 1]);
  }
});

test("an owner that dies over the question is asked anew in the next delivery; a late answer changes nothing", () => {
  const { world, port, row } = asked();
  world.scheduler.workerLost(port.index);
  world.scheduler.workerRestored(port.index, port);
  world.turns();
  assert.equal(port.deliveries.length, 1, "it is due again");
  port.send((sink) => sink.outcome(port.index, row, NOBODY, OutcomeKind.returned, 0, 0));
  world.turns();
  assert.equal(world.scheduler.core.counters.stray, 1);
  world.answer(port.deliveries[0]);
  world.turns();
  assert.equal(world.scheduler.messages, 0);
});
