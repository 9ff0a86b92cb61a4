import assert from "node:assert/strict";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { ShardIndex } from "../../../src/base/brands.js";
import {
  assignShards,
  discoverShards,
  markShard,
  prepareShard,
  shardDirectory,
} from "../../../src/worker/spool/directories.js";
import { scratch } from "./helpers.js";

test("shards are found by their directories, in order, and nothing else is taken for one", (t) => {
  const path = scratch(t);
  for (const name of ["shard-002", "shard-000", "shard-1200", "shard-0", "shard-0003", "quarantine", "shard-99999"]) {
    mkdirSync(join(path, name));
  }
  assert.deepEqual(discoverShards(path), [0, 2, 1200]);
  assert.deepEqual(discoverShards(join(path, "absent")), []);
});

test("every worker has its own shard first, and leftover shards go round", () => {
  const existing = [0, 1, 2, 3, 4, 7] as ShardIndex[];
  assert.deepEqual(assignShards(existing, 2), [
    [0, 2, 4],
    [1, 3, 7],
  ]);
  assert.deepEqual(assignShards([], 3), [[0], [1], [2]]);
  assert.deepEqual(assignShards([1] as ShardIndex[], 3), [[0], [1], [2]]);
});

test("a shard that was in use is never opened as an empty one", (t) => {
  const directory = shardDirectory(scratch(t), 0 as ShardIndex);
  assert.equal(prepareShard(directory), "new");
  writeFileSync(join(directory, "data.mdb"), "");
  assert.equal(prepareShard(directory), "new", "made but never used: an interrupted first start");
  writeFileSync(join(directory, "data.mdb"), "x");
  assert.equal(prepareShard(directory), "unmarked", "interrupted a little later");
  writeFileSync(join(directory, "data.mdb"), "");
  markShard(directory);
  assert.throws(() => prepareShard(directory), { code: "spool.damaged", message: /data\.mdb is empty/ });
  writeFileSync(join(directory, "data.mdb"), "x");
  assert.equal(prepareShard(directory), "existing");
  writeFileSync(join(directory, "format"), "hikyaku shard 2\n");
  assert.throws(() => prepareShard(directory), { code: "spool.damaged", message: /unknown format/ });
});

test("a shard that was in use and whose directory is gone is noticed, also where no worker has its number any more", (t) => {
  const path = scratch(t);
  const directory = shardDirectory(path, 5 as ShardIndex);
  prepareShard(directory);
  markShard(directory);
  rmSync(directory, { recursive: true });
  assert.deepEqual(discoverShards(path), [5]);
  assert.throws(() => prepareShard(directory), { code: "spool.damaged", message: /shard-005 is missing.*in use/ });
  assert.equal(existsSync(directory), false, "it is not made anew");
  mkdirSync(directory);
  assert.throws(() => prepareShard(directory), { code: "spool.damaged", message: /data\.mdb is missing/ });
  rmSync(`${directory}.used`);
  assert.equal(prepareShard(directory), "new", "given up by its operator");
});

test("a path that cannot be a directory is a fault, not a crash", (t) => {
  const path = scratch(t);
  writeFileSync(join(path, "file"), "");
  assert.throws(() => prepareShard(join(path, "file", "shard-000")), { code: "spool.unwritable", errno: "ENOTDIR" });
});
