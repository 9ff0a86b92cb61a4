/** A map that begins too small grows under its readers, and nothing is lost or misread. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { statSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { LmdbStore } from "../../../src/worker/spool/lmdb-store.js";
import { WriteBatch } from "../../../src/worker/spool/write-batch.js";
import { scratch } from "./helpers.js";

const FIRST_MAP_BYTES = 1 << 20;
const BATCHES = 100;
const PER_BATCH = 20;

function written(store: LmdbStore, batch: WriteBatch): Promise<void> {
  return new Promise((resolve, reject) => {
    store.commit(batch, (error) => (error === null ? resolve() : reject(error)));
  });
}

test("a map of 1 MiB takes 40 MB while two threads scan it", async (t) => {
  const directory = join(scratch(t), "shard-000");
  const { store } = LmdbStore.open(directory, true, true, FIRST_MAP_BYTES);
  t.after(() => store.close());
  const readers = [0, 1].map(
    () =>
      new Worker(new URL("./scan-thread.js", import.meta.url), {
        workerData: { directory, mapBytes: FIRST_MAP_BYTES },
      }),
  );
  await Promise.all(readers.map((reader) => once(reader, "message")));
  for (let at = 0; at < BATCHES; at++) {
    const batch = new WriteBatch();
    for (let i = 1; i <= PER_BATCH; i++) {
      const key = at * PER_BATCH + i;
      batch.rowKeys.push(key as (typeof batch.rowKeys)[number]);
      batch.rows.push(Buffer.alloc(300, at));
      batch.bodyKeys.push(key as (typeof batch.bodyKeys)[number]);
      batch.bodies.push(Buffer.alloc(20_000, at));
    }
    await written(store, batch);
  }
  const told = await Promise.all(
    readers.map(async (reader) => {
      reader.postMessage("stop");
      const [seen] = await once(reader, "message");
      return seen as { most: number; wrong: number };
    }),
  );
  for (const { most, wrong } of told) {
    assert.equal(wrong, 0, "a reader saw something that was not written");
    assert.ok(most > PER_BATCH, `a reader saw ${most} rows`);
  }
  store.refresh();
  assert.equal(store.count(), BATCHES * PER_BATCH);
  for (let key = 1; key <= BATCHES * PER_BATCH; key++) {
    assert.ok(store.body(key)?.equals(Buffer.alloc(20_000, Math.floor((key - 1) / PER_BATCH))), `body ${key}`);
  }
  assert.ok(statSync(join(directory, "data.mdb")).size > 30 * FIRST_MAP_BYTES);
});
