/**
 * The timer wheel: `node dist/bench/micro/wheel.js`.
 *
 *   wheel: insert      a row with a random delay of up to an hour
 *   wheel: cancel      a row that waits
 *   wheel: expire      a row on its way through all levels and out, time moving by 50 ms
 */
import type { Row } from "../../src/base/brands.js";
import { SeededRandom } from "../../src/base/random.js";
import { TimerWheel } from "../../src/scheduler/timer-wheel.js";

const ROWS = 1_000_000;
const HOUR_MS = 3_600_000;

function report(name: string, totalMs: number): void {
  process.stdout.write(`${name.padEnd(32)} ${((totalMs * 1e6) / ROWS).toFixed(1).padStart(10)} ns\n`);
}

for (let round = 0; round < 3; round++) {
  const columns = {
    next: new Uint32Array(ROWS + 1),
    prev: new Uint32Array(ROWS + 1),
    dueMs: new Float64Array(ROWS + 1),
  };
  const random = new SeededRandom(round);
  for (let row = 1; row <= ROWS; row++) columns.dueMs[row] = 20 + random.next() * HOUR_MS;
  const wheel = new TimerWheel(columns, 0);
  let start = performance.now();
  for (let row = 1; row <= ROWS; row++) wheel.insert(row as Row);
  const inserted = performance.now() - start;
  start = performance.now();
  for (let row = 1; row <= ROWS; row++) wheel.cancel(row as Row);
  const cancelled = performance.now() - start;
  for (let row = 1; row <= ROWS; row++) wheel.insert(row as Row);
  start = performance.now();
  for (let now = 0; wheel.size > 0; now += 50) wheel.advance(now, ROWS, { expired: () => {} });
  const expired = performance.now() - start;
  if (round < 2) continue; // The first rounds warm up.
  report("wheel: insert", inserted);
  report("wheel: cancel", cancelled);
  report("wheel: expire", expired);
}
