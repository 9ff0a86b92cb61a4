/** Reloads while mail flows: sources and pools that come and go, options that change, rates of choice, shared limits. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { WorkerIndex } from "../../src/base/brands.js";
import { parseRate, type Rate } from "../../src/base/units.js";
import { CloseReason, FailureClass, failureBits, OutcomeFlag, OutcomeKind } from "../../src/protocol/layout/frames.js";
import { pathSnapshots, queueSnapshots, sourceSnapshots, totals } from "../../src/scheduler/snapshot.js";
import { Harness, hosts } from "./harness.js";

function rate(written: string): Rate {
  return parseRate(written) as Rate;
}

/** Two sources share one queue's mail to one site. */
function twoSources(): Harness {
  const world = new Harness();
  world.pools.set("unspecified", [
    { name: "one", weight: 1 },
    { name: "two", weight: 1 },
  ]);
  world.routes.set("a.example", hosts("site"));
  world.paths.set("one", { connectionLimit: 2 });
  world.paths.set("two", { connectionLimit: 2 });
  return world;
}

function path(world: Harness, source: string) {
  const found = pathSnapshots(world.scheduler.core, 10).find(({ name }) => name.startsWith(`${source}->`));
  assert.ok(found !== undefined, `a path of ${source}`);
  return found;
}

function deliveriesOf(world: Harness, source: string) {
  const of = world.scheduler.core.paths.find(path(world, source).name);
  return world.port.deliveries.filter(({ session }) => world.scheduler.core.sessions.find(session)?.path === of);
}

test("a source is removed: what is ready takes the other, its idle sessions close, busy ones finish their message", () => {
  const world = twoSources();
  const keys = world.accept("a.example", 100);
  world.turns();
  const [busy, idle] = deliveriesOf(world, "one");
  assert.ok(busy !== undefined && idle !== undefined);
  assert.ok(path(world, "one").ready > 0);
  world.pools.set("unspecified", [{ name: "two", weight: 1 }]);
  world.missing.add("one");
  world.scheduler.reconfigure();
  world.turns();
  assert.equal(path(world, "one").ready, 0);
  assert.equal(path(world, "two").ready, 96, "all that is not in hand");
  assert.deepEqual(world.port.closed, [], "nobody is interrupted");
  world.answer(idle);
  world.turns();
  assert.deepEqual(world.port.closed, [{ session: idle.session, reason: CloseReason.reconfigured }]);
  world.answer(busy);
  world.turns();
  world.confirmClosed();
  world.turns();
  assert.equal(totals(world.scheduler.core).paths, 1, "the path is forgotten");
  assert.equal(world.port.forgotten.length, 1, "the worker too was told");
  const delivered = [busy.key, idle.key, ...world.deliverAll()];
  assert.deepEqual(delivered.sort(), [...keys].sort(), "each exactly once");
});

test("sessions of other sources live on through a reload that changes one", () => {
  const world = twoSources();
  world.accept("a.example", 4);
  world.deliverAll();
  const before = world.port.opened.length;
  world.addresses.set("one", "192.0.2.7");
  world.scheduler.reconfigure();
  world.turns();
  const free = world.port.closed.map(({ session }) => world.scheduler.core.sessions.find(session)?.path.source.name);
  assert.ok(free.length > 0 && free.every((name) => name === "one"), `${free}`);
  assert.ok(path(world, "two").freeSessions > 0);
  world.confirmClosed();
  world.accept("a.example", 4);
  world.turns();
  const definition = world.port.defined.at(-1);
  assert.equal(definition?.source.address, "192.0.2.7", "the worker was told again");
  assert.ok(world.port.opened.length > before);
  const fresh = deliveriesOf(world, "one");
  assert.ok(fresh.length > 0);
});

