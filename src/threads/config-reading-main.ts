/** The thread of `readConfig`: reads, checks, answers, ends. */
import { parentPort, workerData } from "node:worker_threads";
import { readConfigHere } from "./config-reading.js";

parentPort?.postMessage(await readConfigHere(String(workerData)));
