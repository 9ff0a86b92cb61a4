import { SystemClock } from "../base/clock.js";
import type { Undo } from "../base/undo.js";
import type { LogConfig } from "../config/compiled.js";
import { type LogTail, readLogTail } from "../worker/events/log-tail.js";
import { Segments } from "../worker/events/segments.js";

/** The event log, open for this run. */
export interface OpenLog {
  readonly files: Segments;
  readonly lastSeq: bigint;
  /** What the newest records of earlier runs say. */
  readonly tail: LogTail;
}

/**
 * Opens the event log: reads what earlier runs left, then finishes it, and begins a segment of this run.
 * @throws {Fault} `log.unwritable`, `log.unreadable`.
 */
export async function openLog(config: LogConfig, notice: (line: string) => void, undo: Undo): Promise<OpenLog> {
  const files = new Segments({
    dir: config.dir,
    maxFileSize: config.maxFileSize,
    maxSegmentDurationMs: config.maxSegmentDurationMs,
    clock: new SystemClock(),
    onFault: (fault) => notice(`${fault.code}: ${fault.message}`),
  });
  const { lastSeq, newest } = await files.open();
  const tail = await readLogTail(newest);
  files.finishLeft();
  undo.push(() => files.idle());
  return { files, lastSeq, tail };
}