test("a source that is added takes its share at once, also of what waits behind a full one", () => {
  const world = twoSources();
  world.pools.set("unspecified", [{ name: "one", weight: 1 }]);
  world.paths.set("one", { connectionLimit: 1, maxReady: 3 });
  world.accept("a.example", 100);
  world.turns();
  assert.equal(queueSnapshots(world.scheduler.core, 1)[0]?.hold, "parked");
  world.pools.set("unspecified", [
    { name: "one", weight: 1 },
    { name: "two", weight: 1 },
  ]);
  world.scheduler.reconfigure();
  world.turns();
  assert.equal(path(world, "two").sessions, 2);
  assert.ok(path(world, "two").ready > 10);
  assert.equal(world.deliverAll().length, 100);
});

test("a source that is removed and comes back before its last session has ended goes on", () => {
  const world = twoSources();
  world.accept("a.example", 10);
  world.turns();
  const pool = world.pools.get("unspecified");
  world.pools.set("unspecified", [{ name: "two", weight: 1 }]);
  world.missing.add("one");
  world.scheduler.reconfigure();
  world.turns();
  world.missing.clear();
  world.pools.set("unspecified", pool ?? []);
  world.scheduler.reconfigure();
  world.turns();
  assert.ok(path(world, "one").ready > 0);
  assert.equal(world.deliverAll().length, 10);
  assert.deepEqual(world.port.closed, []);
});

test("a lower connection_limit closes the surplus politely: idle ones at once, busy ones after their message", () => {
  const world = new Harness();
  world.routes.set("a.example", hosts("site"));
  world.paths.set("site", { connectionLimit: 8 });
  world.accept("a.example", 100);
  world.turns();
  const open = world.port.opened.length;
  assert.equal(open, 8);
  world.paths.set("site", { connectionLimit: 3 });
  world.scheduler.reconfigure();
  world.turns();
  assert.deepEqual(world.port.closed, []);
  for (const delivery of world.port.deliveries.slice(0, 5)) world.answer(delivery);
  world.turns();
  assert.equal(world.port.closed.length, 5);
  assert.equal(world.port.deliveries.length, 3);
  world.confirmClosed();
  assert.equal(world.deliverAll().length, 95);
  assert.equal(world.port.opened.length, open, "none was opened in their place");
  world.paths.set("site", { connectionLimit: 1 });
  world.scheduler.reconfigure();
  world.turns();
  assert.equal(world.port.closed.length, 2, "of three idle ones");
});

test("a lower max_ready sends the newest back, in order; a higher one wakes who waits", () => {
  const world = new Harness();
  world.routes.set("a.example", hosts("site"));
  world.paths.set("site", { connectionLimit: 1, maxReady: 10 });
  const keys = world.accept("a.example", 30);
  world.turns();
  assert.equal(path(world, "unspecified").ready, 10);
  world.paths.set("site", { connectionLimit: 1, maxReady: 4 });
  world.scheduler.reconfigure();
  world.turns();
  assert.equal(path(world, "unspecified").ready, 4);
  world.paths.set("site", { connectionLimit: 1, maxReady: 20 });
  world.scheduler.reconfigure();
  world.turns();
  assert.equal(path(world, "unspecified").ready, 20);
  assert.deepEqual(world.deliverAll(), keys, "oldest first");
});

test("a change that sessions need not know leaves them alone, one that they must know replaces them", () => {
  const world = new Harness();
  world.routes.set("a.example", hosts("site"));
  world.accept("a.example", 1);
  world.deliverAll();
  world.paths.set("site", { maxReady: 7, idleTimeoutMs: 6000 });
  world.scheduler.reconfigure();
  world.turns();
  assert.deepEqual(world.port.closed, []);
  world.paths.set("site", { maxReady: 7, idleTimeoutMs: 6000, prohibitedHosts: ["192.0.2.0/24"] });
  world.scheduler.reconfigure();
  world.turns();
  assert.equal(world.port.closed.length, 1);
});

