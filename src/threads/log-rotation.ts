/**
 * When the event log goes on in a new segment: asks now and then, tells the workers, finishes the old file afterwards.
 *
 * Runs on   the main thread
 * Owns      a timer, and segments that wait until no worker writes them any more
 * When full at most one segment waits per interval
 * On failure a segment that cannot be made is reported; the old one stays in use
 */
import { messageOf } from "../base/fault.js";
import type { Segments } from "../worker/events/segments.js";
import type { Supervisor } from "./supervisor.js";

const CHECK_MS = 1000;
/** A worker switches when it reads the message, within a turn or two; then nobody writes the old file. */
const GRACE_MS = 10_000;

/** See the file's header. */
export class LogRotation {
  readonly #segments: Segments;
  readonly #supervisor: Supervisor;
  readonly #notice: (line: string) => void;
  readonly #timer: NodeJS.Timeout;
  readonly #finishing = new Set<NodeJS.Timeout>();

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
      this.#supervisor.broadcast({ kind: "segment", path });
      const timer = setTimeout(() => {
        this.#finishing.delete(timer);
        this.#segments.finish(finished);
      }, GRACE_MS);
      timer.unref();
      this.#finishing.add(timer);
    } catch (error) {
      this.#notice(messageOf(error));
    }
  }

  /** No rotation any more; what waits to be finished is left to the next start. */
  stop(): void {
    clearInterval(this.#timer);
    for (const timer of this.#finishing) clearTimeout(timer);
  }
}
