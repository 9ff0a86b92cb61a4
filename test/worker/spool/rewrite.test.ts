import assert from "node:assert/strict";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { ShardIndex, SpoolKey } from "../../../src/base/brands.js";
import { shardDirectory } from "../../../src/worker/spool/directories.js";
import { LmdbStore } from "../../../src/worker/spool/lmdb-store.js";
import type { Shard } from "../../../src/worker/spool/shard.js";
import type { ShardStore } from "../../../src/worker/spool/shard-store.js";
import { gate, openShard, removed, scratch, stored, transaction } from "./helpers.js";

const ERROR = Object.assign(new Error("Input/output error"), { code: "EIO" });

/** LMDB, whose next syncs, commits or copies fail when told so. */
function failing(path: string, sync = false) {
  const fail = { syncs: 0, commits: 0, copies: 0 };
  const openStore = (): ShardStore => {
    const { store } = LmdbStore.open(shardDirectory(path, 0 as ShardIndex), sync, true);
    const flush = store.sync.bind(store);
    const commit = store.commit.bind(store);
    const copyTo = store.copyTo.bind(store);
    store.sync = (done) => (fail.syncs-- > 0 ? setImmediate(done, ERROR) : flush(done));
    store.commit = (batch, done) => (fail.commits-- > 0 ? setImmediate(done, ERROR) : commit(batch, done));
    store.copyTo = (directory) => (fail.copies-- > 0 ? Promise.reject(ERROR) : copyTo(directory));
    return store;
  };
  return { openStore, fail };
}

function inode(path: string): number {
  return statSync(join(shardDirectory(path, 0 as ShardIndex), "data.mdb")).ino;
}

function marked(path: string): boolean {
  return existsSync(join(shardDirectory(path, 0 as ShardIndex), "unsynced"));
}

function contentOf(shard: Shard, key: SpoolKey): string {
  const found = shard.read(key);
  return found.kind === "message" ? found.content.toString() : found.kind;
}

const COMMITTED = { durability: "committed", syncIntervalMs: 1 } as const;

for (const durability of ["committed", "deferred"] as const) {
  test(`${durability}: after a failed background sync the mail is in a file of its own before more is taken`, async (t) => {
    const path = scratch(t);
    const { openStore, fail } = failing(path);
    const { shard, heard } = openShard(t, path, { openStore, durability, syncIntervalMs: 1 });
    const big = "large ".repeat(5000);
    fail.syncs = 1;
    // One commit, so that the sync which fails comes behind all of it.
    const [first, second, third] = await Promise.all([
      stored(shard, transaction(shard, "small", ["a"])),
      stored(shard, transaction(shard, big, ["a", "b"])),
      stored(shard, transaction(shard, "last", ["a"])),
    ]);
    await heard.when(() => shard.fault !== null);
    assert.ok(marked(path));
    const before = inode(path);
    await shard.reopen(gate());
    assert.notEqual(inode(path), before, "another file");
    assert.equal(marked(path), false);
    assert.deepEqual(
      [first, second, third].map((key) => contentOf(shard, key)),
      ["small", big, "last"],
    );
    assert.equal(shard.count(), 4);
    const forced = await stored(shard, transaction(shard, "forced", ["a"], { forceFlush: true }));
    await removed(shard, heard, first, 1);
    await shard.close();
    const again = openShard(t, path, { check: true });
    assert.deepEqual(
      [first, second, forced].map((key) => contentOf(again.shard, key)),
      ["missing", big, "forced"],
    );
  });
}

test("a shard whose file could not be rewritten takes no mail, and reads what it has", async (t) => {
  const path = scratch(t);
  const { openStore, fail } = failing(path);
  const { shard } = openShard(t, path, { openStore, ...COMMITTED, syncIntervalMs: 3_600_000 });
  const kept = await stored(shard, transaction(shard, "kept", ["a"]));
  fail.syncs = 1;
  await assert.rejects(stored(shard, transaction(shard, "forced", ["a"], { forceFlush: true })));
  const before = inode(path);
  fail.copies = 2;
  for (let n = 0; n < 2; n++) {
    await assert.rejects(shard.reopen(gate()), { code: "spool.commit-failed", message: /rewritten: Input\/output/ });
    assert.equal(shard.fault?.code, "spool.commit-failed");
    assert.equal(contentOf(shard, kept), "kept");
    await assert.rejects(stored(shard, transaction(shard, "refused", ["a"])), { code: "spool.commit-failed" });
  }
  assert.equal(inode(path), before);
  await shard.reopen(gate());
  assert.notEqual(inode(path), before);
  assert.equal(contentOf(shard, kept), "kept");
});

test("the doubt outlives the shard: the next start rewrites the file before it takes mail", async (t) => {
  const path = scratch(t);
  const { openStore, fail } = failing(path);
  const first = openShard(t, path, { openStore, ...COMMITTED });
  fail.syncs = 1;
  const key = await stored(first.shard, transaction(first.shard, "text", ["a"]));
  await first.heard.when(() => first.shard.fault !== null);
  await first.shard.close();
  const before = inode(path);
  const { shard } = openShard(t, path, { durability: "flushed" });
  shard.recallDoubt();
  await assert.rejects(stored(shard, transaction(shard, "refused", ["a"])), { code: "spool.commit-failed" });
  await shard.reopen(gate());
  assert.notEqual(inode(path), before);
  assert.equal(contentOf(shard, key), "text");
  await stored(shard, transaction(shard, "more", ["a"]));
  await shard.close();
  const third = openShard(t, path, COMMITTED);
  third.shard.recallDoubt();
  assert.equal(third.shard.fault, null, "only once");
});

test("a failed commit leaves no doubt: nothing of it is reachable, and the file stays", async (t) => {
  const path = scratch(t);
  const { openStore, fail } = failing(path, true);
  const { shard } = openShard(t, path, { openStore });
  await stored(shard, transaction(shard, "kept", ["a"]));
  const before = inode(path);
  fail.commits = 1;
  await assert.rejects(stored(shard, transaction(shard, "lost", ["a"])));
  await shard.reopen(gate());
  assert.equal(inode(path), before);
});

test("a shard is closed while its file is being rewritten: the one after the other", async (t) => {
  const path = scratch(t);
  const { openStore, fail } = failing(path);
  const { shard, heard } = openShard(t, path, { openStore, ...COMMITTED });
  fail.syncs = 1;
  const key = await stored(shard, transaction(shard, "text", ["a"]));
  await heard.when(() => shard.fault !== null);
  let over = false;
  const reopening = shard.reopen(gate()).then(() => {
    over = true;
  });
  await shard.close();
  assert.ok(over, "nothing is opened behind the end");
  await reopening;
  const again = openShard(t, path, COMMITTED);
  assert.equal(contentOf(again.shard, key), "text");
});