test("a queue's mx_list is changed: what is ready goes the new way, an answer to the old question is dropped", () => {
  const world = new Harness();
  world.paths.set("old", { connectionLimit: 1 });
  world.routes.set("a.example", hosts("old"));
  world.accept("a.example", 5);
  world.turns();
  world.answerLate = true;
  const list = (name: string) =>
    ({
      kind: "smtp",
      mxList: [{ name, address: null, port: null, unix: null, written: name }],
      listSecure: false,
    }) as const;
  world.queues.set("a.example", { protocol: list("second") });
  world.scheduler.reconfigure();
  world.turns();
  assert.equal(path(world, "unspecified").ready, 0);
  world.queues.set("a.example", { protocol: list("third") });
  world.scheduler.reconfigure();
  world.turns();
  world.asked[0]?.answer(hosts("second"));
  world.turns();
  assert.equal(world.asked.length, 2, "asked anew");
  world.asked[1]?.answer(hosts("third"));
  world.turns();
  assert.deepEqual(
    pathSnapshots(world.scheduler.core, 10).map(({ name }) => name),
    ["unspecified->old@smtp_client", "unspecified->third@smtp_client"],
  );
  assert.equal(world.deliverAll().length, 5);
});

test("source_selection_rate: no token means the other source; none anywhere means one timer and no attempt", () => {
  const world = twoSources();
  world.paths.set("one", { sourceSelectionRate: rate("3/min") });
  world.paths.set("two", { sourceSelectionRate: rate("6/min,max_burst=2") });
  world.accept("a.example", 20);
  world.turns();
  assert.equal(path(world, "one").ready + path(world, "one").sessions, 3);
  assert.equal(path(world, "two").ready + path(world, "two").sessions, 2);
  const [queue] = queueSnapshots(world.scheduler.core, 1);
  assert.equal(queue?.hold, "throttled");
  assert.equal(queue?.due, 15);
  assert.equal(world.deliverAll().length, 5);
  for (const wait of [10_000, 10_000]) {
    world.after(wait);
    world.confirmClosed();
  }
  const waiting = world.port.deliveries.length + path(world, "one").ready + path(world, "two").ready;
  assert.equal(waiting, 3, "two tokens of one source and one of the other");
  assert.ok(world.port.deliveries.every(({ attempts }) => attempts === 0));
});

test("a rate of choice that several paths name is one rate", () => {
  const world = new Harness();
  world.paths.set("s1", { additionalSourceSelectionRates: { warm: rate("5/min") } });
  world.paths.set("s2", { additionalSourceSelectionRates: { warm: rate("5/min") } });
  world.routes.set("a.example", hosts("s1"));
  world.routes.set("b.example", hosts("s2"));
  world.accept("a.example", 4);
  world.accept("b.example", 4);
  assert.equal(world.deliverAll().length, 5);
});

test("an unplumbed source is suspended: others take over, it comes back by itself, and no destination is blamed", () => {
  const world = twoSources();
  world.suspends.set("one", { failures: 2, periodMs: 60_000, durationMs: 30_000 });
  world.accept("a.example", 100);
  world.turns();
  const flags = OutcomeFlag.connectFailed | OutcomeFlag.sessionEnded | failureBits(FailureClass.unplumbed);
  const [first, second] = deliveriesOf(world, "one");
  assert.ok(first !== undefined && second !== undefined);
  world.answer(first, OutcomeKind.transient, flags);
  world.turns();
  assert.equal(sourceSnapshots(world.scheduler.core)[0]?.suspended, "none");
  world.answer(second, OutcomeKind.transient, flags);
  world.turns();
  const [source] = sourceSnapshots(world.scheduler.core);
  assert.equal(source?.suspended, "unplumbed");
  assert.equal(source?.suspendedForMs, 30_000);
  assert.equal(path(world, "one").ready, 0);
  assert.equal(path(world, "one").failures, 0);
  world.pools.set("unspecified", [{ name: "one", weight: 1 }]);
  world.queues.set("b.example", {});
  world.accept("b.example", 3);
  assert.equal(world.deliverAll().length, 98, "the other source has taken all of a.example");
  const held = queueSnapshots(world.scheduler.core, 5).find(({ name }) => name === "b.example");
  assert.equal(held?.hold, "throttled");
  world.after(29_999);
  world.confirmClosed();
  world.turns();
  assert.equal(world.port.deliveries.length, 0);
  world.after(1);
  const ready = pathSnapshots(world.scheduler.core, 10).reduce((sum, one) => sum + one.ready, 0);
  assert.equal(world.port.deliveries.length + ready, 3);
  assert.ok(world.port.deliveries.every(({ attempts }) => attempts === 0));
  assert.equal(sourceSnapshots(world.scheduler.core)[0]?.suspended, "none");
});

