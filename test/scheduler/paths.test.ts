/** Ready queues, sessions and the choice between them: fairness, affinity, parking, the opening curve, failures. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CloseReason,
  FailureClass,
  failureBits,
  OutcomeFlag,
  OutcomeKind,
  SessionChange,
} from "../../src/protocol/layout/frames.js";
import { pathSnapshots, queueSnapshots, totals } from "../../src/scheduler/snapshot.js";
import { Harness, hosts } from "./harness.js";

/** All domains lead to one site. */
function oneSite(world: Harness, ...domains: string[]): void {
  for (const domain of domains) world.routes.set(domain, hosts("site"));
}

test("sessions are opened along the curve, up to the limit", () => {
  for (const [messages, limit, expected] of [
    [1, 32, 1],
    [5, 32, 4],
    [20, 32, 12],
    [64, 32, 25],
    [256, 32, 32],
    [256, 3, 3],
    [50, 1024, 50],
  ] as const) {
    const world = new Harness();
    world.paths.set("site", { connectionLimit: limit });
    oneSite(world, "a.example");
    world.accept("a.example", messages);
    world.scheduler.turn(); // Admits and asks for the route.
    world.scheduler.turn();
    assert.equal(world.port.opened.length, expected, `${messages} messages, limit ${limit}`);
  }
});

test("a session takes one message after the other; a free one is used before another is opened", () => {
  const world = new Harness();
  world.accept("a.example", 2);
  world.deliverAll();
  assert.equal(world.port.opened.length, 2);
  world.accept("a.example", 2);
  world.deliverAll();
  assert.equal(world.port.opened.length, 2);
  assert.equal(pathSnapshots(world.scheduler.core, 10)[0].freeSessions, 2);
});

test("a free session is closed after idle_timeout, and after its number of deliveries", () => {
  const world = new Harness();
  world.paths.set("site", { idleTimeoutMs: 3000, maxDeliveriesPerConnection: 2, connectionLimit: 1 });
  oneSite(world, "a.example");
  world.accept("a.example", 1);
  world.deliverAll();
  assert.equal(world.after(2990), 10);
  assert.deepEqual(world.port.closed, []);
  world.after(10);
  assert.deepEqual(
    world.port.closed.map(({ reason }) => reason),
    [CloseReason.idle],
  );
  world.confirmClosed();
  world.accept("a.example", 3);
  world.turns();
  for (let answered = 0; answered < 2; answered++) {
    world.answer(world.port.deliveries[0]);
    world.turns();
  }
  assert.deepEqual(
    world.port.closed.map(({ reason }) => reason),
    [CloseReason.maxDeliveries],
  );
  assert.equal(world.port.deliveries.length, 0, "a closing session counts towards the limit");
  world.confirmClosed();
  world.turns();
  assert.equal(world.port.deliveries.length, 1);
});

test("a huge campaign does not hold up a small queue on the same path", () => {
  const world = new Harness();
  world.paths.set("site", { connectionLimit: 4 });
  oneSite(world, "bulk.example", "reset.example");
  world.accept("bulk.example", 100_000);
  for (let turn = 0; turn < 60; turn++) world.scheduler.turn();
  const small = new Set(world.accept("reset.example", 3));
  let before = 0;
  for (let handed = 0; small.size > 0; handed++) {
    assert.ok(handed < 100, "after a few messages of the other, not after thousands");
    for (const delivery of [...world.port.deliveries]) {
      if (!small.delete(delivery.key)) before++;
      world.answer(delivery);
    }
    world.scheduler.turn();
    world.scheduler.turn();
  }
  assert.ok(before < 40, `${before} messages of the campaign went first`);
});

test("a queue that was woken in vain has the room first the next time", () => {
  const world = new Harness();
  world.paths.set("site", { connectionLimit: 4, maxReady: 16 });
  oneSite(world, "bulk.example", "reset.example");
  world.accept("bulk.example", 5000);
  world.turns();
  const small = new Set(world.accept("reset.example", 3));
  world.turns();
  assert.equal(world.scheduler.core.queues.find("reset.example")?.hold, "parked", "behind the campaign");
  let before = 0;
  for (let rounds = 0; small.size > 0; rounds++) {
    assert.ok(rounds < 30, "the campaign does not take all of the room each time");
    for (const delivery of [...world.port.deliveries]) {
      if (!small.delete(delivery.key)) before++;
      world.answer(delivery);
    }
    world.turns();
  }
  assert.ok(before < 60, `${before} messages of the campaign went first`);
});

