import { assert } from "../base/assert.js";
import type { Row } from "../base/brands.js";
import type { Core } from "./core.js";
import type { EgressPath } from "./egress-path.js";
import { RowFlag, type RowList, State } from "./message-table.js";
import type { ScheduledQueue } from "./scheduled-queue.js";

/**
 * Checks everything that must hold between two turns: every row is in the one list that its state names, every count is
 * the length of what it counts, and nothing that could move is forgotten. Walks everything: for tests and the simulation.
 * @throws {Panic} that names what does not hold.
 */
export function audit(core: Core): void {
  core.table.assertConservation();
  const listed = new Uint8Array(core.table.highWater + 1);
  let queued = 0;
  for (const queue of core.queues.all()) {
    auditQueue(core, queue, listed);
    queued += queue.rows;
  }
  assert(queued === core.table.live, "queues hold all rows");
  for (const path of core.paths.all()) auditPath(core, path);
  auditOwed(core, listed);
  auditSessions(core, listed);
  auditRows(core, listed);
}

function auditRows(core: Core, listed: Uint8Array): void {
  const { table, wheel, workers } = core;
  const counts = [0, 0, 0, 0, 0, 0];
  const unsaved = workers.unsaved.map(() => 0);
  let orphaned = 0;
  for (let row = 1; row <= table.highWater; row++) {
    const state = table.state[row];
    counts[state]++;
    if (state !== State.free && table.has(row as Row, RowFlag.unsaved)) unsaved[table.shard[row]]++;
    const inHand = state === State.inFlight && table.session[row] !== 0;
    const owed = table.has(row as Row, RowFlag.owed) && state !== State.free;
    const inList = state === State.due || state === State.ready || inHand || owed;
    assert((listed[row] !== 0) === inList, "a row is in the list of its state, and only there");
    if (state === State.inFlight && !inHand) orphaned++;
  }
  for (let state = State.waiting; state <= State.retiring; state++) {
    assert(counts[state] === table.counts[state], "states are counted");
  }
  assert(orphaned === workers.orphaned, "rows without a session are those in dead hands");
  assert(wheel.size === counts[State.waiting], "what waits is in the wheel");
  unsaved.forEach((count, shard) => {
    assert(count === workers.unsaved[shard], "unsaved rows are counted");
  });
}

function auditQueue(core: Core, queue: ScheduledQueue, listed: Uint8Array): void {
  const { agenda } = core;
  const due = walk(core, queue.due, State.due, listed);
  assert(due === queue.counts[State.due], "due rows are on the due list");
  assert(
    queue.rows === queue.counts.reduce((sum, count) => sum + count, 0),
    "a queue's rows are the sum of its states",
  );
  assert(queue.emptyLink.linked === (queue.rows === 0), "empty queues are known as such");
  if (queue.rows === 0) {
    const reapMs = queue.emptySinceMs + queue.config.reapIntervalMs;
    assert(core.queues.nextReapMs() <= reapMs, "an empty queue will be reaped");
  }
  if (queue.due.length > 0 && queue.hold === "none") {
    assert(queue.agendaLink.chain === agenda.promotable, "a queue with due messages is on the agenda");
  }
  if (queue.resumeMs !== Number.POSITIVE_INFINITY) {
    assert(queue.alarm.atMs <= queue.resumeMs, "a queue that waits for a time has a timer");
  } else assert(queue.hold !== "throttled", "a throttled queue knows until when");
  assert(queue.hold !== "route" || queue.asking, "a queue that waits for its route has asked");
  let ready = 0;
  for (const lane of queue.lanes) {
    if (lane === null) continue;
    assert(!lane.path.gone || lane.length === 0, "a path that is gone holds nothing");
    let length = 0;
    for (const list of lane.lists) length += walk(core, list, State.ready, listed);
    assert(length === lane.length, "a lane knows its length");
    assert(lane.activeLink.linked === length > 0, "a lane with messages is in its path's round");
    const timed = queue.resumeMs !== Number.POSITIVE_INFINITY;
    assert(queue.hold !== "parked" || lane.parked || timed, "a parked queue waits behind each of its paths");
    assert(queue.hold === "parked" || !lane.parked, "only parked queues wait behind paths");
    ready += length;
  }
  assert(ready === queue.counts[State.ready], "ready rows are in lanes");
}

