import { closeSync, fstatSync, openSync, writeSync } from "node:fs";
import { orderedError } from "../../base/failpoints.js";
import { errnoOf, Fault, messageOf } from "../../base/fault.js";
import type { LogShared } from "./log-shared.js";

/** Room for lines at the start; it doubles up to the limit. */
const FIRST_BYTES = 256 * 1024;
const LINE_END = 0x0a;
/** The first byte of the buffer is kept for a line end that a torn line may need before it. */
const HEAD = 1;

/** How lines reach the disk; tests put a disk that fails in its place. */
export interface LogDisk {
  /** Opens for appending, making the file when there is none. */
  open(path: string): number;
  /** Writes and returns how much, as `fs.writeSync`. */
  write(fd: number, bytes: Uint8Array, from: number, length: number): number;
  close(fd: number): void;
}

/** The file system. */
export const realDisk: LogDisk = {
  open: (path) => openSync(path, "a", 0o640),
  write: (fd, bytes, from, length) => {
    const ordered = orderedError("log.write");
    if (ordered !== null) throw ordered;
    return writeSync(fd, bytes, from, length);
  },
  close: closeSync,
};

/**
 * A worker's end of the log: lines gather in a buffer during a turn and leave in one `write` with O_APPEND, which the
 * kernel keeps whole between threads, so that all workers share one file.
 *
 *     append … append ─▶ [ buffer ] ─▶ flush: one write ─▶ segment
 *
 * A spool entry may only be removed when the line that tells of its end is written: `append` returns the line's number,
 * and `written` is the number of the last line that has left.
 *
 * Runs on: the worker. Owns: its buffer and its descriptor of the segment.
 * When full: `append` returns 0 and takes nothing; whoever called waits (and the spool entry stays).
 * On failure: `flush` returns false, `fault` says why, the lines stay and are tried at the next `flush`. A line that was
 *   written in part is written again whole, on a line of its own.
 */
export class LogFile {
  readonly shared: LogShared;
  readonly #disk: LogDisk;
  readonly #maxBytes: number;
  #buffer: Buffer;
  #end = HEAD;
  #fd = -1;
  #appended = 0;
  #written = 0;
  #fault: Fault | null = null;

  /** @param maxBytes most bytes of lines that wait to be written, at least 256 KiB; a single line may be longer. */
  constructor(shared: LogShared, maxBytes: number, disk: LogDisk = realDisk) {
    this.shared = shared;
    this.#disk = disk;
    this.#maxBytes = Math.max(maxBytes, FIRST_BYTES);
    this.#buffer = Buffer.allocUnsafe(FIRST_BYTES);
    this.#buffer[0] = LINE_END;
  }

  /** Why the last flush failed, null when it did not. */
  get fault(): Fault | null {
    return this.#fault;
  }

  /** The descriptor of the segment, for a group `fdatasync`; −1 when there is none. It changes with `switchTo`. */
  get fd(): number {
    return this.#fd;
  }

  /** Bytes in the segment, of all its writers; null when that cannot be found out. */
  size(): number | null {
    try {
      return this.#fd < 0 ? null : fstatSync(this.#fd).size;
    } catch {
      return null;
    }
  }

  /** Number of the last line that was written; lines are numbered from 1 in the order of `append`. */
  get written(): number {
    return this.#written;
  }

  /** Bytes that wait. */
  get waitingBytes(): number {
    return this.#end - HEAD;
  }

  /** More than half of the room for lines is taken: nothing should be begun that makes more of them. */
  get crowded(): boolean {
    return this.waitingBytes > this.#maxBytes / 2;
  }

  /**
   * True when a line of up to `bytes` bytes will be taken. Ask before taking a seq: a number that was taken must be
   * written. Tries to write when there is no room.
   */
  hasRoom(bytes: number): boolean {
    if (this.#end + bytes + 1 <= this.#buffer.length || this.#grow(bytes)) return true;
    return this.flush() && (this.#end + bytes + 1 <= this.#buffer.length || this.#grow(bytes));
  }

  /**
   * Takes a line (without its end) and returns its number, or 0 when there is no room: then nothing was taken.
   * The line is on its way only after a `flush`.
   */
  append(line: string): number {
    // A character is at most three bytes of UTF-8 per UTF-16 unit.
    if (this.#end + line.length * 3 + 1 > this.#buffer.length && !this.hasRoom(line.length * 3)) {
      const bytes = Buffer.byteLength(line);
      if (!this.hasRoom(bytes)) return 0;
    }
    this.#end += this.#buffer.write(line, this.#end);
    this.#buffer[this.#end++] = LINE_END;
    return ++this.#appended;
  }

  /** Writes what waits. True when everything appended so far is in the file (in the page cache: see `fd`). */
  flush(): boolean {
    if (this.#end === HEAD) return true;
    if (this.#fd < 0) return false;
    let from = this.shared.takeTorn() ? 0 : HEAD;
    try {
      while (from < this.#end) {
        const wrote = this.#disk.write(this.#fd, this.#buffer, from, this.#end - from);
        if (wrote === this.#end - from) break;
        if (wrote <= 0) throw new Error("nothing was written");
        this.#keepRest(from + wrote);
        if (this.#end === HEAD) break;
        from = this.shared.takeTorn() ? 0 : HEAD;
      }
    } catch (error) {
      if (from === 0) this.shared.setTorn();
      this.#fault = unwritable("write to the log", error);
      return false;
    }
    this.#end = HEAD;
    this.#written = this.#appended;
    this.#fault = null;
    return true;
  }

  /**
   * Goes on in another segment; what waits is written to the old one first, else to the new one.
   * @throws {Fault} `log.unwritable` when the new segment cannot be opened: then the old one stays.
   */
  switchTo(path: string): void {
    let fd: number;
    try {
      fd = this.#disk.open(path);
    } catch (error) {
      throw unwritable(`open the log segment ${path}`, error);
    }
    this.flush();
    if (this.#fd >= 0) this.#disk.close(this.#fd);
    this.#fd = fd;
  }

  /** Writes what waits and closes. False when lines are lost with it. */
  close(): boolean {
    const clean = this.flush();
    if (this.#fd >= 0) this.#disk.close(this.#fd);
    this.#fd = -1;
    return clean;
  }

  /** The write stopped before `at`: drops the whole lines before it, keeps the rest from the beginning of its line. */
  #keepRest(at: number): void {
    let keep = Math.max(HEAD, this.#buffer.lastIndexOf(LINE_END, at - 1) + 1);
    if (at > keep) {
      this.shared.setTorn();
      // All but its end: whoever writes next begins with that.
      if (this.#buffer[at] === LINE_END) keep = at + 1;
    }
    for (let i = HEAD; i < keep; i++) if (this.#buffer[i] === LINE_END) this.#written++;
    this.#buffer.copyWithin(HEAD, keep, this.#end);
    this.#end -= keep - HEAD;
  }

  #grow(bytes: number): boolean {
    const needed = this.#end + bytes + 1;
    // A line alone is always taken, or its message could never end.
    if (needed > this.#maxBytes && this.#end > HEAD) return false;
    const grown = Buffer.allocUnsafe(Math.max(needed, Math.min(this.#maxBytes, this.#buffer.length * 2)));
    this.#buffer.copy(grown, 0, 0, this.#end);
    this.#buffer = grown;
    return true;
  }
}

function unwritable(what: string, error: unknown): Fault {
  return new Fault("log.unwritable", `cannot ${what}: ${messageOf(error)}`, { errno: errnoOf(error), cause: error });
}
