/**
 * The worker's pen: what happened becomes a line of the event log.
 *
 * Runs on   a worker
 * Owns      the worker's end of the log file
 * When full (the disk does not take lines) lines wait in memory; the worker publishes no outcome and takes no mail until
 *           they are written, so what waits is bounded by the sessions that are open
 * On failure `healthy` is false and the fault is reported once; the next flush tries again
 */
import { assert } from "../base/assert.js";
import type { Clock } from "../base/clock.js";
import type { Fault } from "../base/fault.js";
import { Counter } from "../protocol/metrics.js";
import type { DelayReason, ResponseText } from "../protocol/records.js";
import type { LogFile } from "./events/log-file.js";
import type { AttemptFacts, MessageFacts, MessageRecordKind, RecordLines, RejectionFacts } from "./events/record.js";

/** See the file's header. */
export class Journal {
  readonly #file: LogFile;
  readonly #lines: RecordLines;
  readonly #clock: Clock;
  readonly #counters: Float64Array;
  readonly #onFault: (fault: Fault) => void;
  #healthy = true;

  constructor(
    file: LogFile,
    lines: RecordLines,
    clock: Clock,
    counters: Float64Array,
    onFault: (fault: Fault) => void,
  ) {
    this.#file = file;
    this.#lines = lines;
    this.#clock = clock;
    this.#counters = counters;
    this.#onFault = onFault;
  }

  /** Whether the last write succeeded. */
  get healthy(): boolean {
    return this.#healthy;
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

  /** Writes a record about a refusal. */
  rejection(facts: RejectionFacts): void {
    this.#append(this.#lines.rejection(this.#file.shared.nextSeq(), this.#clock.wallMs(), facts));
  }

  #append(line: string): void {
    (this.#counters[Counter.logRecords] as number)++;
    const taken = this.#file.append(line);
    assert(taken !== 0, "lines that wait for the log are bounded by the sessions that are open");
  }

  /** Goes on in another segment; on failure the old one stays in use. */
  switchTo(path: string): void {
    this.#file.switchTo(path);
  }

  /** Writes everything; false when some of it still waits. */
  flush(): boolean {
    const written = this.#file.flush();
    if (!written) {
      (this.#counters[Counter.logWriteFailures] as number)++;
      if (this.#healthy && this.#file.fault !== null) this.#onFault(this.#file.fault);
    }
    this.#healthy = written;
    return written;
  }

  /** Writes what waits and closes the file. */
  close(): void {
    this.#file.close();
  }
}
