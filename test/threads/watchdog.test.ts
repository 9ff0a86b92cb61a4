/** The watchdog: finds who spins, and leaves alone who waits, who was not given the processor, and who slept with us. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import { type Finding, Watchdog } from "../../src/threads/watchdog.js";
import { osThread, threadCpuMs } from "../../src/worker/os-thread.js";
import { until } from "../support/server.js";

const TIMEOUT_MS = 10_000;

/** A watchdog over one worker, with a clock and a processor of the test's own. */
class Watch {
  nowMs = 5000;
  cpuMs: number | null = 0;
  beats = 0;
  readonly dog = new Watchdog(TIMEOUT_MS, () => this.cpuMs);

  look(): Finding {
    this.dog.begin(this.nowMs);
    return this.dog.look(0, this.beats, 1);
  }

  /** Looks each second for so long; returns what was found, without `well`. */
  silence(seconds: number, cpuPerSecond: number): Finding[] {
    const found: Finding[] = [];
    for (let second = 0; second < seconds; second++) {
      this.nowMs += 1000;
      if (this.cpuMs !== null) this.cpuMs += cpuPerSecond;
      found.push(this.look());
    }
    return found.filter((finding) => finding !== "well");
  }
}

test("no turn for the time-out and the processor in use: it spins, and no earlier", () => {
  const watch = new Watch();
  watch.look();
  assert.deepEqual(watch.silence(9, 1000), []);
  assert.deepEqual(watch.silence(1, 1000), ["spins"]);
});

test("a turn now and then, however slow, is well", () => {
  const watch = new Watch();
  for (let i = 0; i < 20; i++) {
    watch.beats++;
    watch.look();
    assert.deepEqual(watch.silence(9, 1000), []);
  }
});

test("one that waits for the disk uses no processor time: told once, left alone; one turn, and it is as new", () => {
  const watch = new Watch();
  watch.look();
  assert.deepEqual(watch.silence(60, 10), ["waits"]);
  watch.beats++;
  assert.deepEqual(watch.silence(60, 10), ["waits"]);
});

test("one that spins with a tenth of the processor is found when it has used enough of it", () => {
  const watch = new Watch();
  watch.look();
  assert.deepEqual(watch.silence(49, 100), ["waits"]);
  assert.deepEqual(watch.silence(2, 100), ["spins"]);
});

test("when the whole process stood still, nobody is blamed for it", () => {
  const watch = new Watch();
  watch.look();
  for (const hours of [1, 5, 24]) {
    watch.nowMs += hours * 3_600_000;
    if (watch.cpuMs !== null) watch.cpuMs += 60_000;
    assert.equal(watch.look(), "well", "stopped for hours, looked at before it could take its turn");
    watch.beats++;
    watch.nowMs += 1000;
    assert.equal(watch.look(), "well");
  }
});

test("where processor time cannot be told, silence counts; one that is not watched is not blamed for the time before", () => {
  const watch = new Watch();
  watch.cpuMs = null;
  watch.look();
  watch.silence(9, 0);
  watch.dog.pass(0);
  watch.look();
  assert.deepEqual(watch.silence(9, 0), []);
  assert.deepEqual(watch.silence(1, 0), ["spins"]);
});

test("this system tells the processor time of a thread: one that spins uses it, one that sleeps does not", async (t) => {
  if (osThread() === 0) return t.skip("no /proc here");
  assert.equal(osThread(), process.pid, "the main thread has the number of the process");
  const source = `
    const { readlinkSync } = require("node:fs");
    const { parentPort, workerData } = require("node:worker_threads");
    parentPort.postMessage(Number(readlinkSync("/proc/thread-self").split("/").pop()));
    if (workerData === "spin") for (;;);
    setInterval(() => {}, 1000);`;
  const used: number[] = [];
  for (const kind of ["spin", "sleep"]) {
    const worker = new Worker(source, { eval: true, workerData: kind });
    const thread = await new Promise<number>((resolve) => worker.once("message", resolve));
    const first = threadCpuMs(thread) ?? Number.NaN;
    assert.ok(first >= 0);
    const since = performance.now();
    await until(() => performance.now() - since > 2000 || (threadCpuMs(thread) ?? 0) - first >= 100, "some time");
    used.push((threadCpuMs(thread) ?? 0) - first);
    await worker.terminate();
    assert.equal(threadCpuMs(thread), null, "a thread that is gone");
  }
  assert.ok((used[0] ?? 0) >= 100, `the one that spins used ${used[0]} ms`);
  assert.ok((used[1] ?? 0) < 100, `the one that sleeps used ${used[1]} ms`);
});