test("queues of one path share it by their weights, and large messages count for more", () => {
  const world = new Harness();
  world.paths.set("site", { connectionLimit: 1, maxReady: 1000 });
  world.queues.set("heavy.example", { weight: 3 });
  oneSite(world, "heavy.example", "light.example", "large.example");
  const names = new Map<number, string>();
  for (const name of ["heavy.example", "light.example", "large.example"]) {
    for (const key of world.accept(name, 200, { size: name === "large.example" ? 200_000 : 1000 }))
      names.set(key, name);
  }
  world.turns();
  const served = new Map<string, number>();
  for (let sent = 0; sent < 210; sent++) {
    const [delivery] = world.port.deliveries;
    const name = names.get(delivery.key) as string;
    served.set(name, (served.get(name) ?? 0) + 1);
    world.answer(delivery);
    world.scheduler.turn();
  }
  const share = (name: string): number => (served.get(`${name}.example`) ?? 0) / 210;
  // Keys rise within a millisecond, so names are unambiguous. Costs: 1, 1 and 4; weights 3, 1 and 1.
  assert.ok(Math.abs(share("heavy") - 12 / 17) < 0.03, `heavy ${share("heavy")}`);
  assert.ok(Math.abs(share("light") - 4 / 17) < 0.03, `light ${share("light")}`);
  assert.ok(Math.abs(share("large") - 1 / 17) < 0.03, `large ${share("large")}`);
});

test("priority goes first on a contested path, also among those that are parked", () => {
  const world = new Harness();
  world.paths.set("site", { connectionLimit: 1, maxReady: 10 });
  world.queues.set("urgent.example", { priority: 10 });
  oneSite(world, "bulk.example", "urgent.example");
  world.accept("bulk.example", 500);
  world.turns();
  const urgent = new Set(world.accept("urgent.example", 100));
  world.turns();
  const order: boolean[] = [];
  while (urgent.size > 0) {
    const [delivery] = world.port.deliveries;
    order.push(urgent.delete(delivery.key));
    world.answer(delivery);
    world.turns();
  }
  const others = order.filter((isUrgent) => !isUrgent).length;
  assert.ok(others <= 1 + 10 + order.length / 16 + 1, `${others} others went before the last urgent one`);
  assert.ok(others > 2, "and the others are not starved");
});

test("sessions take what lies on their own worker, and the longest other list when there is none", () => {
  const world = new Harness(2);
  world.paths.set("site", { connectionLimit: 1 });
  oneSite(world, "a.example");
  const own = new Set(world.accept("a.example", 30, { shard: 0 }));
  world.turns();
  assert.equal(world.ports[0].opened.length, 1, "sessions open where the backlog is");
  world.clock.advance(1); // Keys are unique in their shard only; so they are unique here.
  world.accept("a.example", 60, { shard: 1 });
  const order: boolean[] = [];
  for (let sent = 0; sent < 90; sent++) {
    const [delivery] = world.ports[0].deliveries;
    order.push(own.has(delivery.key));
    world.answer(delivery, OutcomeKind.delivered, own.has(delivery.key) ? OutcomeFlag.removing : 0);
    world.turns();
  }
  assert.equal(order.lastIndexOf(true), 29, "their own first, though the other list is longer");
  assert.equal(world.ports[1].retired.length, 60, "the owner is told to remove what others delivered");
});

test("a new session opens on a worker with room when the one with the backlog has none", () => {
  const world = new Harness(2);
  world.ports[0].freeRoom = 0;
  world.accept("a.example", 3, { shard: 0 });
  world.turns();
  assert.equal(world.ports[0].opened.length, 0);
  assert.ok(world.ports[1].opened.length > 0);
});

test("with no room anywhere it looks again soon, without spinning", () => {
  const world = new Harness();
  world.port.freeRoom = 0;
  world.accept("a.example");
  const wait = world.turns();
  assert.ok(wait > 0 && wait <= 10);
  world.port.freeRoom = 100;
  world.after(wait);
  assert.equal(world.port.deliveries.length, 1);
});

