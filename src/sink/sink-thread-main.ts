import { parentPort, workerData } from "node:worker_threads";
import { assert } from "../base/assert.js";
import { Fault, messageOf } from "../base/fault.js";
import { loadNative } from "../native/load.js";
import type { SinkOptions } from "./options.js";
import { startSink } from "./sink.js";
import type { SinkThreadHears, SinkThreadSays } from "./sink-thread.js";

/** The thread that `sink-thread.ts` starts: a sink, and the port by which it is asked and stopped. */
async function main(): Promise<void> {
  const port = parentPort;
  assert(port !== null, "the sink's thread was not started as one");
  const say = (message: SinkThreadSays) => port.postMessage(message);
  loadNative().nameThread("hk-sink");
  try {
    const options: SinkOptions = workerData;
    const sink = await startSink(options);
    port.on("message", async (message: SinkThreadHears) => {
      if (message === "stats") {
        say({ kind: "stats", stats: sink.stats() });
        return;
      }
      await sink.stop();
      port.close();
    });
    say({ kind: "ready", host: sink.host, port: sink.port });
  } catch (error) {
    const known = error instanceof Fault ? error : new Fault("listen.failed", messageOf(error));
    say({ kind: "failed", code: known.code, errno: known.errno, message: known.message });
    port.close();
  }
}

await main();
