import { parentPort, workerData } from "node:worker_threads";
import { LmdbStore } from "../../../src/worker/spool/lmdb-store.js";

/** Scans a shard's rows and bodies again and again until it is told to stop; says what it saw most. */
const { directory, mapBytes } = workerData as { directory: string; mapBytes: number };
const store = LmdbStore.openForReading(directory, mapBytes);
let most = 0;
let wrong = 0;
let stopped = false;
parentPort?.on("message", () => {
  stopped = true;
});

function scan(): void {
  store.refresh();
  let seen = 0;
  for (const { key, value } of store.rows(0, Number.MAX_SAFE_INTEGER, 1_000_000)) {
    seen++;
    if (value.length !== 300 || store.body(key)?.length !== 20_000) wrong++;
  }
  most = Math.max(most, seen);
  if (!stopped) {
    setImmediate(scan);
    return;
  }
  parentPort?.postMessage({ most, wrong });
  void store.close();
  parentPort?.close();
}
parentPort?.postMessage("open");
scan();
