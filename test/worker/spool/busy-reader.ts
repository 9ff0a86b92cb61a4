import { parentPort, workerData } from "node:worker_threads";
import type { ShardIndex, SpoolKey } from "../../../src/base/brands.js";
import { ShardReader } from "../../../src/worker/spool/shard-reader.js";

/** A thread that reads one message, says what it read, and then stays in the same event turn until it is freed. */
const reader = ShardReader.open(workerData.spoolPath as string, 0 as ShardIndex);
parentPort!.on("message", ({ key, free }: { key: number; free: Int32Array }) => {
  parentPort!.postMessage(reader.read(key as SpoolKey).kind);
  Atomics.wait(free, 0, 0, 20_000);
  void reader.close();
});
parentPort!.postMessage("ready");
