/**
 * Ring and doorbell: `node dist/bench/micro/ring.js`.
 *
 *   ring: write and read      one frame of 40 bytes of fields, written, published, read, released, in one thread
 *   ring: two threads         frames per second through a ring between two threads
 *   ring: false sharing       two threads storing to words of one cache line, and of two lines
 *   doorbell: wake            microseconds from a ring to the other thread's answer
 */
import { Worker } from "node:worker_threads";
import { Bench } from "tinybench";
import { FrameKind } from "../../src/protocol/layout/frames.js";
import { Bell, Sleeper } from "../../src/ring/doorbell.js";
import { RingReader, RingWriter, ringBytes } from "../../src/ring/ring.js";

const peer = new URL("./ring-peer.js", import.meta.url);

function report(name: string, value: number, unit: string): void {
  process.stdout.write(`${name.padEnd(44)} ${value.toFixed(value < 10 ? 3 : 0).padStart(12)} ${unit}\n`);
}

async function oneThread(): Promise<void> {
  const memory = new SharedArrayBuffer(ringBytes(65536));
  const writer = new RingWriter(memory);
  const reader = new RingReader(memory);
  const bench = new Bench({ time: 300 });
  bench.add("ring: write and read", () => {
    const at = writer.reserve(FrameKind.deliver, 32);
    writer.u32[at >> 2] = 1;
    writer.publish();
    reader.next();
    reader.release();
  });
  await bench.run();
  const result = bench.tasks[0]?.result;
  if (result !== undefined && "latency" in result) report("ring: write and read", result.latency.mean * 1e6, "ns");
}

async function twoThreads(frames: number): Promise<void> {
  const memory = new SharedArrayBuffer(ringBytes(1 << 20));
  const bells = new Int32Array(new SharedArrayBuffer(256));
  const worker = new Worker(peer, { workerData: { task: "read", memory, bells, count: frames } });
  const writer = new RingWriter(memory);
  const bell = new Bell(bells, 0);
  await new Promise((resolve) => worker.once("message", resolve));
  const start = performance.now();
  const finished = new Promise((resolve) => worker.once("message", resolve));
  for (let sent = 0; sent < frames; ) {
    for (let n = 0; n < 64 && sent < frames; n++) {
      const at = writer.reserve(FrameKind.deliver, 32);
      if (at < 0) break;
      writer.u32[at >> 2] = sent++;
    }
    writer.publish();
    bell.ring();
  }
  await finished;
  report("ring: two threads", frames / ((performance.now() - start) / 1000) / 1e6, "million frames/s");
  await worker.terminate();
}

async function sharing(sameLine: boolean, stores: number): Promise<number> {
  const words = new Int32Array(new SharedArrayBuffer(1024));
  const worker = new Worker(peer, {
    workerData: { task: "store", memory: words.buffer, bells: words, count: stores, index: sameLine ? 1 : 64 },
  });
  await new Promise((resolve) => worker.once("message", resolve));
  const finished = new Promise((resolve) => worker.once("message", resolve));
  Atomics.store(words, 128, 1);
  Atomics.notify(words, 128);
  const start = performance.now();
  for (let i = 0; i < stores; i++) Atomics.store(words, 0, i);
  const ns = ((performance.now() - start) * 1e6) / stores;
  await finished;
  await worker.terminate();
  return ns;
}

async function wake(rounds: number): Promise<void> {
  const bells = new Int32Array(new SharedArrayBuffer(256));
  const worker = new Worker(peer, { workerData: { task: "answer", memory: bells.buffer, bells, count: rounds } });
  await new Promise((resolve) => worker.once("message", resolve));
  const bell = new Bell(bells, 0);
  const keepAlive = setInterval(() => {}, 1000);
  const start = performance.now();
  await new Promise<void>((resolve) => {
    let left = rounds;
    const sleeper = new Sleeper(bells, 32, () => {
      if (--left === 0) return resolve();
      sleeper.sleep();
      bell.ring();
    });
    sleeper.sleep();
    bell.ring();
  });
  report("doorbell: wake (there and back)", ((performance.now() - start) * 1000) / rounds, "µs");
  clearInterval(keepAlive);
  await worker.terminate();
}

await oneThread();
await twoThreads(3_000_000);
const stores = 20_000_000;
const shared = await sharing(true, stores);
const apart = await sharing(false, stores);
report("ring: false sharing, one cache line", shared, "ns per store");
report("ring: false sharing, a line each", apart, "ns per store");
report("ring: false sharing, cost", shared / apart, "times");
await wake(20_000);
