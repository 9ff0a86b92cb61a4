/**
 * When the event log goes on in a new segment: asks now and then, tells the workers, finishes the old file when the last
 * of them has switched.
 *
 * Runs on   the main thread
 * Owns      a timer, the numbers of the segments, which of them each worker writes, and those that wait to be finished
 * When full one segment waits per rotation; a worker that does not answer for long is a dead one, and a new one answers
 * On failure a segment that cannot be made is reported; the old one stays in use
 */
import { messageOf } from "../base/fault.js";
import type { LogSegment } from "../protocol/messages.js";
import { LogShared } from "../worker/events/log-shared.js";
import { LogTail, readLogTail } from "../worker/events/log-tail.js";
import type { Segments } from "../worker/events/segments.js";
import type { Supervisor } from "./supervisor.js";

const CHECK_MS = 1000;

/** See the file's header. */
export class LogRotation {
  readonly #segments: Segments;
  readonly #shared: LogShared;
  readonly #supervisor: Pick<Supervisor, "broadcast">;
  readonly #notice: (line: string) => void;
  readonly #timer: NodeJS.Timeout;
  /** By worker: the number of the oldest segment that it may write. */
  readonly #inUse = new Map<number, number>();
  /** Segments that may still be written, or are told of in reports to come; the last one is the current one. */
  #open: LogSegment[];

  constructor(
    segments: Segments,
    shared: SharedArrayBuffer,
    supervisor: Pick<Supervisor, "broadcast">,
    notice: (line: string) => void,
  ) {
    this.#segments = segments;
    this.#shared = new LogShared(shared);
    this.#supervisor = supervisor;
    this.#notice = notice;
    this.#open = [{ number: 1, path: segments.path }];
    this.#timer = setInterval(() => this.#look(), CHECK_MS);
    this.#timer.unref();
  }

  /** The segment that is written now. */
  get current(): LogSegment {
    return this.#open[this.#open.length - 1] as LogSegment;
  }

  /**
   * The segment that a worker is to begin with. It is this worker's until it has said that it writes a later one, however
   * long it takes to begin: a file that is finished under it would swallow its records.
   */
  begin(worker: number): LogSegment {
    const { current } = this;
    // The successor of a dead worker may still be asked for what that one wrote.
    if (!this.#inUse.has(worker)) this.#inUse.set(worker, current.number);
    return current;
  }

  /**
   * What a dead worker wrote and did not report, by what it noted of its progress (see `SharedState.logReported`). A log
   * that cannot be read knows nothing, and the operator is told.
   */
  async lastWordsOf(worker: number, reported: Float64Array): Promise<LogTail> {
    const [number, byte] = [reported[0] as number, reported[1] as number];
    const spans = this.#open
      .filter((segment) => segment.number >= number)
      .map((segment) => ({ path: segment.path, from: segment.number === number ? byte : 0 }));
    try {
      const tail = await readLogTail(spans);
      if (tail.torn) this.#shared.setTorn();
      return tail;
    } catch (error) {
      this.#notice(
        `what worker ${worker} settled last is not known, some of it may be done twice: ${messageOf(error)}`,
      );
      return new LogTail();
    }
  }

  #look(): void {
    try {
      if (!this.#segments.due()) return;
      const { path } = this.#segments.rotate();
      const segment = { number: this.current.number + 1, path };
      this.#open.push(segment);
      this.#supervisor.broadcast({ kind: "segment", segment });
    } catch (error) {
      this.#notice(messageOf(error));
    }
  }

  /** A worker has said which segment it writes, and that it has reported all that it wrote in earlier ones. */
  switched(worker: number, segment: LogSegment): void {
    this.#inUse.set(worker, segment.number);
    const oldest = Math.min(...this.#inUse.values());
    const finished = this.#open.filter(({ number }) => number < oldest);
    this.#open = this.#open.filter(({ number }) => number >= oldest);
    for (const { path } of finished) this.#segments.finish(path);
  }

  /** No rotation any more; what waits to be finished is left to the next start. */
  stop(): void {
    clearInterval(this.#timer);
  }
}
