/**
 * When the event log goes on in a new segment: asks now and then, tells the workers, finishes the old file when the last
 * of them has switched.
 *
 * Runs on   the main thread
 * Owns      a timer, the segment that each worker writes, and segments that wait to be finished
 * When full one segment waits per rotation; a worker that does not answer for long is a dead one, and a new one answers
 * On failure a segment that cannot be made is reported; the old one stays in use
 */
import { messageOf } from "../base/fault.js";
import type { Segments } from "../worker/events/segments.js";
import type { Supervisor } from "./supervisor.js";

const CHECK_MS = 1000;

/** See the file's header. */
export class LogRotation {
  readonly #segments: Segments;
  readonly #supervisor: Supervisor;
  readonly #notice: (line: string) => void;
  readonly #timer: NodeJS.Timeout;
  /** By worker: the segment that it writes. */
  readonly #inUse = new Map<number, string>();
  #finishing: string[] = [];

  constructor(segments: Segments, supervisor: Supervisor, notice: (line: string) => void) {
    this.#segments = segments;
    this.#supervisor = supervisor;
    this.#notice = notice;
    this.#timer = setInterval(() => this.#look(), CHECK_MS);
    this.#timer.unref();
  }

  #look(): void {
    try {
      if (!this.#segments.due()) return;
      const { finished, path } = this.#segments.rotate();
      this.#finishing.push(finished);
      this.#supervisor.broadcast({ kind: "segment", path });
    } catch (error) {
      this.#notice(messageOf(error));
    }
  }

  /** A worker has said which segment it writes. */
  switched(worker: number, path: string): void {
    this.#inUse.set(worker, path);
    const inUse = new Set(this.#inUse.values());
    const free = this.#finishing.filter((segment) => !inUse.has(segment));
    this.#finishing = this.#finishing.filter((segment) => inUse.has(segment));
    for (const segment of free) this.#segments.finish(segment);
  }

  /** No rotation any more; what waits to be finished is left to the next start. */
  stop(): void {
    clearInterval(this.#timer);
  }
}