test("a queue behind a full path is parked, and woken once for the room that appears", () => {
  const world = new Harness();
  world.paths.set("site", { connectionLimit: 1, maxReady: 10 });
  oneSite(world, "a.example", "b.example");
  world.accept("a.example", 50);
  world.turns();
  const { counters, queues } = world.scheduler.core;
  assert.equal(queues.find("a.example")?.hold, "parked");
  assert.equal(totals(world.scheduler.core).ready, 10);
  world.accept("b.example", 5);
  world.turns();
  assert.equal(queues.find("b.example")?.hold, "parked");
  const parked = counters.parked;
  assert.equal(counters.woken, parked - 2);
  // Time alone wakes nobody.
  world.after(500);
  assert.equal(counters.parked, parked);
  // One place: the longest-parked queue is woken, once, fills it, and parks again.
  world.answer(world.port.deliveries[0]);
  world.turns();
  assert.ok(counters.woken - (parked - 2) <= 2);
  assert.equal(totals(world.scheduler.core).ready, 10);
});

test("parked queues take turns, so that none waits for ever", () => {
  const world = new Harness();
  world.paths.set("site", { connectionLimit: 1, maxReady: 2 });
  const names = Array.from({ length: 20 }, (_, at) => `q${at}.example`);
  oneSite(world, ...names, "bulk.example");
  world.accept("bulk.example", 300);
  world.turns();
  const waiting = new Set(names.flatMap((name) => world.accept(name, 1)));
  world.turns();
  for (let sent = 0; waiting.size > 0; sent++) {
    assert.ok(sent < 70, `${waiting.size} queues still wait`);
    const [delivery] = world.port.deliveries;
    waiting.delete(delivery.key);
    world.answer(delivery);
    world.turns();
  }
});

test("room that a woken queue does not need goes to the next one", () => {
  const world = new Harness();
  world.paths.set("site", { connectionLimit: 1, maxReady: 1 });
  world.queues.set("old.example", { maxAgeMs: 60_000 });
  oneSite(world, "first.example", "old.example", "young.example");
  world.accept("first.example", 2);
  world.turns();
  world.accept("old.example", 1);
  world.turns();
  world.accept("young.example", 1);
  world.turns();
  assert.equal(queueSnapshots(world.scheduler.core, 10).filter(({ hold }) => hold === "parked").length, 2);
  // The message of the queue that is parked first expires; the sweep takes it from under the parked queue.
  world.after(61_000);
  const before = world.scheduler.core.counters.expired;
  assert.equal(before, 1);
  assert.equal(world.deliverAll().length, 3);
});

test("a path whose last message expired is known to be idle, and forgotten in its time", () => {
  const world = new Harness();
  world.queues.set("a.example", { maxAgeMs: 30_000 });
  oneSite(world, "a.example");
  world.accept("a.example", 1);
  for (const restMs of [0, 0, 100, 200, 400, 800, 1600, 3200, 6400, 12_800]) {
    world.after(restMs);
    for (const { session } of world.port.deliveries.splice(0)) world.tell(world.port, session, SessionChange.ended);
    world.turns();
  }
  assert.equal(totals(world.scheduler.core).ready, 1, "it rests");
  world.after(6000);
  assert.equal(world.port.disposed[0]?.record, "Expiration");
  world.after(600_000);
  world.after(600_000);
  assert.equal(world.scheduler.core.paths.size, 0);
});

test("weighted sources: a full path is skipped, and the others take its share", () => {
  const world = new Harness();
  world.pools.set("main", [
    { name: "ip-1", weight: 2 },
    { name: "ip-2", weight: 1 },
  ]);
  world.queues.set("a.example", { egressPool: "main" });
  world.paths.set("ip-1", { maxReady: 4, connectionLimit: 1 });
  world.paths.set("ip-2", { maxReady: 100, connectionLimit: 1 });
  world.routes.set("a.example", hosts("elsewhere"));
  world.accept("a.example", 30);
  world.turns();
  const ready = Object.fromEntries(
    pathSnapshots(world.scheduler.core, 10).map((path) => [path.name, path.ready + path.sessions]),
  );
  assert.deepEqual(ready, { "ip-1->elsewhere@smtp_client": 4, "ip-2->elsewhere@smtp_client": 26 });
});

