import assert from "node:assert/strict";
import { once } from "node:events";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import type { ShardIndex } from "../../../src/base/brands.js";
import { ShardReader } from "../../../src/worker/spool/shard-reader.js";
import { openShard, scratch, transaction } from "./helpers.js";

test("two other threads see each of 5,000 messages as soon as they are told of it", async (t) => {
  const path = scratch(t);
  const { shard, heard } = openShard(t, path);
  const threads = [0, 1].map(
    () => new Worker(new URL("./reader-thread.js", import.meta.url), { workerData: { spoolPath: path } }),
  );
  t.after(() => Promise.all(threads.map((thread) => thread.terminate())));
  await Promise.all(threads.map((thread) => once(thread, "message")));
  let announced: number[] = [];
  let toldOf = 0;
  for (let i = 0; i < 100; i++) {
    for (let j = 0; j < 50; j++) {
      const what = transaction(shard, "", ["a"]);
      const content = Buffer.alloc(10_100, 120);
      content.write(`#${what.firstKey}#`);
      shard.storeTransaction(
        { ...what, content },
        {
          onStored: (fault) => {
            assert.equal(fault, null);
            announced.push(what.firstKey);
          },
        },
      );
    }
    const batches = heard.batches;
    await heard.when(() => heard.batches > batches && announced.length > 0);
    toldOf += announced.length;
    for (const thread of threads) thread.postMessage({ keys: announced, last: toldOf === 5000 });
    announced = [];
  }
  const answers = await Promise.all(threads.map((thread) => once(thread, "message")));
  for (const [answer] of answers) assert.deepEqual(answer, { read: 5000, wrong: [] });
});

test("a reader of a shard that does not exist says so", (t) => {
  assert.throws(() => ShardReader.open(scratch(t), 3 as ShardIndex), { code: "spool.unwritable", errno: "ENOENT" });
});
