import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { ShardIndex, SpoolKey } from "../../../src/base/brands.js";
import { shardDirectory } from "../../../src/worker/spool/directories.js";
import { LmdbStore } from "../../../src/worker/spool/lmdb-store.js";
import type { ReplaySink } from "../../../src/worker/spool/replay.js";
import { WriteBatch } from "../../../src/worker/spool/write-batch.js";
import { openShard, removed, scratch, stored, transaction } from "./helpers.js";

class Rows implements ReplaySink {
  readonly rows: [key: number, queue: string, size: number, attempts: number, due: number][] = [];

  onRow(key: SpoolKey, queue: string, size: number, attempts: number, dueMs: number): void {
    this.rows.push([key, queue, size, attempts, dueMs]);
  }

  get keys(): number[] {
    return this.rows.map((row) => row[0]);
  }
}

/** Writes to the shard's database behind the shard's back. */
async function tamper(path: string, change: (batch: WriteBatch, store: LmdbStore) => void): Promise<void> {
  const { store } = LmdbStore.open(shardDirectory(path, 0 as ShardIndex), true, true);
  const batch = new WriteBatch();
  change(batch, store);
  assert.equal(await new Promise((resolve) => store.commit(batch, resolve)), null);
  await store.close();
}

test("every row is told once, in order, whatever the size of the steps", async (t) => {
  const path = scratch(t);
  const { shard, heard } = openShard(t, path);
  const first = await stored(shard, transaction(shard, "one", ["a"]));
  const three = await stored(shard, transaction(shard, "three", ["a", "b", "c"], { dueMs: 99 }));
  const last = await stored(shard, transaction(shard, "longer", ["a"]));
  shard.reschedule(last, 2, 1234);
  await heard.when(() => heard.batches === 4);
  await shard.close();
  for (const step of [1, 2, 5, 100]) {
    const again = openShard(t, path).shard;
    const sink = new Rows();
    const replay = again.replay(sink, 0);
    assert.equal(replay.expected, 5);
    let steps = 1;
    while (!replay.step(step)) steps++;
    assert.ok(steps >= 5 / step);
    assert.deepEqual(sink.rows, [
      [first, "example.net", 3, 0, 0],
      [three, "example.net", 5, 0, 99],
      [three + 1, "example.net", 5, 0, 99],
      [three + 2, "example.net", 5, 0, 99],
      [last, "example.net", 6, 2, 1234],
    ]);
    assert.equal(again.refs.size, 1);
    await again.close();
  }
});

test("a worker that takes over hears only what is new, but counts everything", async (t) => {
  const path = scratch(t);
  const { shard } = openShard(t, path);
  const known = await stored(shard, transaction(shard, "known", ["a", "b"]));
  const fresh = await stored(shard, transaction(shard, "fresh", ["a"]));
  await shard.close();
  const again = openShard(t, path);
  const sink = new Rows();
  await again.shard.replay(sink, known + 1).run(10);
  assert.deepEqual(sink.keys, [fresh]);
  await removed(again.shard, again.heard, known, 1);
  assert.equal(again.shard.read((known + 1) as SpoolKey).kind, "message", "the shared body was counted");
});

test("mail that is stored or removed while the scan runs is neither told twice nor lost", async (t) => {
  const path = scratch(t);
  const { shard } = openShard(t, path);
  const pair = await stored(shard, transaction(shard, "pair", ["a", "b"]));
  const single = await stored(shard, transaction(shard, "single", ["a"]));
  await shard.close();
  const again = openShard(t, path);
  const sink = new Rows();
  const replay = again.shard.replay(sink, 0);
  assert.equal(replay.step(1), false);
  assert.deepEqual(sink.keys, [pair]);
  // The first recipient is settled before the scan knows of the second one.
  again.shard.remove(pair, 7);
  const late = await stored(again.shard, transaction(again.shard, "late", ["x", "y"]));
  assert.deepEqual(again.heard.removed, [], "held until the counts are complete");
  await replay.run(1);
  assert.deepEqual(sink.keys, [pair, pair + 1, single]);
  await again.heard.when(() => again.heard.removed.includes(7));
  assert.equal(again.shard.read(pair).kind, "missing");
  assert.equal(again.shard.read((pair + 1) as SpoolKey).kind, "message");
  await removed(again.shard, again.heard, late, 8);
  assert.equal(again.shard.read((late + 1) as SpoolKey).kind, "message");
});

