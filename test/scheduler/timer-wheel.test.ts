import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Row } from "../../src/base/brands.js";
import { ManualClock } from "../../src/base/clock.js";
import { SeededRandom } from "../../src/base/random.js";
import { TICK_MS, TimerWheel, type WheelColumns, type WheelSink } from "../../src/scheduler/timer-wheel.js";

const DAY_MS = 86_400_000;
const ORIGIN = 1_800_000_000_000;

function columns(rows: number): WheelColumns {
  return { next: new Uint32Array(rows + 1), prev: new Uint32Array(rows + 1), dueMs: new Float64Array(rows + 1) };
}

class Collector implements WheelSink {
  readonly rows: number[] = [];
  expired(row: Row): void {
    this.rows.push(row);
  }
}

test("a million random timers expire in order, none early, none late by a tick", () => {
  const rows = 1_000_000;
  const table = columns(rows);
  const random = new SeededRandom(42);
  const wheel = new TimerWheel(table, ORIGIN);
  for (let row = 1; row <= rows; row++) {
    // Delays of all sizes, from a tick to two years.
    const delayMs = TICK_MS + random.next() * 10 ** (2 + random.next() * 8.8);
    table.dueMs[row] = ORIGIN + delayMs;
    assert.ok(wheel.insert(row as Row));
  }
  const reference = Float64Array.from(table.dueMs.subarray(1)).sort();
  let expired = 0;
  let nowMs = ORIGIN;
  let lastTick = 0;
  const sink: WheelSink = {
    expired(row) {
      const due = table.dueMs[row];
      const tick = Math.ceil((due - ORIGIN) / TICK_MS);
      if (due > nowMs) assert.fail(`row ${row} is early`);
      if (tick < lastTick) assert.fail(`row ${row} is out of order`);
      if (tick !== Math.ceil((reference[expired] - ORIGIN) / TICK_MS)) assert.fail("not the next of the reference");
      lastTick = tick;
      expired++;
    },
  };
  while (wheel.size > 0) {
    const next = wheel.nextMs();
    assert.ok(next > nowMs && next <= reference[expired] + TICK_MS, "the next look is not after the first due row");
    // As the scheduler sleeps, with a long sleep now and then.
    nowMs = Math.max(next, nowMs + random.next() * (random.next() < 0.01 ? 30 * DAY_MS : 100_000));
    wheel.advance(nowMs, rows * 10, sink);
    if (expired < rows) assert.ok(reference[expired] > nowMs - TICK_MS, "what is due has expired");
  }
  assert.equal(expired, rows);
});

test("what is due already is refused", () => {
  const table = columns(3);
  const wheel = new TimerWheel(table, ORIGIN);
  wheel.advance(ORIGIN + 1000, 10, new Collector());
  for (const [row, dueMs] of [
    [1, ORIGIN + 1000],
    [2, ORIGIN - 5],
    [3, 0],
  ] as const) {
    table.dueMs[row] = dueMs;
    assert.ok(!wheel.insert(row as Row));
  }
  assert.equal(wheel.size, 0);
  assert.equal(wheel.nextMs(), Number.POSITIVE_INFINITY);
});

test("delays beyond a round of 497 days wait for their round", () => {
  const table = columns(4);
  const wheel = new TimerWheel(table, ORIGIN);
  const days = [496, 498, 1200, 5000];
  days.forEach((count, at) => {
    table.dueMs[at + 1] = ORIGIN + count * DAY_MS;
    assert.ok(wheel.insert((at + 1) as Row));
  });
  const found = new Collector();
  for (const [at, count] of days.entries()) {
    wheel.advance(ORIGIN + count * DAY_MS - TICK_MS, 1000, found);
    assert.equal(found.rows.length, at, `not before day ${count}`);
    wheel.advance(ORIGIN + count * DAY_MS, 1000, found);
    assert.deepEqual(found.rows.at(-1), at + 1);
  }
  assert.equal(wheel.size, 0);
});

