import assert from "node:assert/strict";
import { once } from "node:events";
import { statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import type { ShardIndex } from "../../../src/base/brands.js";
import { shardDirectory } from "../../../src/worker/spool/directories.js";
import { churn } from "./churn.js";
import { openShard, scratch, stored, transaction } from "./helpers.js";

test("a shard's file stays within 1.5 times the peak of live bytes, whatever comes and goes", async (t) => {
  const course = await churn({
    spoolPath: scratch(t),
    seed: 1,
    seconds: 8,
    bytes: 1.5e9,
    depthBytes: 40e6,
    reader: true,
  });
  assert.ok(course.storedBytes > 10 * course.peakBytes, `only ${course.storedBytes} bytes were churned`);
  const times = course.fileBytes / course.peakBytes;
  assert.ok(times < 1.5, `the file has ${course.fileBytes} bytes, ${times.toFixed(2)} times the peak of live bytes`);
});

test("a thread that has read and is busy then does not keep the file growing", async (t) => {
  const path = scratch(t);
  const { shard } = openShard(t, path, { durability: "committed" });
  const bytes = "x".repeat(20_000);
  let last = await stored(shard, transaction(shard, bytes, ["a"]));
  const worker = new Worker(new URL("./busy-reader.js", import.meta.url), { workerData: { spoolPath: path } });
  t.after(() => worker.terminate());
  await once(worker, "message");
  const free = new Int32Array(new SharedArrayBuffer(4));
  worker.postMessage({ key: last, free });
  const [kind] = await once(worker, "message");
  assert.equal(kind, "message");
  // It sits in its turn now, and 40 MB come and go.
  for (let i = 0; i < 2000; i++) {
    const next = stored(shard, transaction(shard, bytes, ["a"]));
    shard.remove(last, 0);
    last = await next;
  }
  Atomics.store(free, 0, 1);
  Atomics.notify(free, 0);
  const size = statSync(join(shardDirectory(path, 0 as ShardIndex), "data.mdb")).size;
  assert.ok(size < 1_000_000, `the file has ${size} bytes`);
});
