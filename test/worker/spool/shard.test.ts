import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { SpoolKey } from "../../../src/base/brands.js";
import { shardDirectory } from "../../../src/worker/spool/directories.js";
import { LmdbStore } from "../../../src/worker/spool/lmdb-store.js";
import { Heard, openShard, reception, removed, scratch, stored, transaction } from "./helpers.js";

function contentOf(found: { kind: string; content?: Buffer }): string {
  return found.kind === "message" ? String(found.content) : found.kind;
}

test("what was stored is read back, from memory and from LMDB", async (t) => {
  for (const recentBytes of [0, 1 << 20]) {
    const { shard } = openShard(t, scratch(t), { recentBytes });
    const meta = { campaign: "spring", tags: [1, "two", null] };
    const key = await stored(
      shard,
      transaction(shard, "Subject: x\r\n\r\nhello\r\n", ["a"], { meta, flags: 3, dueMs: 77 }),
    );
    const found = shard.read(key);
    assert.equal(found.kind, "message");
    if (found.kind !== "message") return;
    const { content, hold, ...rest } = found;
    assert.equal(hold, null, "so small a content is the collector's");
    assert.equal(String(content), "Subject: x\r\n\r\nhello\r\n");
    assert.deepEqual(rest, {
      kind: "message",
      key,
      bodyKey: key,
      flags: 3,
      attempts: 0,
      dueMs: 77,
      envelope: { sender: "sender@example.com", recipient: "a@example.net", queue: "example.net", reception, meta },
    });
    assert.equal(shard.read((key + 1) as SpoolKey).kind, "missing");
  }
});

test("all of one turn goes in one transaction, and all that comes meanwhile in the next", async (t) => {
  const { shard, heard } = openShard(t, scratch(t));
  const batchesSeen: number[] = [];
  shard.storeTransaction(transaction(shard, "watched", ["a"]), { onStored: () => batchesSeen.push(heard.batches) });
  const first = Array.from({ length: 49 }, (_, i) => stored(shard, transaction(shard, `first ${i}`, ["a"])));
  setImmediate(() =>
    setImmediate(() => {
      for (let i = 0; i < 50; i++) void stored(shard, transaction(shard, `second ${i}`, ["a"]));
    }),
  );
  await Promise.all(first);
  assert.deepEqual(batchesSeen, [0], "waiters are told before the batch is announced");
  await heard.when(() => shard.stats.stored === 100);
  assert.ok(shard.stats.commits <= 3, `${shard.stats.commits} commits`);
});

test("a shared body stays until its last recipient is gone, in any order", async (t) => {
  for (const order of [
    [0, 1, 2],
    [2, 1, 0],
    [1, 0, 2],
  ]) {
    const path = scratch(t);
    const { shard, heard } = openShard(t, path);
    const other = await stored(shard, transaction(shard, "other", ["z"]));
    const first = await stored(shard, transaction(shard, "shared", ["a", "b", "c"]));
    assert.equal(shard.refs.size, 1);
    for (const [done, i] of order.entries()) {
      for (const left of order.slice(done)) assert.equal(contentOf(shard.read((first + left) as SpoolKey)), "shared");
      await removed(shard, heard, (first + i) as SpoolKey, 100 + i);
      assert.equal(shard.read((first + i) as SpoolKey).kind, "missing");
    }
    assert.equal(shard.refs.size, 0);
    assert.equal(contentOf(shard.read(other)), "other");
    await removed(shard, heard, other, 1);
    assert.equal(shard.store.lastKey(), 0, "neither rows nor bodies are left");
  }
});

test("attempts and due time survive; the rest of the row stays as it was", async (t) => {
  const path = scratch(t);
  const { shard, heard } = openShard(t, path, { recentBytes: 1 << 20 });
  const key = await stored(shard, transaction(shard, "text", ["a"]));
  shard.reschedule(key, 4, 123_456);
  await heard.when(() => heard.batches === 2);
  await shard.close();
  const again = openShard(t, path).shard;
  const found = again.read(key);
  assert.ok(found.kind === "message");
  assert.deepEqual([found.attempts, found.dueMs, found.envelope.recipient], [4, 123_456, "a@example.net"]);
  again.reschedule((key + 1) as SpoolKey, 1, 1);
  assert.equal(again.read((key + 1) as SpoolKey).kind, "missing", "a row that is gone is not brought back");
});

