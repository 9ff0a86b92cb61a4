import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Panic } from "../../src/base/assert.js";
import type { Row, SessionId, ShardIndex, SpoolKey } from "../../src/base/brands.js";
import { inHandOf, MessageTable, RowList, State } from "../../src/scheduler/message-table.js";

const shard = 3 as ShardIndex;

function put(table: MessageTable, key: number): Row {
  return table.allocate(key as SpoolKey, shard, 5, 100, 2);
}

test("rows come from the high-water mark and then from what was given back", () => {
  const table = new MessageTable(3);
  assert.deepEqual([put(table, 10), put(table, 11), put(table, 12)], [1, 2, 3]);
  assert.equal(put(table, 13), 0, "full");
  assert.equal(table.freeRows, 0);
  table.release(2 as Row);
  assert.equal(table.freeRows, 1);
  assert.equal(put(table, 14), 2);
  assert.equal(table.highWater, 3);
  assert.deepEqual(
    [table.key[2], table.shard[2], table.queue[2], table.size[2], table.attempts[2]],
    [14, 3, 5, 100, 2],
  );
  assert.equal(table.live, 3);
});

test("attempts stay at the column's greatest number", () => {
  const table = new MessageTable(2);
  const row = table.allocate(1 as SpoolKey, shard, 1, 1, 70_000);
  assert.equal(table.attempts[row], 65_535);
  table.countAttempt(row);
  assert.equal(table.attempts[row], 65_535);
});

test("conservation is asserted", () => {
  const table = new MessageTable(10);
  const row = put(table, 1);
  table.setState(row, State.inFlight);
  table.assertConservation();
  table.release(row);
  table.assertConservation();
  table.accepted++;
  assert.throws(() => table.assertConservation(), Panic);
});

test("a message is in hand of the session that it was handed to, and of no other", () => {
  const table = new MessageTable(10);
  const row = put(table, 1);
  table.setState(row, State.inFlight);
  table.session[row] = 9;
  assert.ok(inHandOf(table, row, 9 as SessionId));
  assert.ok(!inHandOf(table, row, 8 as SessionId));
  assert.ok(!inHandOf(table, 7 as Row, 0 as SessionId), "a row that was never used");
  assert.ok(!inHandOf(table, 0 as Row, 0 as SessionId));
});

test("lists behave like arrays", () => {
  const command = fc.record({ what: fc.constantFrom("append", "prepend", "unlink"), at: fc.nat(30) });
  fc.assert(
    fc.property(fc.array(command, { maxLength: 80 }), (commands) => {
      const table = new MessageTable(40);
      const list = new RowList();
      const model: number[] = [];
      const free = Array.from({ length: 40 }, (_, at) => put(table, at));
      for (const { what, at } of commands) {
        if (what === "unlink") {
          if (model.length === 0) continue;
          const row = model.splice(at % model.length, 1)[0] as Row;
          table.unlink(list, row);
          free.push(row);
          continue;
        }
        const row = free.pop();
        if (row === undefined) continue;
        if (what === "append") {
          table.append(list, row);
          model.push(row);
        } else {
          table.prepend(list, row);
          model.unshift(row);
        }
      }
      const forth: number[] = [];
      for (let row = list.head; row !== 0; row = table.next[row]) forth.push(row);
      const back: number[] = [];
      for (let row = list.tail; row !== 0; row = table.prev[row]) back.unshift(row);
      assert.deepEqual([forth, back, list.length], [model, model, model.length]);
    }),
    { numRuns: 200 },
  );
});