test("an address that the proxy's machine does not have is unplumbed, too; a destination out of reach is no fault of a source", () => {
  for (const [failure, suspended] of [
    [FailureClass.proxyUnplumbed, "unplumbed"],
    [FailureClass.proxyConnect, "proxy"],
    [FailureClass.proxyDestination, "none"],
    [FailureClass.other, "none"],
  ] as const) {
    const world = twoSources();
    world.suspends.set("one", { failures: 1, periodMs: 60_000, durationMs: 30_000 });
    world.accept("a.example", 10);
    world.turns();
    const [first] = deliveriesOf(world, "one");
    assert.ok(first !== undefined);
    const blamed = failure === FailureClass.other ? OutcomeFlag.connectFailed : 0;
    world.answer(first, OutcomeKind.transient, blamed | OutcomeFlag.sessionEnded | failureBits(failure));
    world.turns();
    assert.equal(sourceSnapshots(world.scheduler.core)[0]?.suspended, suspended);
    assert.equal(path(world, "one").failures, failure === FailureClass.other ? 1 : 0);
  }
});

test("an empty queue that a reload gives another reap interval is forgotten after that one", () => {
  const world = new Harness();
  const { queues } = world.scheduler.core;
  world.queues.set("a.example", { reapIntervalMs: 600_000 });
  world.queues.set("b.example", { reapIntervalMs: 600_000 });
  for (const name of ["a.example", "b.example"]) {
    world.accept(name);
    world.deliverAll();
  }
  world.queues.set("a.example", { reapIntervalMs: 60_000 });
  world.scheduler.reconfigure();
  world.turns();
  world.after(59_999);
  assert.equal(queues.size, 2);
  world.after(1);
  assert.deepEqual(
    [...queues.all()].map(({ name }) => name),
    ["b.example"],
  );
});

test("a queue that waits for a rate and empties meanwhile is forgotten, and its timer with it", () => {
  const world = new Harness();
  world.queues.set("a.example", { reapIntervalMs: 60_000, maxAgeMs: 120_000 });
  world.routes.set("a.example", hosts("site"));
  world.paths.set("site", { sourceSelectionRate: rate("1/d") });
  world.accept("a.example", 2);
  world.turns();
  assert.equal(queueSnapshots(world.scheduler.core, 5)[0]?.hold, "throttled");
  assert.ok(world.scheduler.core.agenda.queueAlarms.nextMs() < Number.POSITIVE_INFINITY);
  world.deliverAll();
  world.after(150_000);
  const [expired] = world.port.disposed;
  assert.ok(expired !== undefined, "the second has outlived its time");
  world.scheduler.retired(0 as WorkerIndex, expired.row);
  world.turns();
  const { queues, agenda } = world.scheduler.core;
  assert.equal(queues.size, 1);
  world.after(60_000);
  assert.equal(queues.size, 0);
  assert.equal(agenda.queueAlarms.nextMs(), Number.POSITIVE_INFINITY);
});

