import { openSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { loadNative } from "../../src/native/load.js";
import { Peer, World } from "./peer.js";

/**
 * A worker thread of `threads.test.ts`: listens on `port` (0 for a port of its own), tells the port, greets everybody
 * with its name, keeps `outbound` connections to `target` with more written than leaves, and a sync under way.
 * What it receives tells it how to end: "throw", "exit", or nothing, when the parent terminates it.
 */
export interface ThreadTask {
  readonly name: string;
  readonly port: number;
  readonly target: number;
  readonly outbound: number;
  /** Path of a lock to take, or "". */
  readonly lock: string;
}

const task = workerData as ThreadTask;
const native = loadNative();
const world = new World(native);
world.whenAccepted = (peer) => {
  peer.connection.writeText(task.name);
  peer.whenData = () => {
    if (peer.received === "throw") throw new Error("thrown in a handler");
    if (peer.received === "exit") process.exit(0);
    if (peer.received === "sync") void native.sync(openSync(import.meta.filename, "r"));
  };
};
await world.listen("127.0.0.1", task.port);
const peers: Peer[] = [];
for (let i = 0; i < task.outbound; i++) {
  const peer = new Peer();
  peer.connection = world.connect({ port: task.target }).connection;
  peer.connection.writeBytes(Buffer.alloc(4_000_000));
  peers.push(peer);
}
// Never released: the next thread gets it because this one has ended.
if (task.lock !== "" && native.lockFile(task.lock) === null) throw new Error("the lock outlived its thread");
parentPort?.postMessage(world.port);
