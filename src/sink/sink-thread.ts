/**
 * A sink on a thread of its own, so that the scheduler's thread never receives mail: what sandbox mode starts.
 *
 * Runs on   the main thread; the sink itself on the thread that it starts
 * Owns      that thread
 * When full at most one question for the counters is under way; further askers share its answer
 * On failure a thread that does not come up rejects the start; one that dies later resolves `gone`
 */
import { Worker } from "node:worker_threads";
import { Fault, type FaultCode, messageOf } from "../base/fault.js";
import type { SinkOptions } from "./options.js";
import type { SinkStats } from "./stats.js";

/** What the sink's thread says. */
export type SinkThreadSays =
  | { readonly kind: "ready"; readonly host: string; readonly port: number }
  | { readonly kind: "failed"; readonly code: FaultCode; readonly errno: string | null; readonly message: string }
  | { readonly kind: "stats"; readonly stats: SinkStats };

/** What is said to the sink's thread. */
export type SinkThreadHears = "stats" | "stop";

/** A sink on a thread of its own. */
export interface SinkThread {
  readonly host: string;
  readonly port: number;
  /** Resolves when the thread has ended, with the reason unless it was stopped. */
  readonly gone: Promise<string | null>;
  /** The counters. Rejects with a fault `worker.lost` when the thread is gone. */
  stats(): Promise<SinkStats>;
  /** Drops every connection and ends the thread. */
  stop(): Promise<void>;
}

/**
 * Starts a sink on a thread of its own; `options` cannot have `onMessage`.
 * @throws {Fault} `listen.*` when the address cannot be listened on; `worker.lost` when the thread dies at its start.
 */
export function startSinkThread(options: Omit<SinkOptions, "onMessage">): Promise<SinkThread> {
  const worker = new Worker(new URL("./sink-thread-main.js", import.meta.url), { workerData: options });
  const say = (message: SinkThreadHears) => worker.postMessage(message);
  let reason: string | null = null;
  let asked: { promise: Promise<SinkStats>; answer: (stats: SinkStats) => void; fail: (error: Fault) => void } | null =
    null;
  const gone = new Promise<string | null>((resolve) => {
    worker.on("error", (error) => {
      reason = messageOf(error);
    });
    worker.on("exit", (code) => {
      reason ??= code === 0 ? null : `exit code ${code}`;
      asked?.fail(new Fault("worker.lost", "the sink's thread has ended"));
      resolve(reason);
    });
  });
  let ended = false;
  gone.then(() => {
    ended = true;
  });

  const stats = (): Promise<SinkStats> => {
    if (ended) return Promise.reject(new Fault("worker.lost", "the sink's thread has ended"));
    if (asked === null) {
      let answer: (stats: SinkStats) => void = () => {};
      let fail: (error: Fault) => void = () => {};
      const promise = new Promise<SinkStats>((resolve, reject) => {
        answer = resolve;
        fail = reject;
      });
      asked = { promise, answer, fail };
      say("stats");
    }
    return asked.promise;
  };
  const stop = async (): Promise<void> => {
    if (!ended) say("stop");
    await gone;
  };
  return new Promise((resolve, reject) => {
    gone.then((why) => reject(new Fault("worker.lost", `the sink's thread did not start: ${why ?? "it ended"}`)));
    worker.on("message", (message: SinkThreadSays) => {
      switch (message.kind) {
        case "ready":
          resolve({ host: message.host, port: message.port, gone, stats, stop });
          break;
        case "failed":
          reject(new Fault(message.code, message.message, { errno: message.errno }));
          break;
        case "stats":
          asked?.answer(message.stats);
          asked = null;
          break;
      }
    });
  });
}