test("damaged rows are quarantined, bodies without rows are removed, and all else is told", async (t) => {
  const path = scratch(t);
  const { shard } = openShard(t, path);
  const keys: SpoolKey[] = [];
  for (let i = 0; i < 6; i++) keys.push(await stored(shard, transaction(shard, `message ${i}`, ["a"])));
  const pair = await stored(shard, transaction(shard, "pair", ["a", "b"]));
  await shard.close();
  await tamper(path, (batch, store) => {
    const flipped = store.row(keys[1]!)!;
    flipped[50]! ^= 1;
    batch.patchedKeys.push(keys[1]!, keys[2]!, pair);
    const firstOfPair = store.row(pair)!;
    firstOfPair[9]! ^= 1;
    batch.patchedRows.push(flipped, Buffer.from("nonsense"), firstOfPair);
    batch.removedRows.push(keys[3]!);
    batch.removedBodies.push(keys[4]!);
  });
  const again = openShard(t, path);
  const sink = new Rows();
  const replay = again.shard.replay(sink, 0);
  await replay.run(2);
  assert.deepEqual(sink.keys, [keys[0], keys[5], pair + 1]);
  assert.deepEqual(
    again.heard.quarantined.map((entry) => entry.key),
    [keys[1], keys[2], keys[4], pair],
  );
  assert.equal(again.heard.quarantined[2]?.reason, "the body is missing");
  again.shard.commitNow();
  await again.heard.when(() => again.shard.store.bodyKeys(0, Number.MAX_SAFE_INTEGER).length === 3);
  assert.equal(again.shard.count(), 3);
  assert.ok(existsSync(join(path, "quarantine", `000-${keys[2]}.meta`)));
  assert.equal(again.shard.read((pair + 1) as SpoolKey).kind, "message", "the body of a sound row stays");
  assert.deepEqual(again.shard.store.bodyKeys(0, Number.MAX_SAFE_INTEGER), [keys[0], keys[5], pair]);
  await again.shard.close();
  const third = openShard(t, path);
  const quiet = new Rows();
  const second = third.shard.replay(quiet, 0);
  await second.run(100);
  assert.deepEqual([quiet.keys.length, second.quarantined, second.orphans], [3, 0, 0]);
});

test("a damaged row that has its record from a worker that died before its removal goes without another one", async (t) => {
  const path = scratch(t);
  const { shard } = openShard(t, path);
  const alone = await stored(shard, transaction(shard, "alone", ["a"]));
  const pair = await stored(shard, transaction(shard, "pair", ["a", "b"]));
  const other = await stored(shard, transaction(shard, "other", ["a"]));
  await shard.close();
  await tamper(path, (batch) => {
    batch.patchedKeys.push(alone, pair, other);
    batch.patchedRows.push(Buffer.from("nonsense"), Buffer.from("nonsense"), Buffer.from("nonsense"));
  });
  const first = openShard(t, path);
  await first.shard.replay(new Rows(), 0).run(1);
  assert.deepEqual(
    first.heard.quarantined.map((entry) => entry.key),
    [alone, pair, other],
  );
  // It dies before `commitNow`; two of the records are in the log.
  await first.shard.close();
  const second = openShard(t, path);
  second.shard.sentenced.begin([], new Set([alone, pair]), () => true);
  const sink = new Rows();
  const replay = second.shard.replay(sink, 0);
  await replay.run(1);
  assert.deepEqual(
    second.heard.quarantined.map((entry) => entry.key),
    [other],
  );
  assert.equal(replay.quarantined, 1);
  second.shard.commitNow();
  await second.heard.when(() => second.shard.count() === 1);
  assert.deepEqual(sink.keys, [pair + 1]);
  assert.equal(second.shard.read((pair + 1) as SpoolKey).kind, "message", "the body of a sound row stays");
  assert.deepEqual(second.shard.store.bodyKeys(0, Number.MAX_SAFE_INTEGER), [pair]);
  await second.shard.close();
});