test("a suspension ends when a reload gives the source another address, and stays when it gives something else", () => {
  const world = twoSources();
  world.pools.set("unspecified", [{ name: "one", weight: 1 }]);
  world.suspends.set("one", { failures: 1, periodMs: 1000, durationMs: 3_600_000 });
  world.addresses.set("one", "192.0.2.1");
  world.accept("a.example", 3);
  world.turns();
  const flags = OutcomeFlag.connectFailed | OutcomeFlag.sessionEnded | failureBits(FailureClass.unplumbed);
  for (const delivery of [...world.port.deliveries]) world.answer(delivery, OutcomeKind.transient, flags);
  world.turns();
  world.accept("a.example", 2);
  world.paths.set("one", { connectionLimit: 3 });
  world.scheduler.reconfigure();
  world.turns();
  assert.equal(sourceSnapshots(world.scheduler.core)[0]?.suspended, "unplumbed");
  assert.equal(world.port.deliveries.length, 0);
  world.addresses.set("one", "192.0.2.2");
  world.scheduler.reconfigure();
  world.turns();
  assert.equal(sourceSnapshots(world.scheduler.core)[0]?.suspended, "none", "what was unplumbed is not used any more");
  assert.equal(world.deliverAll().length, 4, "all but the one that was tried");
});

test("a suspension ends when a reload takes its rule away", () => {
  const world = twoSources();
  world.pools.set("unspecified", [{ name: "one", weight: 1 }]);
  world.suspends.set("one", { failures: 1, periodMs: 1000, durationMs: 3_600_000 });
  world.accept("a.example", 3);
  world.turns();
  const flags = OutcomeFlag.connectFailed | OutcomeFlag.sessionEnded | failureBits(FailureClass.proxyConnect);
  const delivery = world.port.deliveries[0]!;
  world.answer(delivery, OutcomeKind.transient, flags);
  world.turns();
  assert.equal(sourceSnapshots(world.scheduler.core)[0]?.suspended, "proxy");
  world.accept("a.example", 2);
  world.turns();
  assert.equal(world.port.deliveries.length, 0);
  world.suspends.clear();
  world.scheduler.reconfigure();
  assert.equal(world.deliverAll().length, 4);
});

test("max_connection_rate: one timer for the next connection; deliveries on open ones go on", () => {
  const world = new Harness();
  world.routes.set("a.example", hosts("site"));
  world.paths.set("site", { connectionLimit: 32, maxConnectionRate: rate("6/min,max_burst=2") });
  world.accept("a.example", 64);
  const wait = world.turns();
  assert.equal(world.port.opened.length, 2);
  assert.equal(wait, 1000, "the sweep is next");
  assert.ok(path(world, "unspecified").throttledForMs !== null);
  world.after(9999);
  assert.equal(world.port.opened.length, 2);
  world.after(1);
  assert.equal(world.port.opened.length, 3);
  assert.equal(world.deliverAll().length, 64, "on three connections");
  assert.equal(world.port.opened.length, 3);
});

test("additional_connection_limits: paths share them, and whoever waits comes next", () => {
  const world = new Harness();
  for (const site of ["s1", "s2"]) {
    world.paths.set(site, { additionalConnectionLimits: { provider: 3, all: 10 }, maxDeliveriesPerConnection: 1 });
  }
  world.routes.set("a.example", hosts("s1"));
  world.routes.set("b.example", hosts("s2"));
  world.accept("a.example", 50);
  world.turns();
  assert.equal(world.port.opened.length, 3);
  world.accept("b.example", 2);
  world.turns();
  assert.equal(world.port.opened.length, 3);
  const limited = pathSnapshots(world.scheduler.core, 10).map(({ limitedBy }) => limitedBy);
  assert.deepEqual(limited, ["provider", "provider"]);
  for (let rounds = 0; rounds < 2; rounds++) {
    world.answer(world.port.deliveries[0]!);
    world.turns();
    world.confirmClosed();
    world.turns();
  }
  const sites = world.port.opened.slice(3).map(({ path: id }) => world.port.defined.find((one) => one.id === id)?.site);
  assert.deepEqual(sites, ["s1", "s2"], "in the order in which they came to wait");
  for (let rounds = 0; world.port.deliveries.length > 0; rounds++) {
    assert.ok(rounds < 200 && world.port.deliveries.length <= 3, "never more than the limit");
    world.answer(world.port.deliveries[0]!);
    world.turns();
    world.confirmClosed();
    world.turns();
  }
  assert.equal(totals(world.scheduler.core).settled, 52);
});

