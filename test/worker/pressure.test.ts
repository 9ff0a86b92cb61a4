/** A worker's part in keeping the process within its means. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { BufferPool } from "../../src/base/buffer-pool.js";
import { FrameKind } from "../../src/protocol/layout/frames.js";
import { ProcessFlag, SharedState } from "../../src/protocol/layout/shared-state.js";
import { Counter } from "../../src/protocol/metrics.js";
import { RingReader, RingWriter, ringBytes } from "../../src/ring/ring.js";
import { Pressure } from "../../src/worker/pressure.js";
import { MAX_LAG_MS, SchedulerLag } from "../../src/worker/scheduler-lag.js";

function ring() {
  const memory = new SharedArrayBuffer(ringBytes(1024));
  const writer = new RingWriter(memory);
  const reader = new RingReader(memory);
  return {
    writer,
    write: (): void => {
      assert.ok(writer.reserve(FrameKind.retire, 16) >= 0);
      writer.publish();
    },
    read: (): void => {
      while (reader.next());
      reader.release();
    },
  };
}

test("the scheduler lags when published frames wait too long, until a mark is passed in time", () => {
  const { writer, write, read } = ring();
  const lag = new SchedulerLag(writer, 0);
  const at = (ms: number): boolean => {
    lag.look(ms);
    return lag.lagging;
  };
  assert.equal(at(60_000), false, "nothing waits");
  write();
  assert.equal(at(60_250), false);
  assert.equal(at(60_250 + MAX_LAG_MS), false);
  assert.equal(at(60_251 + MAX_LAG_MS), true);
  write();
  read();
  assert.equal(at(60_500 + MAX_LAG_MS), true, "it was passed too late");
  assert.equal(at(60_750 + MAX_LAG_MS), false, "and now in time");
  write();
  at(70_000);
  read();
  assert.equal(at(80_000), false, "a thread that stood still itself does not blame the scheduler");
});

test("a ring that is always read, if never empty, is no lag", () => {
  const { writer, write, read } = ring();
  const lag = new SchedulerLag(writer, 0);
  for (let ms = 0; ms < 20_000; ms += 250) {
    read();
    write();
    lag.look(ms);
    assert.equal(lag.lagging, false);
  }
});

test("memory that gets low is given up once and used again when there is enough; sockets are counted", () => {
  const shared = new SharedState(SharedState.allocate(2));
  const counters = shared.counters(1);
  const heard: boolean[] = [];
  const pool = new BufferPool(1 << 20);
  const reactor = { size: 7 };
  const parts = { shared, counters, ring: ring().writer, reactor };
  const pressure = new Pressure({ ...parts, shrinkable: [{ tighten: (tight) => heard.push(tight) }, pool] }, 0);
  pool.release(pool.take(100_000));
  pressure.look(250);
  assert.equal(counters[Counter.sockets], 7);
  assert.deepEqual(heard, []);
  assert.ok(pool.bytes > 0);
  shared.flags = ProcessFlag.memoryLow;
  pressure.look(500);
  pressure.look(750);
  assert.deepEqual(heard, [true]);
  assert.equal(pool.bytes, 0);
  pool.release(pool.take(100_000));
  assert.equal(pool.bytes, 0, "nothing is kept meanwhile");
  shared.flags = 0;
  pressure.look(1000);
  pool.release(pool.take(100_000));
  assert.deepEqual(heard, [true, false]);
  assert.ok(pool.bytes > 0);
});
