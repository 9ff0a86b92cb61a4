/**
 * The worker threads: a Piscina pool in which every thread runs one long task, the resident worker.
 *
 * Runs on   the main thread
 * Owns      the threads
 * When full there are exactly as many tasks as threads; nothing queues
 * On failure a thread that ends rejects its task; Piscina starts a fresh thread for the next task
 *
 * Piscina's own task signalling would freeze a worker's event loop between tasks, so `atomics` is off; the workers talk
 * with the scheduler over rings.
 */
import { Piscina } from "piscina";
import { messageOf } from "../base/fault.js";
import type { WorkerInit } from "../worker/init.js";

/** See the file's header. */
export class WorkerPool {
  readonly #pool: Piscina<WorkerInit, void>;

  /** @param workers the number of threads, at least 1. */
  constructor(workers: number) {
    this.#pool = new Piscina<WorkerInit, void>({
      filename: new URL("../worker/worker.js", import.meta.url).pathname,
      name: "run",
      minThreads: workers,
      maxThreads: workers,
      idleTimeout: Number.POSITIVE_INFINITY,
      concurrentTasksPerWorker: 1,
      atomics: "disabled",
      recordTiming: false,
    });
    // Deaths of threads are heard through their tasks; an error between tasks must not end the process.
    this.#pool.on("error", () => {});
  }

  /** Runs a resident worker; resolves when it stopped as asked, rejects when its thread died. */
  run(init: WorkerInit): Promise<void> {
    return this.#pool.run(init);
  }

  /**
   * Ends the thread with this id from outside. Returns why it could not, null when it did. The last resort for a thread that hears
   * nothing any more: one that is inside LMDB's binding at that moment takes the process along (it cannot throw into a
   * script that is being ended, and aborts).
   */
  async kill(threadId: number): Promise<string | null> {
    const thread = this.#pool.threads.find((candidate) => candidate.threadId === threadId);
    if (thread === undefined) return `there is no thread ${threadId} any more`;
    try {
      await thread.terminate();
      return null;
    } catch (error) {
      return messageOf(error);
    }
  }

  /** Ends all threads. */
  async close(): Promise<void> {
    await this.#pool.destroy();
  }
}