function auditPath(core: Core, path: EgressPath): void {
  const { agenda } = core;
  const { ready } = path;
  const most = path.source.isSuspended(core.nowMs) ? 0 : ready.capacity;
  assert(
    (ready.length <= most || path.withdrawLink.chain === agenda.withdrawing) && ready.reserved === 0,
    "a ready queue holds max_ready at most, or gives back",
  );
  assert(path.epoch !== core.epoch || path.retired || ready.capacity === path.config.maxReady, "max_ready is in force");
  if (path.source.reason !== "none") {
    assert(path.source.alarm.atMs <= path.source.suspendedUntilMs, "a suspension ends by a timer");
  }
  assert(path.waitsFor === null || path.ready.length > 0 || path.serviceLink.linked, "who waits for a limit needs it");
  assert(
    ready.length === ready.backlog.reduce((sum, count) => sum + count, 0),
    "the backlog by worker is the ready queue",
  );
  assert(path.sessions <= Math.max(path.sessionLimit, path.tolerated), "connection_limit holds");
  if (ready.parked > 0 && ready.room > 0 && !path.failing) {
    assert(path.roomyLink.chain === agenda.roomy, "a path with room and parked queues is known as such");
  }
  assert(path.failing === path.failingLink.linked, "a failing path is on the agenda");
  if (path.leaving.length > 0) assert(path.serviceLink.linked, "sessions that leave are being closed");
  if (path.idle) assert(path.idleLink.linked || path.serviceLink.linked, "idle paths are known as such");
  if (path.free.length > 0) assert(path.alarm.slot >= 0 || path.serviceLink.linked, "free sessions will be closed");
  const stuck = ready.length > 0 && path.sessions === 0 && !core.stopping;
  const anybody = core.workers.ports.some((port) => port !== null);
  if (stuck && anybody && !path.failing) {
    const { serviceLink, withdrawLink, heldLink, alarm, waitsFor } = path;
    const awaited = alarm.slot >= 0 || withdrawLink.linked || heldLink.linked || waitsFor !== null;
    assert(serviceLink.linked || awaited, "a path with messages and no session is looked after");
  }
}

function auditOwed(core: Core, listed: Uint8Array): void {
  for (const owed of core.workers.owed) {
    walk(core, owed, State.retiring, listed);
    for (let row = owed.head; row !== 0; row = core.table.next[row]) {
      assert(core.table.has(row as Row, RowFlag.owed), "owed rows are marked");
    }
  }
}

function auditSessions(core: Core, listed: Uint8Array): void {
  let closing = 0;
  const leased = new Map<string, number>();
  const perPath = new Map<EgressPath, { all: number; closing: number }>();
  for (const session of core.sessions.all()) {
    const seen = perPath.get(session.path) ?? { all: 0, closing: 0 };
    seen.all++;
    if (session.state === "closing") {
      seen.closing++;
      closing++;
    }
    perPath.set(session.path, seen);
    for (const { name } of session.claims) leased.set(name, (leased.get(name) ?? 0) + 1);
    const { hand } = session;
    const inHand = walk(core, hand, State.inFlight, listed) > 0;
    assert(inHand === (session.state === "opening" || session.state === "busy"), "a session is busy with a message");
    assert(session.freeLink.linked === (session.state === "idle"), "an idle session is free or leaves");
    const free = session.freeLink.chain === session.path.free;
    assert(session.spareLink.linked === free, "free sessions are known as such");
    assert(core.workers.ports[session.worker] !== null, "a session lives on a living worker");
    for (let row = hand.head; row !== 0; row = core.table.next[row]) {
      assert(core.table.session[row] === session.id, "session and row name each other");
      assert(core.table.together(row, hand.head), "a hand holds recipients of one transaction");
    }
  }
  for (const path of core.paths.all()) {
    const seen = perPath.get(path) ?? { all: 0, closing: 0 };
    assert(path.sessions === seen.all && path.closing === seen.closing, "a path counts its sessions");
    perPath.delete(path);
  }
  assert(perPath.size === 0, "every session's path exists");
  assert(core.sessions.closing === closing, "closing sessions are counted");
  for (const [name, count] of leased) assert(core.leases.used(name) === count, "leases are those of the sessions");
  const all = [...leased.values()].reduce((sum, count) => sum + count, 0);
  assert(core.leases.total === all, "no lease without a session");
}

/** Follows a list, checks its links and its length, and marks its rows. */
function walk(core: Core, list: RowList, state: State, listed: Uint8Array): number {
  const { table } = core;
  let length = 0;
  let before = 0;
  for (let row = list.head; row !== 0; row = table.next[row]) {
    assert(table.prev[row] === before, "links go both ways");
    assert(table.state[row] === state, "a row is in a list of its state");
    assert(listed[row] === 0, "a row is in one list");
    listed[row] = 1;
    before = row;
    length++;
  }
  assert(list.tail === before && list.length === length, "a list knows its end and its length");
  return length;
}
