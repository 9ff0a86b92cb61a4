/** A message's life, seen from the ports: accepted, ready, delivered, retried, expired, removed. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { SessionId, ShardIndex } from "../../src/base/brands.js";
import { CloseReason, OutcomeFlag, OutcomeKind, SessionChange } from "../../src/protocol/layout/frames.js";
import { totals } from "../../src/scheduler/snapshot.js";
import { Harness, hosts } from "./harness.js";

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

test("accepted, delivered, removed by its owner", () => {
  const world = new Harness();
  const [key] = world.accept("a.example");
  world.turns();
  assert.equal(world.port.defined[0]?.name, "unspecified->mx.a.example@smtp_client");
  assert.equal(world.port.opened.length, 1);
  const [delivery] = world.port.deliveries;
  assert.deepEqual([delivery.key, delivery.attempts, delivery.session], [key, 0, world.port.opened[0].session]);
  assert.equal(world.scheduler.inFlight, 1);
  world.answer(delivery);
  world.turns();
  assert.equal(world.scheduler.messages, 0);
  assert.deepEqual(world.port.retired, [], "nobody tells it to remove what it removes by itself");
});

test("delivered by another worker: the owner is told to remove, and its confirmation ends the life", () => {
  const world = new Harness(2);
  world.accept("a.example", 40, { shard: 0 });
  world.turns();
  // Shard 0 is at home on worker 0, so its sessions are there; now that worker dies and the other one takes the work.
  world.scheduler.workerLost(world.ports[0].index);
  world.ports[0].deliveries = [];
  world.turns();
  const [delivery] = world.ports[1].deliveries;
  world.answer(delivery, OutcomeKind.delivered, 0);
  world.turns();
  assert.equal(totals(world.scheduler.core).retiring, 1, "the owner is down: the removal is owed");
  world.scheduler.workerRestored(world.ports[0].index, world.ports[0]);
  world.turns();
  assert.deepEqual(
    world.ports[0].retired.map(({ key }) => key),
    [delivery.key],
  );
  world.ports[0].send((sink) => sink.retired(world.ports[0].index, delivery.row));
  world.turns();
  assert.equal(totals(world.scheduler.core).retiring, 0);
});

test("a removal that was told and not confirmed when its worker died is told again", () => {
  const world = new Harness();
  world.accept("a.example");
  world.turns();
  const [delivery] = world.port.deliveries;
  world.answer(delivery, OutcomeKind.delivered, 0);
  world.turns();
  assert.equal(world.port.retired.length, 1);
  world.scheduler.workerLost(world.port.index);
  world.scheduler.workerRestored(world.port.index, world.port);
  world.turns();
  assert.equal(world.port.retired.length, 2);
});

test("a failed attempt is counted, stored, and not repeated before its time", () => {
  const world = new Harness();
  const [key] = world.accept("a.example");
  world.turns();
  world.answer(world.port.deliveries[0], OutcomeKind.transient);
  world.turns();
  const [stored] = world.port.rescheduled;
  assert.equal(stored.key, key);
  assert.equal(stored.attempts, 1);
  const delayMs = stored.dueMs - world.clock.steadyMs();
  assert.ok(Math.abs(delayMs - 20 * MINUTE_MS) <= 30_000);
  world.after(delayMs - 11);
  assert.equal(world.port.deliveries.length, 0);
  world.clock.step(30 * DAY_MS);
  world.turns();
  assert.equal(world.port.deliveries.length, 0, "the wall clock may step");
  world.after(21);
  assert.equal(world.port.deliveries[0]?.attempts, 1);
});

test("back-off survives a restart: attempts and due time come with the message", () => {
  const world = new Harness();
  const dueMs = world.clock.steadyMs() + 3 * MINUTE_MS;
  world.accept("a.example", 1, { attempts: 3, dueMs });
  world.turns();
  assert.equal(world.port.deliveries.length, 0);
  world.after(3 * MINUTE_MS + 10);
  world.answer(world.port.deliveries[0], OutcomeKind.transient);
  world.turns();
  const [stored] = world.port.rescheduled;
  assert.equal(stored.attempts, 4);
  assert.ok(Math.abs(stored.dueMs - world.clock.steadyMs() - 160 * MINUTE_MS) <= 30_000, "20 min × 2³");
});

test("a clock that was set back before a restart holds nothing up: no stored time is later than the back-off", () => {
  const world = new Harness();
  // The second retry comes after 40 minutes, give or take half a minute; what is stored lies days ahead.
  world.accept("a.example", 1, { attempts: 2, dueMs: world.clock.steadyMs() + 10 * DAY_MS });
  world.turns();
  world.after(39 * MINUTE_MS);
  assert.equal(world.port.deliveries.length, 0);
  world.after(2 * MINUTE_MS);
  assert.equal(world.port.deliveries.length, 1);
});

test("a new due time that the owner cannot be told is told when it can", () => {
  const world = new Harness();
  world.accept("a.example", 2);
  world.turns();
  world.answer(world.port.deliveries[0], OutcomeKind.transient);
  world.port.freeRoom = 0;
  world.turns();
  assert.equal(world.port.rescheduled.length, 0);
  world.port.freeRoom = 100;
  world.after(10);
  assert.equal(world.port.rescheduled.length, 1);
});

test("a message whose next attempt would be too late expires at once", () => {
  const world = new Harness();
  world.queues.set("a.example", { maxAgeMs: 10 * MINUTE_MS });
  world.accept("a.example");
  world.turns();
  const [delivery] = world.port.deliveries;
  world.answer(delivery, OutcomeKind.transient);
  world.turns();
  const [order] = world.port.disposed;
  assert.deepEqual([order.record, order.response.code, order.response.enhanced], ["Expiration", 551, [5, 4, 7]]);
  assert.match(order.response.content, /^no attempt is left: by the next one/, "it is not too old yet");
  assert.equal(order.attempts, 1);
  world.port.send((sink) => sink.retired(world.port.index, delivery.row));
  world.turns();
  assert.equal(world.scheduler.messages, 0);
});

test("what has expired while its owner's ring was full is not tried again", () => {
  const world = new Harness();
  world.queues.set("a.example", { maxAgeMs: 10 * MINUTE_MS });
  world.accept("a.example");
  world.turns();
  world.answer(world.port.deliveries[0], OutcomeKind.transient);
  world.port.freeRoom = 0;
  world.turns();
  world.port.freeRoom = 100;
  world.after(MINUTE_MS + 10);
  assert.deepEqual(
    world.port.disposed.map((order) => order.record),
    ["Expiration"],
  );
  assert.equal(world.port.deliveries.length, 0);
});

test("the turn asks to be called again when the next message is due", () => {
  const world = new Harness();
  world.accept("a.example", 1, { dueMs: world.clock.steadyMs() + 300 });
  const wait = world.turns();
  assert.ok(wait > 290 && wait <= 300, `${wait} ms`);
  world.after(wait);
  assert.equal(world.port.deliveries.length, 1);
});

test("expiry reaches what is stuck in a ready queue, and what waits", () => {
  const world = new Harness();
  world.queues.set("a.example", { maxAgeMs: 10 * MINUTE_MS });
  world.paths.set("mx.a.example", { connectionLimit: 1 });
  world.accept("a.example", 5);
  world.accept("a.example", 1, { dueMs: world.clock.steadyMs() + DAY_MS });
  world.turns();
  assert.deepEqual(totals(world.scheduler.core).ready, 4);
  world.after(11 * MINUTE_MS);
  world.after(1000);
  assert.equal(world.port.disposed.length, 5, "all but the one that a session has in hand");
  assert.ok(world.port.disposed.every((order) => order.record === "Expiration"));
  assert.ok(world.port.disposed.every((order) => /^the message is too old/.test(order.response.content)));
});

test("null MX bounces with 556 5.1.10, a domain that does not exist with 550 5.1.2, both at once", () => {
  const world = new Harness();
  world.routes.set("null-mx.example", { kind: "null-mx", ttlMs: 1000 });
  world.routes.set("nowhere.example", { kind: "no-such-domain", ttlMs: 1000 });
  world.accept("null-mx.example");
  world.accept("nowhere.example");
  world.turns();
  assert.deepEqual(
    world.port.disposed.map((order) => [order.record, order.response.code, order.response.enhanced?.join(".")]),
    [
      ["Bounce", 556, "5.1.10"],
      ["Bounce", 550, "5.1.2"],
    ],
  );
  assert.equal(world.port.opened.length, 0);
});

test("a route that cannot be found costs an attempt, and is asked for again when its time is over", () => {
  const world = new Harness();
  world.queues.set("a.example", { retryIntervalMs: MINUTE_MS });
  world.routes.set("a.example", { kind: "failed", reason: "SERVFAIL", ttlMs: 30_000 });
  world.accept("a.example", 3);
  world.turns();
  assert.deepEqual(
    world.port.disposed.map((order) => [order.record, order.response.code, order.attempts]),
    [
      ["TransientFailure", 451, 1],
      ["TransientFailure", 451, 1],
      ["TransientFailure", 451, 1],
    ],
  );
  assert.match(world.port.disposed[0].response.content, /SERVFAIL/);
  assert.ok(world.port.disposed[0].dueMs > world.clock.steadyMs());
  world.accept("a.example");
  world.turns();
  assert.equal(world.questions, 1, "the failure is remembered");
  world.routes.delete("a.example");
  world.after(2 * MINUTE_MS);
  assert.equal(world.questions, 2);
  assert.ok(world.port.deliveries.length > 0);
});

test("the null queue and the null protocol discard, with a record", () => {
  const world = new Harness();
  world.queues.set("b.example", { protocol: { kind: "null" } });
  world.accept("null");
  world.accept("b.example");
  world.turns();
  assert.deepEqual(
    world.port.disposed.map((order) => [order.record, order.response.code]),
    [
      ["Delivery", 250],
      ["Delivery", 250],
    ],
  );
});

test("a pool without sources fails for now", () => {
  const world = new Harness();
  world.pools.set("none", [{ name: "x", weight: 0 }]);
  world.queues.set("a.example", { egressPool: "none" });
  world.accept("a.example");
  world.turns();
  assert.deepEqual([world.port.disposed[0].record, world.port.disposed[0].response.code], ["TransientFailure", 451]);
});

test("a decision waits while the owner is down, and is made when it is back", () => {
  const world = new Harness();
  world.routes.set("a.example", { kind: "null-mx", ttlMs: DAY_MS });
  world.accept("a.example");
  world.port.drain(world.scheduler, 10);
  world.scheduler.workerLost(world.port.index);
  world.turns();
  assert.equal(totals(world.scheduler.core).waiting, 1);
  world.scheduler.workerRestored(world.port.index, world.port);
  world.after(MINUTE_MS + 10);
  assert.equal(world.port.disposed[0]?.record, "Bounce");
});

test("a decision that was told and not confirmed when its worker died is made anew", () => {
  const world = new Harness();
  world.routes.set("a.example", { kind: "null-mx", ttlMs: DAY_MS });
  world.accept("a.example");
  world.turns();
  world.scheduler.workerLost(world.port.index);
  world.scheduler.workerRestored(world.port.index, world.port);
  world.turns();
  assert.deepEqual(
    world.port.disposed.map((order) => order.record),
    ["Bounce", "Bounce"],
  );
  assert.deepEqual(world.port.retired, [], "never removed before its record is known to be written");
});

test("a due time that a dead worker may not have stored is told to its successor", () => {
  const world = new Harness();
  const [key] = world.accept("a.example");
  world.turns();
  world.answer(world.port.deliveries[0], OutcomeKind.transient);
  world.turns();
  const [told] = world.port.rescheduled.splice(0);
  world.scheduler.workerLost(world.port.index);
  world.scheduler.workerRestored(world.port.index, world.port);
  world.turns();
  assert.deepEqual(world.port.rescheduled, [{ key, attempts: 1, dueMs: told.dueMs }]);
});

test("what cannot be read is gone from the spool and from the table", () => {
  const world = new Harness();
  world.accept("a.example");
  world.turns();
  world.answer(world.port.deliveries[0], OutcomeKind.quarantined);
  world.turns();
  assert.equal(world.scheduler.messages, 0);
});

test("a message that comes back untried goes to the front, at no attempt's cost, and its session is closed", () => {
  const world = new Harness();
  world.paths.set("mx.a.example", { connectionLimit: 1 });
  const keys = world.accept("a.example", 3);
  world.turns();
  world.answer(world.port.deliveries[0], OutcomeKind.returned, OutcomeFlag.sessionEnded);
  world.turns();
  assert.equal(world.port.rescheduled.length, 0);
  world.answer(world.port.deliveries[0], OutcomeKind.returned);
  world.turns();
  assert.equal(world.port.closed.length, 1, "a session that hands back gets no more");
  world.confirmClosed();
  assert.deepEqual(new Set(world.deliverAll()), new Set(keys));
});

test("sessions that end without trying anything make the path rest, twice as long each time", () => {
  const world = new Harness();
  world.paths.set("mx.a.example", { connectionLimit: 1 });
  world.accept("a.example");
  world.turns();
  const endAll = (): number => {
    for (const { session } of world.port.deliveries.splice(0)) world.tell(world.port, session, SessionChange.ended);
    return world.turns();
  };
  endAll();
  endAll();
  assert.equal(endAll(), 100, "the third time it waits");
  assert.equal(world.port.deliveries.length, 0);
  world.after(100);
  assert.equal(endAll(), 200);
  world.after(200);
  assert.equal(world.port.deliveries.length, 1, "and goes on");
});

test("a frame that crosses with the end of its session changes nothing", () => {
  const world = new Harness();
  world.accept("a.example");
  world.turns();
  const [delivery] = world.port.deliveries;
  world.tell(world.port, delivery.session, SessionChange.ended);
  world.turns();
  world.answer(delivery, OutcomeKind.returned);
  world.turns();
  assert.equal(world.port.deliveries.length, 1, "in the hands of a new session");
  assert.notEqual(world.port.deliveries[0].session, delivery.session);
  assert.equal(world.scheduler.core.counters.stray, 1);
});

test("messages in the hands of a lost worker go back, and others deliver them", () => {
  const world = new Harness(2);
  const keys = world.accept("a.example", 3, { shard: 0 });
  world.turns();
  world.scheduler.workerLost(world.ports[0].index);
  world.ports[0].deliveries = [];
  world.turns();
  assert.equal(world.ports[1].deliveries.length, 0, "not before the log was asked");
  assert.equal(world.scheduler.inFlight, 0, "and nobody who stops waits for them");
  world.scheduler.lostInformed(world.ports[0].index, { has: () => false });
  const again = world.deliverAll();
  assert.deepEqual(new Set(again), new Set(keys));
  assert.equal(world.scheduler.core.counters.dropped > 0, true);
});

test("a message whose end a dead worker wrote and did not report is removed, not delivered again", () => {
  const world = new Harness(2);
  const [key] = world.accept("a.example", 1, { shard: 0 });
  world.turns();
  assert.equal(world.ports[0].deliveries.length, 1);
  world.scheduler.workerLost(world.ports[0].index);
  world.scheduler.lostInformed(world.ports[0].index, { has: (shard, of) => shard === 0 && of === key });
  world.turns();
  assert.equal(world.ports[1].deliveries.length, 0);
  world.scheduler.workerRestored(world.ports[0].index, world.ports[0]);
  world.turns();
  assert.deepEqual(
    world.ports[0].retired.map((order) => order.key),
    [key],
  );
  assert.equal(world.scheduler.core.counters.foundSettled, 1);
});

test("a decision whose record a dead worker wrote is not made anew", () => {
  const world = new Harness();
  world.routes.set("a.example", { kind: "null-mx", ttlMs: DAY_MS });
  const [key] = world.accept("a.example");
  world.turns();
  world.scheduler.workerLost(world.port.index);
  world.scheduler.lostInformed(world.port.index, { has: (_shard, of) => of === key });
  world.scheduler.workerRestored(world.port.index, world.port);
  world.turns();
  assert.equal(world.port.disposed.length, 1);
  assert.equal(world.port.retired.length, 1);
});

test("a decision whose record was reported is a removal like any other", () => {
  const world = new Harness();
  world.routes.set("a.example", { kind: "null-mx", ttlMs: DAY_MS });
  world.accept("a.example");
  world.turns();
  const { row } = world.port.disposed[0];
  world.port.send((sink) => sink.outcome(world.port.index, row, 0 as SessionId, OutcomeKind.disposed, 0, 0));
  world.turns();
  world.scheduler.workerLost(world.port.index);
  world.scheduler.workerRestored(world.port.index, world.port);
  world.turns();
  assert.equal(world.port.disposed.length, 1);
  assert.equal(world.port.retired.length, 1);
});

test("stop: nothing is handed out, free sessions are closed, what is in hand ends", () => {
  const world = new Harness();
  world.paths.set("mx.a.example", { connectionLimit: 2 });
  world.accept("a.example", 10);
  world.accept("b.example", 1);
  world.turns();
  const b = world.port.deliveries.find((delivery) => delivery.key === world.port.deliveries.at(-1)?.key);
  assert.ok(b);
  world.answer(b);
  world.turns();
  world.scheduler.stop();
  world.turns();
  assert.deepEqual(
    world.port.closed.map(({ reason }) => reason),
    [CloseReason.shutdown],
  );
  for (const delivery of [...world.port.deliveries]) world.answer(delivery);
  world.turns();
  world.confirmClosed();
  world.turns();
  assert.equal(world.scheduler.inFlight, 0);
  assert.equal(world.port.deliveries.length, 0);
  assert.equal(world.scheduler.sessions, 0);
  assert.ok(world.scheduler.messages > 0, "the rest stays in the spool");
});

test("a domain that moves to another site takes its ready messages along", () => {
  const world = new Harness();
  world.routes.set("a.example", hosts("old", "old", 5000));
  world.paths.set("old", { connectionLimit: 1, maxReady: 5 });
  world.accept("a.example", 20);
  world.turns();
  world.routes.set("a.example", hosts("new"));
  world.clock.advance(6000);
  world.answer(world.port.deliveries[0]);
  world.turns();
  const sites = world.scheduler.core.queues.find("a.example")?.lanes.map((lane) => lane?.path.definition.site);
  assert.deepEqual(sites, ["new"]);
  assert.equal(world.scheduler.core.paths.find("unspecified->old@smtp_client")?.ready.length, 0);
  assert.ok(world.port.defined.some((path) => path.site === "new"));
  world.deliverAll();
  assert.equal(world.scheduler.messages, 0);
});

test("two host sets whose sites print alike stay apart, and are told apart", () => {
  const world = new Harness();
  world.routes.set("a.example", hosts("(a|b).mx", "a.mx b.mx"));
  world.routes.set("b.example", hosts("(a|b).mx", "b.mx a.mx"));
  world.accept("a.example");
  world.accept("b.example");
  world.turns();
  assert.deepEqual(
    world.port.defined.map((path) => path.name),
    ["unspecified->(a|b).mx@smtp_client", "unspecified->(a|b).mx#2@smtp_client"],
  );
  assert.notEqual(world.port.defined[0].id, world.port.defined[1].id);
});

test("queues and paths are forgotten when they have been empty and idle, and come back when needed", () => {
  const world = new Harness();
  world.queues.set("a.example", { reapIntervalMs: MINUTE_MS });
  world.accept("a.example");
  world.deliverAll();
  world.after(6000);
  world.confirmClosed();
  world.turns();
  assert.equal(world.scheduler.core.queues.size, 1);
  world.after(MINUTE_MS);
  assert.equal(world.scheduler.core.queues.size, 0);
  assert.equal(world.scheduler.core.paths.size, 1);
  world.after(11 * MINUTE_MS);
  assert.equal(world.scheduler.core.paths.size, 0);
  assert.equal(world.port.forgotten.length, 1);
  assert.equal(world.turns(), Number.POSITIVE_INFINITY, "nothing to wait for");
  world.accept("a.example");
  assert.equal(world.deliverAll().length, 1);
  assert.equal(world.port.defined.length, 2);
});

test("each queue is forgotten after its own reap interval, also when one with a longer one was empty before it", () => {
  const world = new Harness();
  world.queues.set("long.example", { reapIntervalMs: 10 * MINUTE_MS });
  world.queues.set("short.example", { reapIntervalMs: MINUTE_MS });
  const { queues } = world.scheduler.core;
  for (const name of ["long.example", "short.example"]) {
    world.accept(name);
    world.deliverAll();
    world.after(1000);
  }
  world.after(MINUTE_MS);
  assert.deepEqual(
    [...queues.all()].map((queue) => queue.name),
    ["long.example"],
  );
  world.accept("long.example");
  world.after(8 * MINUTE_MS);
  world.deliverAll();
  world.after(8 * MINUTE_MS);
  assert.equal(queues.size, 1, "the interval counts from the last message");
  world.after(3 * MINUTE_MS);
  assert.equal(queues.size, 0);
});

test("a flood of queue names does not grow the books without end", () => {
  const world = new Harness();
  for (let batch = 0; batch < 8; batch++) {
    for (let at = 0; at < 3000; at++) {
      const name = `d${batch}-${at}.example`;
      world.routes.set(name, { kind: "null-mx", ttlMs: 1000 });
      world.accept(name);
    }
    for (let wait = 0; wait === 0; ) wait = world.scheduler.turn();
    for (const { row } of world.port.disposed.splice(0)) world.port.send((sink) => sink.retired(world.port.index, row));
    for (let wait = 0; wait === 0; ) wait = world.scheduler.turn();
  }
  assert.equal(world.scheduler.messages, 0);
  assert.equal(world.scheduler.core.queues.size, 20_000);
});

test("a full table is counted, not fatal", () => {
  const world = new Harness();
  const { table } = world.scheduler.core;
  const capacity = table.capacity;
  world.port.send((sink) => sink.queueNamed(world.port.index, 1 as never, "a.example"));
  world.port.drain(world.scheduler, 10);
  for (let at = 0; at < capacity + 3; at++) {
    world.scheduler.accepted(world.port.index, 0 as ShardIndex, (5e15 + at) as never, 1 as never, 1, 0, 4e12, 0);
  }
  assert.equal(world.scheduler.messages, capacity);
  assert.equal(world.scheduler.core.counters.unlisted, 3);
});