test("too many failed connections in a row fail the whole ready queue, one that comes up resets the count", () => {
  const world = new Harness();
  world.paths.set("site", { connectionLimit: 1, consecutiveConnectionFailuresBeforeDelay: 2 });
  oneSite(world, "a.example");
  world.accept("a.example", 10);
  world.turns();
  const failOne = (): void => {
    world.answer(world.port.deliveries[0], OutcomeKind.transient, OutcomeFlag.connectFailed | OutcomeFlag.sessionEnded);
    world.turns();
  };
  failOne();
  failOne();
  world.tell(world.port, world.port.deliveries[0].session, SessionChange.up);
  world.answer(world.port.deliveries[0], OutcomeKind.transient, OutcomeFlag.sessionEnded);
  world.turns();
  assert.equal(world.port.disposed.length, 0);
  failOne();
  failOne();
  assert.equal(world.port.disposed.length, 0, "at the threshold");
  failOne();
  assert.ok(world.port.disposed.length > 0, "above it");
  for (const order of world.port.disposed) {
    assert.deepEqual([order.record, order.response.code, order.attempts], ["TransientFailure", 451, 1]);
    assert.deepEqual([order.reason, order.site], ["TooManyConnectionFailures", "unspecified->site@smtp_client"]);
  }
  assert.equal(totals(world.scheduler.core).ready, 0);
});

test("what a proxy failed at is not counted against the hosts; the path rests instead, longer each time", () => {
  for (const failure of [FailureClass.proxyConnect, FailureClass.proxyUnplumbed, FailureClass.proxyDestination]) {
    const flags = failureBits(failure) | OutcomeFlag.sessionEnded;
    const world = new Harness();
    world.paths.set("site", { connectionLimit: 1, consecutiveConnectionFailuresBeforeDelay: 0 });
    oneSite(world, "a.example");
    world.accept("a.example", 10);
    world.turns();
    for (let i = 0; i < 3; i++) {
      world.answer(world.port.deliveries[0], OutcomeKind.transient, flags);
      world.turns();
    }
    const [path] = pathSnapshots(world.scheduler.core, 10);
    assert.deepEqual([path?.failures, path?.ready, path?.restMs], [0, 7, 100]);
    assert.equal(world.port.disposed.length, 0, "the messages behind are not failed with it");
    assert.equal(path?.sessions, 0);
    world.after(100);
    assert.equal(pathSnapshots(world.scheduler.core, 10)[0]?.sessions, 1, "tried again after the rest");
  }
});

test("no session is opened above the limit that is set from outside; those held back are opened when others end", () => {
  const world = new Harness();
  world.paths.set("site", { connectionLimit: 32, maxDeliveriesPerConnection: 1 });
  oneSite(world, "a.example");
  world.scheduler.sessionLimit = 3;
  world.accept("a.example", 100);
  world.turns();
  assert.equal(world.port.opened.length, 3);
  assert.ok(world.scheduler.core.counters.heldBack > 0);
  const before = world.scheduler.core.counters.heldBack;
  const waitMs = world.scheduler.turn();
  assert.ok(waitMs > 0, "it does not spin");
  assert.ok(world.scheduler.core.counters.heldBack <= before + 1);
  world.scheduler.sessionLimit = 5;
  world.after(250);
  assert.equal(world.port.opened.length, 5, "by itself, when the limit is raised");
});

test("at the limit the sessions that have been free longest are closed for paths that have none", () => {
  const world = new Harness();
  world.scheduler.sessionLimit = 2;
  const sites = ["a", "b", "c"].map((name) => `${name}.example`);
  for (const site of sites.slice(0, 2)) {
    world.accept(site);
    world.deliverAll();
    world.after(10);
  }
  assert.deepEqual([world.port.opened.length, world.port.closed.length], [2, 0], "both are free now");
  const [oldest] = world.port.opened;
  world.accept("c.example");
  world.turns();
  assert.deepEqual(
    world.port.closed.map((close) => close.session),
    [oldest?.session],
    "one for one path",
  );
  world.confirmClosed();
  world.turns();
  assert.equal(world.port.opened.length, 3, "without another moment of waiting");
  assert.equal(world.deliverAll().length, 1);
});

test("many more paths than sessions: all are served, nobody asks in a circle", () => {
  const world = new Harness();
  world.scheduler.sessionLimit = 10;
  for (let at = 0; at < 200; at++) world.accept(`d${at}.example`);
  let delivered = 0;
  for (let rounds = 0; delivered < 200; rounds++) {
    assert.ok(rounds < 100, `${delivered} delivered`);
    delivered += world.deliverAll().length;
    world.confirmClosed();
    world.turns();
    assert.ok(world.scheduler.sessions <= 10);
  }
  assert.ok(
    world.scheduler.core.counters.heldBack <= 2 * 200,
    `held back ${world.scheduler.core.counters.heldBack} times`,
  );
});
