import { workerData } from "node:worker_threads";
import { LogFile } from "../../../src/worker/events/log-file.js";
import { LogShared } from "../../../src/worker/events/log-shared.js";

/** A thread that writes 1,000 lines of its own to a file that others write too. */
const shared = new LogShared(workerData.shared as SharedArrayBuffer);
const log = new LogFile(shared, 1 << 20);
log.switchTo(workerData.path as string);
for (let i = 0; i < 1000; i++) {
  log.append(JSON.stringify({ seq: Number(shared.nextSeq()), who: workerData.who, pad: "x".repeat(i % 300) }));
  if (i % 7 === 0) log.flush();
}
log.close();
