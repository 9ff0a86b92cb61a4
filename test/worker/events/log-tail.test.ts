/** What the end of the log says: whole records only, whatever the steps of reading cut. */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import type { ShardIndex, SpoolKey } from "../../../src/base/brands.js";
import { messageId } from "../../../src/protocol/message-id.js";
import { isTerminal, RECORD_KINDS } from "../../../src/protocol/records.js";
import { readLogTail } from "../../../src/worker/events/log-tail.js";

function place(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), "hikyaku-test-"));
  t.after(() => rmSync(dir, { recursive: true }));
  return join(dir, "segment.jsonl");
}

function line(type: string, shard: number, key: number, filling = ""): string {
  const id = messageId("0123456789ab", shard as ShardIndex, key as SpoolKey);
  return `{"type":"${type}","seq":7,"id":"${id}","sender":"${filling}"}\n`;
}

const has = (tail: Awaited<ReturnType<typeof readLogTail>>, shard: number, key: number): boolean =>
  tail.has(shard as ShardIndex, key as SpoolKey);

test("terminal records settle their message, others do not; the newest key of a shard is any record's", async (t) => {
  const path = place(t);
  writeFileSync(path, RECORD_KINDS.map((kind, at) => line(kind, 3, 1000 + at)).join(""));
  const tail = await readLogTail([{ path, from: 0 }]);
  for (const [at, kind] of RECORD_KINDS.entries()) assert.equal(has(tail, 3, 1000 + at), isTerminal(kind), kind);
  assert.equal(has(tail, 2, 1000), false);
  assert.equal(tail.newestIn(3 as ShardIndex), 1000 + RECORD_KINDS.length - 1);
  assert.equal(tail.newestIn(4 as ShardIndex), 0);
  assert.equal(tail.settledIn(3 as ShardIndex).length, tail.count);
  assert.equal(tail.torn, false);
});

test("a record without its end does not count, and is said to be torn", async (t) => {
  const path = place(t);
  writeFileSync(path, line("Delivery", 0, 5) + line("Delivery", 0, 6).slice(0, -1));
  const tail = await readLogTail([{ path, from: 0 }]);
  assert.deepEqual([has(tail, 0, 5), has(tail, 0, 6), tail.torn], [true, false, true]);
});

test("a span begins at its byte: a line that begins there counts, one that began before does not", async (t) => {
  const path = place(t);
  const first = line("Bounce", 0, 5);
  writeFileSync(path, first + line("Bounce", 0, 6));
  const from = async (byte: number): Promise<boolean[]> => {
    const tail = await readLogTail([{ path, from: byte }]);
    return [has(tail, 0, 5), has(tail, 0, 6)];
  };
  assert.deepEqual(await from(first.length), [false, true]);
  assert.deepEqual(await from(first.length - 1), [false, true]);
  assert.deepEqual(await from(1), [false, true]);
  assert.deepEqual(await from(first.length + 1), [false, false]);
  assert.deepEqual(await from(10_000), [false, false]);
});

test("a text inside a record cannot pass for a record", async (t) => {
  const path = place(t);
  writeFileSync(path, line("TransientFailure", 0, 5, line("Delivery", 0, 6).trim().replaceAll('"', '\\"')));
  assert.equal((await readLogTail([{ path, from: 0 }])).count, 0);
});

test("a segment that is gone is passed over; one that cannot be read is a fault", async (t) => {
  const path = place(t);
  writeFileSync(path, line("Expiration", 1, 9));
  const tail = await readLogTail([
    { path: `${path}.gone`, from: 0 },
    { path, from: 0 },
  ]);
  assert.equal(has(tail, 1, 9), true);
  for (const name of ["directory.jsonl", "directory.jsonl.gz"]) {
    mkdirSync(join(path, "..", name));
    await assert.rejects(readLogTail([{ path: join(path, "..", name), from: 0 }]), { code: "log.unreadable" });
  }
});

test("property: lines of any length are found, wherever the steps cut them", async (t) => {
  const path = place(t);
  const lengths = fc.array(fc.integer({ min: 0, max: 300_000 }), { minLength: 1, maxLength: 8 });
  await fc.assert(
    fc.asyncProperty(lengths, async (fillings) => {
      writeFileSync(path, fillings.map((length, at) => line("Delivery", 0, 1 + at, "x".repeat(length))).join(""));
      const tail = await readLogTail([{ path, from: 0 }]);
      assert.equal(tail.count, fillings.length);
    }),
    { numRuns: 40 },
  );
});

test("a compressed segment is read from its end, as far as was asked, also when it was cut short", async (t) => {
  const path = place(t);
  const lines = Array.from({ length: 20_000 }, (_, key) => line("Delivery", 0, key + 1));
  writeFileSync(`${path}.gz`, gzipSync(lines.join("")));
  const whole = await readLogTail([{ path: `${path}.gz`, from: 0 }]);
  assert.equal(whole.count, 20_000);
  const half = await readLogTail([{ path: `${path}.gz`, from: -lines.join("").length / 2 }]);
  assert.ok(half.count >= 10_000 && half.count < 12_000, `${half.count} of the last half`);
  assert.ok(has(half, 0, 20_000) && !has(half, 0, 1));
  assert.equal(half.torn, false);
  writeFileSync(`${path}.gz`, gzipSync(lines.join("")).subarray(0, 20_000));
  const cut = await readLogTail([{ path: `${path}.gz`, from: 0 }]);
  assert.ok(has(cut, 0, 1) && !has(cut, 0, 20_000));
  assert.equal((await readLogTail([{ path: `${path}.none.gz`, from: 0 }])).count, 0);
});

test("a plain segment is read from its end when so asked", async (t) => {
  const path = place(t);
  const last = line("Bounce", 0, 6);
  writeFileSync(path, line("Bounce", 0, 5) + last);
  for (const [from, expected] of [
    [-last.length, [false, true]],
    [-last.length - 1, [false, true]],
    [-last.length + 1, [false, false]],
    [-10_000, [true, true]],
  ] as const) {
    const tail = await readLogTail([{ path, from }]);
    assert.deepEqual([has(tail, 0, 5), has(tail, 0, 6)], expected, String(from));
  }
});
