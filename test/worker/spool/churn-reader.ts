import { parentPort, workerData } from "node:worker_threads";
import type { ShardIndex, SpoolKey } from "../../../src/base/brands.js";
import { ShardReader } from "../../../src/worker/spool/shard-reader.js";

/** A thread that reads what it is told of from another thread's shard, as a session of another worker would. */
const reader = ShardReader.open(workerData.spoolPath as string, 0 as ShardIndex);
parentPort!.on("message", (keys: number[]) => {
  for (const key of keys) {
    const found = reader.read(key as SpoolKey);
    // What is gone was removed meanwhile.
    if (found.kind === "damaged" || found.kind === "failed") throw new Error(`key ${key}: ${found.reason}`);
  }
  parentPort!.postMessage("read");
});
parentPort!.postMessage("ready");