test("a domain with options of its own has connections of its own, before a reload and after it", () => {
  const world = new Harness();
  const domains = ["bank.example", "other.example"];
  for (const domain of domains) world.routes.set(domain, hosts("site"));
  const modes = () => {
    const { core } = world.scheduler;
    const defined = new Map(world.port.defined.map((path) => [path.id, path.config.enableTls]));
    return world.port.deliveries.map(({ session, row }) => {
      const path = core.sessions.find(session)?.path.definition.id;
      return [core.placement.queueOf(row).name, path === undefined ? path : defined.get(path)];
    });
  };
  const send = () => {
    for (const domain of ["other.example", "bank.example"]) world.accept(domain, 2);
    world.turns();
  };
  world.domains.set("bank.example", { enableTls: "Required" });
  send();
  const apart = modes();
  assert.ok(apart.some(([name]) => name === "bank.example"));
  for (const [name, mode] of apart) assert.equal(mode, name === "bank.example" ? "Required" : "Opportunistic");
  world.deliverAll();
  world.domains.clear();
  world.scheduler.reconfigure();
  send();
  for (const [, mode] of modes()) assert.equal(mode, "Opportunistic");
  world.domains.set("bank.example", { enableTls: "Required" });
  world.scheduler.reconfigure();
  world.deliverAll();
  send();
  for (const [name, mode] of modes()) assert.equal(mode, name === "bank.example" ? "Required" : "Opportunistic");
  assert.equal(world.deliverAll().length, 4);
});

test("mail that comes right behind a reload goes by it, however many paths are still to be renewed", () => {
  const world = new Harness();
  const domains = Array.from({ length: 600 }, (_, index) => `d${index}.example`);
  world.addresses.set("unspecified", "192.0.2.1");
  for (const domain of domains) world.accept(domain);
  assert.equal(world.deliverAll().length, 600);
  world.addresses.set("unspecified", "192.0.2.2");
  world.accept("d599.example");
  world.scheduler.reconfigure();
  world.scheduler.turn();
  assert.ok(world.scheduler.renewing, "a path of the end is not reached in one turn");
  world.turns();
  const [delivery] = world.port.deliveries;
  assert.ok(delivery !== undefined);
  const { definition } = world.scheduler.core.sessions.find(delivery.session)?.path ?? {};
  const told = world.port.defined.filter(({ id }) => id === definition?.id);
  assert.deepEqual(
    told.map(({ source }) => source.address),
    ["192.0.2.1", "192.0.2.2"],
    "the worker is told before it opens a session for the message",
  );
  assert.equal(world.port.opened.length, 601, "and no session of the old address gets it");
});

test("a message that gets the row of the one before it is not taken for its companion: it takes a token of its own", () => {
  const world = new Harness();
  world.paths.set("unspecified", { sourceSelectionRate: rate("1/min") });
  world.accept("a.example");
  assert.equal(world.deliverAll().length, 1);
  world.accept("a.example");
  assert.equal(world.deliverAll().length, 0);
  assert.equal(queueSnapshots(world.scheduler.core, 1)[0]?.hold, "throttled");
});

test("a message that is tried again chooses again: it is no companion of itself", () => {
  const world = twoSources();
  world.accept("a.example");
  const ways: (string | undefined)[] = [];
  for (let attempt = 0; attempt < 2; attempt++) {
    world.turns();
    const [delivery] = world.port.deliveries;
    assert.ok(delivery !== undefined);
    ways.push(world.scheduler.core.sessions.find(delivery.session)?.path.source.name);
    world.answer(delivery, OutcomeKind.transient);
    world.turns();
    world.after(3_600_000);
    world.confirmClosed();
  }
  assert.deepEqual(ways, ["one", "two"]);
});
