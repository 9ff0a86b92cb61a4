import assert from "node:assert/strict";
import { test } from "node:test";
import type { ShardIndex } from "../../../src/base/brands.js";
import { shardDirectory } from "../../../src/worker/spool/directories.js";
import { LmdbStore } from "../../../src/worker/spool/lmdb-store.js";
import type { ShardStore } from "../../../src/worker/spool/shard-store.js";
import { gate, openShard, scratch, stored, transaction } from "./helpers.js";

/** LMDB, whose next commits or syncs fail when told so. */
function failing(
  path: string,
  sync: boolean,
): { openStore: () => ShardStore; fail: { commits: number; syncs: number } } {
  const fail = { commits: 0, syncs: 0 };
  const error = Object.assign(new Error("Input/output error"), { code: "EIO" });
  const openStore = (): ShardStore => {
    const { store } = LmdbStore.open(shardDirectory(path, 0 as ShardIndex), sync, true);
    const commit = store.commit.bind(store);
    const flush = store.sync.bind(store);
    store.commit = (batch, done) => (fail.commits-- > 0 ? setImmediate(done, error) : commit(batch, done));
    store.sync = (done) => (fail.syncs-- > 0 ? setImmediate(done, error) : flush(done));
    return store;
  };
  return { openStore, fail };
}

test("after a failed commit nobody is told that mail is safe, and no mail is taken until the shard is open again", async (t) => {
  const path = scratch(t);
  const { openStore, fail } = failing(path, true);
  const { shard, heard } = openShard(t, path, { openStore });
  const safe = await stored(shard, transaction(shard, "safe", ["a"]));
  const settled = await stored(shard, transaction(shard, "settled", ["a"]));

  fail.commits = 1;
  const lost = transaction(shard, "lost", ["a", "b"]);
  shard.remove(settled, 5);
  shard.reschedule(safe, 3, 42);
  const outcome = stored(shard, lost);
  await assert.rejects(outcome, { code: "spool.commit-failed", errno: "EIO" });
  await heard.when(() => heard.faults.length > 0);
  assert.equal(heard.faults[0]?.code, "spool.commit-failed");
  await assert.rejects(stored(shard, transaction(shard, "refused", ["a"])), { code: "spool.commit-failed" });
  assert.equal(shard.read(lost.firstKey).kind, "missing");
  assert.deepEqual(heard.removed, []);

  await shard.reopen(gate());
  assert.equal(shard.fault, null);
  await heard.when(() => heard.removed.includes(5));
  assert.equal(shard.read(settled).kind, "missing", "the removal was not forgotten");
  const found = shard.read(safe);
  assert.deepEqual(found.kind === "message" && [found.attempts, found.dueMs], [3, 42], "nor was the reschedule");
  assert.equal(shard.refs.size, 0);
  await stored(shard, transaction(shard, "goes on", ["a"]));
});

test("what waited behind a failed commit is refused with it", async (t) => {
  const path = scratch(t);
  const { openStore, fail } = failing(path, true);
  const { shard } = openShard(t, path, { openStore });
  fail.commits = 1;
  const first = stored(shard, transaction(shard, "first", ["a"]));
  shard.commitNow();
  const behind = stored(shard, transaction(shard, "behind", ["a"]));
  const [one, two] = await Promise.allSettled([first, behind]);
  assert.deepEqual([one.status, two.status], ["rejected", "rejected"]);
  await shard.reopen(gate());
  assert.equal(shard.count(), 0);
});

test("a forced flush that fails takes its message back", async (t) => {
  const path = scratch(t);
  const { openStore, fail } = failing(path, false);
  const { shard, heard } = openShard(t, path, { openStore, durability: "committed", syncIntervalMs: 3_600_000 });
  const kept = await stored(shard, transaction(shard, "kept", ["a"]));
  fail.syncs = 1;
  const forced = transaction(shard, "forced", ["a", "b"], { forceFlush: true });
  await assert.rejects(stored(shard, forced), { code: "spool.commit-failed" });
  await shard.reopen(gate());
  await heard.when(() => shard.stats.removed === 2);
  assert.equal(shard.read(forced.firstKey).kind, "missing");
  assert.equal(shard.read(kept).kind, "message");
  assert.deepEqual(shard.store.bodyKeys(0, Number.MAX_SAFE_INTEGER), [kept]);
});

test("a failed background sync ends the trust in the shard", async (t) => {
  const path = scratch(t);
  const { openStore, fail } = failing(path, false);
  fail.syncs = 1;
  const { shard, heard } = openShard(t, path, { openStore, durability: "committed", syncIntervalMs: 1 });
  await stored(shard, transaction(shard, "text", ["a"]));
  await heard.when(() => shard.fault !== null);
  assert.equal(heard.faults[0]?.message, "spool sync failed: Input/output error");
  await shard.reopen(gate());
  await stored(shard, transaction(shard, "more", ["a"]));
});
