/** The notes of what workers have in hand: what is written is what is found, and nothing else is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ShardIndex, SpoolKey, WorkerIndex } from "../../src/base/brands.js";
import { HANDS_BYTES, Hand, Hands, MAX_WORKERS, Work } from "../../src/protocol/layout/hands.js";
import { MAX_SHARDS } from "../../src/protocol/message-id.js";

test("each worker's last note is found, until it is freed or wiped out; no worker touches another's", () => {
  const step = fc.record({
    worker: fc.integer({ min: 0, max: MAX_WORKERS - 1 }),
    shard: fc.integer({ min: 0, max: MAX_SHARDS - 1 }),
    key: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    work: fc.constantFrom(Work.reading, Work.sending, Work.deciding, Work.announcing, Work.settingAside),
    act: fc.constantFrom("take", "free", "clear"),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const memory = new SharedArrayBuffer(HANDS_BYTES);
      const hands = new Hands(memory);
      hands.begin();
      const model = new Map<number, unknown>();
      for (const { worker, shard, key, work, act } of steps) {
        const hand = new Hand(memory, worker as WorkerIndex);
        if (act === "take") hand.take(shard as ShardIndex, key as SpoolKey, work);
        else if (act === "free") hand.free();
        else hands.clear(worker as WorkerIndex);
        if (act === "take") model.set(worker, { shard, key, work });
        else model.delete(worker);
      }
      for (let worker = 0; worker < MAX_WORKERS; worker++) {
        assert.deepEqual(hands.held(worker as WorkerIndex), model.get(worker) ?? null);
      }
    }),
    { numRuns: 100 },
  );
});

test("noise is no note", () => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 256, maxLength: 256 }), (noise) => {
      const bytes = new Uint8Array(HANDS_BYTES);
      bytes.set(noise);
      for (let worker = 0; worker < 4; worker++) {
        assert.equal(new Hands(bytes.buffer).held(worker as WorkerIndex), null);
      }
    }),
    { numRuns: 200 },
  );
  // With the right mark in front, what makes no sense is still no note.
  const doubles = new Float64Array(HANDS_BYTES / 8);
  new Hands(doubles.buffer).begin();
  for (const [what, key] of [
    [Number.NaN, 1],
    [8.5, 1],
    [-6, 1],
    [8 + 7, 1],
    [8, 1],
    [8 + Work.sending, 0],
    [8 + Work.sending, 1.5],
    [8 + Work.sending, Number.POSITIVE_INFINITY],
  ] as const) {
    doubles[8] = what;
    doubles[9] = key;
    assert.equal(new Hands(doubles.buffer).held(0 as WorkerIndex), null, `${what} ${key}`);
  }
  doubles[8] = 8 + Work.sending;
  doubles[9] = 5;
  assert.deepEqual(new Hands(doubles.buffer).held(0 as WorkerIndex), { shard: 1, key: 5, work: Work.sending });
  doubles[0] = 1;
  assert.equal(new Hands(doubles.buffer).held(0 as WorkerIndex), null, "a file of another format");
});
