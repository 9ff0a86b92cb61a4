/** The other thread of `bench/micro/ring.ts`. */
import { parentPort, workerData } from "node:worker_threads";
import { Bell, Sleeper } from "../../src/ring/doorbell.js";
import { RingReader } from "../../src/ring/ring.js";

const { task, memory, bells, count, index } = workerData as {
  task: "read" | "store" | "answer";
  memory: SharedArrayBuffer;
  bells: Int32Array;
  count: number;
  index?: number;
};
const keepAlive = setInterval(() => {}, 1000);

if (task === "read") {
  const reader = new RingReader(memory);
  let read = 0;
  const turn = (): void => {
    sleeper.stayAwake();
    for (;;) {
      while (reader.next()) read++;
      reader.release();
      if (read === count) {
        clearInterval(keepAlive);
        parentPort?.postMessage("done");
        return;
      }
      sleeper.sleep();
      if (!reader.waiting) return;
      sleeper.stayAwake();
    }
  };
  const sleeper = new Sleeper(bells, 0, turn);
  sleeper.sleep();
} else if (task === "store") {
  setImmediate(() => {
    Atomics.wait(bells, 128, 0);
    for (let i = 0; i < count; i++) Atomics.store(bells, index ?? 0, i);
    clearInterval(keepAlive);
    parentPort?.postMessage("done");
  });
} else {
  const bell = new Bell(bells, 32);
  const sleeper = new Sleeper(bells, 0, () => {
    sleeper.sleep();
    bell.ring();
  });
  sleeper.sleep();
}
parentPort?.postMessage("ready");