test("a big jump is worked off in bounded steps, in order, and rows can come and go meanwhile", () => {
  const rows = 5000;
  const table = columns(rows + 2);
  const random = new SeededRandom(1);
  const wheel = new TimerWheel(table, ORIGIN);
  for (let row = 1; row <= rows; row++) {
    table.dueMs[row] = ORIGIN + 20 + random.next() * 20 * DAY_MS;
    wheel.insert(row as Row);
  }
  const nowMs = ORIGIN + 30 * DAY_MS;
  const found = new Collector();
  let steps = 0;
  while (wheel.size > 0) {
    const work = wheel.advance(nowMs, 100, found);
    assert.ok(work <= 100);
    if (wheel.size > 0) assert.ok(wheel.nextMs() <= nowMs, "it says that it has not finished");
    if (steps++ === 3) {
      // Due before now, but after where the hand is: expires in its turn.
      table.dueMs[rows + 1] = nowMs - 5 * DAY_MS;
      assert.ok(wheel.insert((rows + 1) as Row));
      table.dueMs[rows + 2] = nowMs + DAY_MS;
      assert.ok(wheel.insert((rows + 2) as Row));
      wheel.cancel((rows + 2) as Row);
    }
  }
  assert.equal(found.rows.length, rows + 1);
  const dues = found.rows.map((row) => Math.ceil((table.dueMs[row] - ORIGIN) / TICK_MS));
  assert.ok(dues.every((due, at) => at === 0 || due >= dues[at - 1]));
});

test("any mixture of inserting, cancelling and waiting agrees with a sorted list", () => {
  const command = fc.oneof(
    fc.record({ what: fc.constant("insert" as const), ms: fc.double({ min: 0, max: 1e11, noNaN: true }) }),
    fc.record({ what: fc.constant("insert" as const), ms: fc.integer({ min: 0, max: 5000 }) }),
    fc.record({ what: fc.constant("cancel" as const), ms: fc.nat(1000) }),
    fc.record({ what: fc.constant("advance" as const), ms: fc.integer({ min: 0, max: 3000 }) }),
    fc.record({ what: fc.constant("advance" as const), ms: fc.integer({ min: 0, max: 1e9 }) }),
  );
  fc.assert(
    fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
      const table = columns(100);
      const wheel = new TimerWheel(table, ORIGIN);
      const model = new Map<number, number>();
      let nowMs = ORIGIN;
      let row = 0;
      for (const { what, ms } of commands) {
        if (what === "insert") {
          row++;
          table.dueMs[row] = nowMs + ms;
          const tick = Math.ceil((table.dueMs[row] - ORIGIN) / TICK_MS);
          const later = tick > Math.floor((nowMs - ORIGIN) / TICK_MS);
          assert.equal(wheel.insert(row as Row), later);
          if (later) model.set(row, tick);
        } else if (what === "cancel") {
          const victim = [...model.keys()][ms % Math.max(1, model.size)];
          if (victim === undefined) continue;
          wheel.cancel(victim as Row);
          model.delete(victim);
        } else {
          nowMs += ms;
          const found = new Collector();
          wheel.advance(nowMs, 1_000_000, found);
          const target = Math.floor((nowMs - ORIGIN) / TICK_MS);
          const due = [...model].filter(([, tick]) => tick <= target).map(([at]) => at);
          assert.deepEqual([...found.rows].sort(), due.sort());
          for (const at of due) model.delete(at);
        }
        assert.equal(wheel.size, model.size);
      }
    }),
    { numRuns: 300 },
  );
});

test("a step of the wall clock neither wakes nor delays anything", () => {
  const clock = new ManualClock();
  const table = columns(1);
  const wheel = new TimerWheel(table, clock.steadyMs());
  table.dueMs[1] = clock.steadyMs() + 60_000;
  wheel.insert(1 as Row);
  const found = new Collector();
  clock.step(10 * DAY_MS);
  clock.advance(59_000);
  wheel.advance(clock.steadyMs(), 10, found);
  assert.deepEqual(found.rows, []);
  clock.step(-20 * DAY_MS);
  clock.advance(1000);
  wheel.advance(clock.steadyMs(), 10, found);
  assert.deepEqual(found.rows, [1]);
});
