/**
 * A file of lines that is written anew, as a whole, some seconds after something has changed.
 * Runs on: any thread with an event loop.
 * Owns: the file, and `FILE.new` while it is written.
 * When full: as large as what its lines describe.
 * On failure: a file that cannot be read or written is told; writing is tried again with the next change.
 */
import { readFileSync } from "node:fs";
import { rename, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { errnoOf, messageOf } from "./fault.js";
import { makeDirectories } from "./make-directories.js";

/** Lines that are made in one go: far less than a millisecond's work. */
const LINES_AT_ONCE = 200;

/** See the file's header. */
export class LinesFile {
  readonly #path: string;
  readonly #delayMs: number;
  readonly #lines: () => readonly (() => string)[];
  readonly #notice: (line: string) => void;
  #timer: NodeJS.Timeout | null = null;
  #writing: Promise<void> = Promise.resolve();

  /** @param lines what is to be written: one function per line, called a few hundred at a time. */
  constructor(path: string, delayMs: number, lines: () => readonly (() => string)[], notice: (line: string) => void) {
    this.#path = path;
    this.#delayMs = delayMs;
    this.#lines = lines;
    this.#notice = notice;
  }

  /** Hands each line to `read`, which says whether it made sense. */
  load(read: (line: string) => boolean): void {
    let text: string;
    try {
      text = readFileSync(this.#path, "utf8");
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") this.#notice(`${this.#path} cannot be read: ${messageOf(error)}`);
      return;
    }
    const bad = text.split("\n").filter((line) => line !== "" && !read(line)).length;
    if (bad > 0) this.#notice(`${this.#path}: ${bad} lines make no sense and are left out`);
  }

  /** Something has changed: the file is written after the delay. */
  changed(): void {
    if (this.#timer !== null) return;
    this.#timer = setTimeout(() => void this.save(), this.#delayMs);
    this.#timer.unref();
  }

  /** Writes the file now, after a write that is under way. */
  save(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#writing = this.#writing.then(async () => {
      const next = `${this.#path}.new`;
      try {
        makeDirectories(dirname(this.#path));
        await writeFile(next, inPieces(this.#lines()), { mode: 0o640, flush: true });
        await rename(next, this.#path);
      } catch (error) {
        this.#notice(`${this.#path} cannot be written: ${messageOf(error)}`);
      }
    });
    return this.#writing;
  }

  /** Writes what has not been written. */
  async stop(): Promise<void> {
    if (this.#timer !== null) await this.save();
    await this.#writing;
  }
}

function* inPieces(lines: readonly (() => string)[]): Generator<string> {
  for (let at = 0; at < lines.length; at += LINES_AT_ONCE) {
    const piece = lines.slice(at, at + LINES_AT_ONCE).map((line) => line());
    yield `${piece.join("\n")}\n`;
  }
}
