/** Whatever a scan at the start dies of, the note names the row that it was working on. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { ShardIndex, SpoolKey, WorkerIndex } from "../../src/base/brands.js";
import { HANDS_BYTES, Hand, Hands, Work } from "../../src/protocol/layout/hands.js";
import { Reload } from "../../src/worker/reload.js";
import { openShard, scratch, stored, transaction } from "./spool/helpers.js";

test("a death while a row is moved to quarantine at the start is noted against that row, not the one before it", async (t) => {
  const path = scratch(t);
  const first = openShard(t, path);
  const keys: SpoolKey[] = [];
  for (const text of ["sound", "deadly"]) {
    keys.push(await stored(first.shard, transaction(first.shard, text, ["a"])));
  }
  await first.shard.close();
  const [sound, deadly] = keys as [SpoolKey, SpoolKey];
  const memory = new SharedArrayBuffer(HANDS_BYTES);
  const hands = new Hands(memory);
  hands.begin();
  const { shard } = openShard(t, path);
  const told: number[] = [];
  const reload = new Reload({
    roomy: () => true,
    announce: (_shard, key) => told.push(key) > 0,
    hand: new Hand(memory, 0 as WorkerIndex),
    loaded() {},
    left() {},
    failed: (_shard, fault) => assert.fail(fault.message),
  });
  const index = 0 as ShardIndex;
  const sentence = { shard: index, key: deadly, reason: "it kills", depth: "bytes", recorded: false } as const;
  const announce = [{ after: 0, through: Number.MAX_SAFE_INTEGER }];
  reload.add(shard, {
    shard: index,
    announce,
    settled: new Float64Array(),
    newest: 0,
    known: false,
    sentences: [sentence],
  });
  t.mock.method(shard.sentenced, "meet", () => {
    throw new Error("died of it");
  });
  assert.throws(() => reload.step(), /died of it/);
  assert.deepEqual(told, [sound]);
  assert.deepEqual(hands.held(0 as WorkerIndex), { shard: index, key: deadly, work: Work.settingAside });
});

test("a sentence about a message that is not in the spool any more is told to be over", async (t) => {
  const { shard } = openShard(t, scratch(t));
  const left: number[] = [];
  const reload = new Reload({
    roomy: () => true,
    announce: () => true,
    hand: new Hand(new SharedArrayBuffer(HANDS_BYTES), 0 as WorkerIndex),
    loaded() {},
    left: (_shard, key) => left.push(key),
    failed: (_shard, fault) => assert.fail(fault.message),
  });
  const index = 0 as ShardIndex;
  const sentences = [5, 15].map((key) => {
    return { shard: index, key: key as SpoolKey, reason: "it kills", depth: "bytes", recorded: false } as const;
  });
  const announce = [{ after: 0, through: 10 }];
  reload.add(shard, { shard: index, announce, settled: new Float64Array(), newest: 0, known: false, sentences });
  while (reload.busy) reload.step();
  assert.deepEqual(left, [5], "the other one is the scheduler's");
});
