import assert from "node:assert/strict";
import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { ShardIndex, WorkerIndex } from "../../src/base/brands.js";
import { SystemClock } from "../../src/base/clock.js";
import { loadConfig } from "../../src/config/load.js";
import { SharedState } from "../../src/protocol/layout/shared-state.js";
import { Shards } from "../../src/worker/shards.js";
import { createSwapGate } from "../../src/worker/spool/swap-gate.js";
import { makeDir, removeDir, writeConfig } from "../support/server.js";
import { stored, transaction } from "./spool/helpers.js";

test("after a compaction the other workers read the new file, and let go of the old one", async () => {
  const dir = makeDir();
  const { config } = loadConfig(writeConfig(dir, { workers: 2 }));
  const shared = new SharedState(SharedState.allocate(3));
  const swapGate = createSwapGate(2);
  const faults: string[] = [];
  const ignore = (): void => {};
  const [owner, other] = [0, 1].map((index) => {
    const shard = index as ShardIndex;
    const shards = [{ shard, announce: [], settled: new Float64Array(), newest: 0, known: false, sentences: [] }];
    return new Shards({ index: index as WorkerIndex, config, shards, swapGate }, new SystemClock(), shared, {
      removed: ignore,
      batch: ignore,
      quarantined: ignore,
      fault: (_shard, fault) => faults.push(fault.message),
      reopening: ignore,
      mended: ignore,
    });
  }) as [Shards, Shards];
  const shard = owner.own(0 as ShardIndex);
  const first = await stored(shard, transaction(shard, "first", ["a"]));
  assert.equal(other.read(shard.index, first).kind, "message");
  await owner.compact(shard);
  const second = await stored(shard, transaction(shard, "second", ["a"]));
  assert.equal(other.read(shard.index, second).kind, "message", "what was stored behind the swap is found at once");
  await owner.compact(shard);
  // Nobody reads any more: the sweep lets go.
  other.closeStaleReaders();
  await new Promise((resolve) => setImmediate(resolve));
  const old = readdirSync("/proc/self/fd").filter((fd) => {
    try {
      const path = readlinkSync(join("/proc/self/fd", fd));
      return path.startsWith(dir) && path.endsWith("data.mdb (deleted)");
    } catch {
      return false;
    }
  });
  assert.deepEqual(old, [], "no file without a name is kept");
  assert.deepEqual(faults, []);
  await owner.close();
  await other.close();
  removeDir(dir);
});
