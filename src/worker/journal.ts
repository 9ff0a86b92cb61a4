/**
 * The worker's pen: what happened becomes a line of the event log.
 *
 * Runs on   a worker
 * Owns      the worker's end of the log file
 * When full (the disk does not take lines) lines wait in memory; the worker publishes no outcome and takes no mail until
 *           they are written, so what its sessions make is bounded by their number; refusals are counted, not written; the
 *           scheduler's decisions, as many as there are messages, are not read while the lines are `crowded`
 * On failure `healthy` is false, a gauge that all threads can read says so, and the fault is reported once; the next flush
 *           tries again
 */
import { assert } from "../base/assert.js";
import type { Clock } from "../base/clock.js";
import { Fault, messageOf } from "../base/fault.js";
import type { LogSegment } from "../protocol/messages.js";
import { Counter } from "../protocol/metrics.js";
import type { DelayReason, ResponseText } from "../protocol/records.js";
import type { LogFile } from "./events/log-file.js";
import type { AttemptFacts, MessageFacts, MessageRecordKind, RecordLines, RejectionFacts } from "./events/record.js";

/** How often at most the place in the log up to which everything is reported is noted. */
const NOTE_MS = 100;

/** See the file's header. */
export class Journal {
  readonly #file: LogFile;
  readonly #lines: RecordLines;
  readonly #clock: Clock;
  readonly #counters: Float64Array;
  readonly #onFault: (fault: Fault) => void;
  readonly #reported: Float64Array;
  #healthy = true;
  #segment: LogSegment | null = null;
  #notedMs = Number.NEGATIVE_INFINITY;

  /** @param reported see `SharedState.logReported`. */
  constructor(
    file: LogFile,
    lines: RecordLines,
    clock: Clock,
    counters: Float64Array,
    reported: Float64Array,
    onFault: (fault: Fault) => void,
  ) {
    this.#file = file;
    this.#lines = lines;
    this.#clock = clock;
    this.#counters = counters;
    this.#reported = reported;
    this.#onFault = onFault;
  }

  /** Whether the last write succeeded. */
  get healthy(): boolean {
    return this.#healthy;
  }

  /** So many lines wait that no order is to be carried out that makes another one. */
  get crowded(): boolean {
    return this.#file.crowded;
  }

  /** Writes a record about a message. */
  message(
    kind: MessageRecordKind,
    message: MessageFacts,
    response: ResponseText,
    attempt: AttemptFacts,
    reason: DelayReason | null,
  ): void {
    const seq = this.#file.shared.nextSeq();
    const nowMs = this.#clock.wallMs();
    this.#append(this.#lines.message(kind, seq, nowMs, message, response, attempt, reason, "Uncategorized"));
  }

  /** Writes a record about a refusal. While the log cannot be written it is only counted: clients make as many as they like. */
  rejection(facts: RejectionFacts): void {
    if (!this.#healthy) {
      (this.#counters[Counter.rejectionsUnlogged] as number)++;
      return;
    }
    this.#append(this.#lines.rejection(this.#file.shared.nextSeq(), this.#clock.wallMs(), facts));
  }

  #append(line: string): void {
    (this.#counters[Counter.logRecords] as number)++;
    const taken = this.#file.append(line);
    assert(taken !== 0, "lines that wait for the log are bounded: by open sessions, and by orders that are not read");
  }

  /** As {@link switchTo}, reporting the fault. */
  trySwitchTo(segment: LogSegment): void {
    try {
      this.switchTo(segment);
    } catch (error) {
      this.#onFault(error instanceof Fault ? error : new Fault("log.unwritable", messageOf(error)));
    }
  }

  /** Goes on in another segment; on failure the old one stays in use. */
  switchTo(segment: LogSegment): void {
    this.#file.switchTo(segment.path);
    this.#segment = segment;
    this.#notedMs = Number.NEGATIVE_INFINITY;
  }

  /**
   * Everything that was written is reported: notes the place now and then, so that after the thread's death only what lies
   * behind it need be looked at. Returns the segment when this is the first note in it, else null.
   */
  noteReported(): LogSegment | null {
    const nowMs = this.#clock.monoMs();
    const segment = this.#segment;
    if (segment === null || nowMs - this.#notedMs < NOTE_MS) return null;
    const first = this.#notedMs === Number.NEGATIVE_INFINITY;
    this.#notedMs = nowMs;
    const size = this.#file.size();
    if (size === null) return null;
    this.#reported[0] = segment.number;
    this.#reported[1] = size;
    return first ? segment : null;
  }

  /** The last flush had something to write. */
  wroteNow = false;

  /** Writes everything; false when some of it still waits. */
  flush(): boolean {
    this.wroteNow = this.#file.waitingBytes > 0;
    const written = this.#file.flush();
    if (!written) {
      (this.#counters[Counter.logWriteFailures] as number)++;
      if (this.#healthy && this.#file.fault !== null) this.#onFault(this.#file.fault);
    }
    this.#counters[Counter.logsUnwritable] = written ? 0 : 1;
    this.#healthy = written;
    return written;
  }

  /** Writes what waits and closes the file. */
  close(): void {
    this.#file.close();
  }
}
