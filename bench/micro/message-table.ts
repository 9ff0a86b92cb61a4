/**
 * The message table: `node dist/bench/micro/message-table.js`.
 *
 *   table: empty              resident bytes of a table for ten million messages that holds none
 *   table: allocate, release  one row taken and given back
 *   table: list               one row appended to a list and taken out of its middle
 */
import type { ShardIndex, SpoolKey } from "../../src/base/brands.js";
import { MessageTable, RowList } from "../../src/scheduler/message-table.js";

const CAPACITY = 10_000_000;
const ROWS = 1_000_000;

function report(name: string, value: number, unit: string): void {
  process.stdout.write(`${name.padEnd(32)} ${value.toFixed(1).padStart(12)} ${unit}\n`);
}

const before = process.memoryUsage().rss;
const table = new MessageTable(CAPACITY);
report("table: empty", process.memoryUsage().rss - before, "bytes");

const list = new RowList();
for (let round = 0; round < 3; round++) {
  let start = performance.now();
  const rows = [];
  for (let at = 0; at < ROWS; at++) rows.push(table.allocate(at as SpoolKey, 0 as ShardIndex, 1, 1024, 0));
  const allocated = performance.now() - start;
  start = performance.now();
  for (const row of rows) table.append(list, row);
  for (let at = 0; at < ROWS; at++) table.unlink(list, rows[(at * 7919) % ROWS]);
  const linked = performance.now() - start;
  start = performance.now();
  for (const row of rows) table.release(row);
  const released = performance.now() - start;
  if (round < 2) continue; // The first rounds warm up.
  report("table: allocate, release", ((allocated + released) * 1e6) / ROWS, "ns");
  report("table: list", (linked * 1e6) / ROWS, "ns");
}
