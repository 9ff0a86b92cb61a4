import { parentPort, workerData } from "node:worker_threads";
import type { ShardIndex, SpoolKey } from "../../../src/base/brands.js";
import { ShardReader } from "../../../src/worker/spool/shard-reader.js";

/** A thread that reads from another thread's shard what it is told of, and answers with what it could not read. */
const port = parentPort!;
const reader = ShardReader.open(workerData.spoolPath as string, 0 as ShardIndex);
let read = 0;
const wrong: string[] = [];
port.on("message", (message: { keys: number[]; last: boolean }) => {
  for (const key of message.keys) {
    const found = reader.read(key as SpoolKey);
    const good =
      found.kind === "message" &&
      found.content.length > 10_000 &&
      found.content.toString("latin1", 0, 20).includes(`#${key}#`);
    if (good) read++;
    else wrong.push(`${key}: ${found.kind}`);
  }
  if (!message.last) return;
  void reader.close().then(() => {
    port.postMessage({ read, wrong });
    port.close();
  });
});
port.postMessage("ready");
