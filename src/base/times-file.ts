/**
 * Moments of messages, by message number, in a file: one process notes when a message was taken, another when it
 * arrived, and whoever has both files joins them. The clock is the machine's monotonic one, the same for all processes.
 *
 *   record, 16 bytes:  number (float64) | microseconds (float64), in the machine's byte order
 *
 * Runs on   the thread that measures
 * Owns      an open file and a buffer of 64 KiB
 * When full the buffer is written out, which takes the page cache a few microseconds
 * On failure a file that cannot be made or written is a fault
 */
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { causeOf, Fault } from "./fault.js";

const FIELDS = 2;
const RECORDS = 4096;
const LOOKS = 100;
/** `performance.now` counts from the start of the process; the machine's monotonic clock was this far then. */
const OFFSET_US = offsetUs();

/** What passes between reading the two clocks makes their distance smaller: the greatest of many is the truest. */
function offsetUs(): number {
  let best = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < LOOKS; i++) {
    best = Math.max(best, Number(process.hrtime.bigint()) / 1000 - performance.now() * 1000);
  }
  return best;
}

/** Microseconds on the machine's monotonic clock; comparable between processes of one machine. */
export function machineUs(): number {
  return OFFSET_US + performance.now() * 1000;
}

/** See the file's header. */
export class TimesWriter {
  readonly #path: string;
  readonly #file: number;
  readonly #records = new Float64Array(FIELDS * RECORDS);
  #used = 0;

  /** Makes the file, or empties it. @throws {Fault} `log.unwritable` */
  constructor(path: string) {
    this.#path = path;
    try {
      this.#file = openSync(path, "w");
    } catch (error) {
      throw new Fault("log.unwritable", `${path}: ${causeOf(error)}`, { cause: error });
    }
  }

  /** Notes that now is the moment of message `number`. @throws {Fault} `log.unwritable` */
  note(number: number): void {
    this.#records[this.#used] = number;
    this.#records[this.#used + 1] = machineUs();
    this.#used += FIELDS;
    if (this.#used === this.#records.length) this.#flush();
  }

  /** Writes what is left, and closes the file. @throws {Fault} `log.unwritable` */
  close(): void {
    this.#flush();
    closeSync(this.#file);
  }

  #flush(): void {
    const bytes = new Uint8Array(this.#records.buffer, 0, this.#used * Float64Array.BYTES_PER_ELEMENT);
    this.#used = 0;
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at);
    } catch (error) {
      throw new Fault("log.unwritable", `${this.#path}: ${causeOf(error)}`, { cause: error });
    }
  }
}

/** Calls `each` for every record of a file, in order; half a record at its end is passed over. */
export function readTimes(path: string, each: (number: number, atUs: number) => void): void {
  const records = new Float64Array(FIELDS * RECORDS);
  const bytes = new Uint8Array(records.buffer);
  const file = openSync(path, "r");
  try {
    for (;;) {
      let held = 0;
      for (let got = -1; got !== 0 && held < bytes.length; held += got) {
        got = readSync(file, bytes, held, bytes.length - held, null);
      }
      const fields = Math.floor(held / (FIELDS * Float64Array.BYTES_PER_ELEMENT)) * FIELDS;
      for (let i = 0; i < fields; i += FIELDS) each(records[i] as number, records[i + 1] as number);
      if (held < bytes.length) return;
    }
  } finally {
    closeSync(file);
  }
}

const LOCAL_CHARS = 12;
const LOCAL_MARK = "n";

/** The local part that carries a message's number from one process to the other: `n00000000042`. */
export function numberedLocal(number: number): string {
  return LOCAL_MARK + String(number).padStart(LOCAL_CHARS - 1, "0");
}

/** The number that a local part carries; -1 when it carries none. */
export function numberOfLocal(local: string): number {
  if (local.length !== LOCAL_CHARS || !local.startsWith(LOCAL_MARK)) return -1;
  const digits = local.slice(1);
  return /^\d+$/.test(digits) ? Number(digits) : -1;
}