test("keys never repeat: not within a millisecond, not when the clock steps back, not after a restart", async (t) => {
  const path = scratch(t);
  const { shard, clock } = openShard(t, path);
  const first = shard.newKeys(3);
  assert.equal(shard.newKeys(1), first + 3);
  clock.advance(5);
  const key = shard.newKeys(1);
  assert.equal(key, first + 5 * 4096);
  await stored(shard, transaction(shard, "text", ["a", "b"]));
  await shard.close();
  const restarted = openShard(t, path).shard;
  assert.ok(restarted.newKeys(1) > key + 2);
});

test("keys taken in one order may be stored in another", async (t) => {
  const { shard } = openShard(t, scratch(t));
  const early = transaction(shard, "early", ["a"]);
  const late = transaction(shard, "late", ["a", "b"]);
  await stored(shard, late);
  await stored(shard, early);
  assert.equal(contentOf(shard.read(early.firstKey)), "early");
  assert.equal(contentOf(shard.read(late.firstKey)), "late");
});

test("a body that was changed on disk is set aside, reported once, and the others go on", async (t) => {
  const path = scratch(t);
  const { shard, heard } = openShard(t, path);
  const bad = await stored(shard, transaction(shard, "will be damaged", ["a"]));
  const good = await stored(shard, transaction(shard, "good", ["b"]));
  await shard.close();
  const { store } = LmdbStore.open(shardDirectory(path, shard.index), true, true);
  const { WriteBatch } = await import("../../../src/worker/spool/write-batch.js");
  const batch = new WriteBatch();
  batch.bodyKeys.push(bad);
  batch.bodies.push(Buffer.from("was damaged!!!!"));
  assert.equal(await new Promise((resolve) => store.commit(batch, resolve)), null);
  await store.close();

  const again = openShard(t, path);
  await again.shard.replay({ onRow() {} }, 0).run(10);
  const found = again.shard.read(bad);
  assert.deepEqual(found, { kind: "damaged", reason: "checksum of the body does not match" });
  assert.equal(again.heard.quarantined.length, 1);
  assert.deepEqual(again.heard.quarantined[0]?.key, bad);
  assert.equal(again.shard.count(), 2, "it stays until its record is written");
  assert.deepEqual(again.shard.read(bad), { kind: "damaged", reason: "it is in quarantine" });
  again.shard.remove(bad, 9);
  again.shard.commitNow();
  await again.heard.when(() => again.shard.stats.removed > 0);
  assert.deepEqual(again.heard.removed, [9], "one removal, whoever asks for it");
  assert.equal(again.heard.quarantined.length, 1);
  assert.equal(again.shard.read(bad).kind, "missing");
  assert.equal(contentOf(again.shard.read(good)), "good");
  assert.deepEqual(readdirSync(join(path, "quarantine")).sort(), [`000-${bad}.eml`, `000-${bad}.meta`]);
  assert.equal(readFileSync(join(path, "quarantine", `000-${bad}.eml`), "latin1"), "was damaged!!!!");
  assert.deepEqual(again.shard.store.bodyKeys(0, Number.MAX_SAFE_INTEGER), [good]);
  assert.equal(heard.quarantined.length, 0);
});

test("without a flush of its own, a forced message is told after a sync, others after the commit", async (t) => {
  const syncs: string[] = [];
  const path = scratch(t);
  const heard = new Heard();
  const { shard } = openShard(t, path, {
    events: heard,
    durability: "committed",
    syncIntervalMs: 3_600_000,
    openStore: () => {
      const { store } = LmdbStore.open(shardDirectory(path, 0 as typeof shard.index), false, true);
      const sync = store.sync.bind(store);
      store.sync = (done) =>
        sync((error) => {
          syncs.push("synced");
          done(error);
        });
      return store;
    },
  });
  await stored(shard, transaction(shard, "plain", ["a"]));
  assert.deepEqual(syncs, []);
  await stored(shard, transaction(shard, "forced", ["a"], { forceFlush: true }));
  assert.deepEqual(syncs, ["synced"]);
  await shard.close();
  assert.deepEqual(syncs, ["synced", "synced"], "closing syncs what is left");
});

test("removals wait a moment for stores to go with: one transaction for both; alone they go by themselves", async (t) => {
  const { shard, heard } = openShard(t, scratch(t));
  const first = await stored(shard, transaction(shard, "first", ["a"]));
  const commits = shard.stats.commits;
  shard.remove(first, 1);
  shard.commitNow();
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
  const second = await stored(shard, transaction(shard, "second", ["a"]));
  assert.deepEqual(heard.removed, [1], "it went with the store");
  assert.equal(shard.stats.commits, commits + 1);
  await removed(shard, heard, second, 2);
  assert.equal(shard.stats.commits, commits + 2);
  assert.equal(shard.count(), 0);
});
