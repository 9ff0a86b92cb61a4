import { closeSync, existsSync, fstatSync, openSync, readdirSync, readSync } from "node:fs";
import { join } from "node:path";
import { openCompressed } from "../base/compression.js";
import { errnoOf, Fault, messageOf } from "../base/fault.js";
import { COMPRESSED_SUFFIXES, PLAIN_SUFFIX, parseSegmentName } from "../protocol/segment-name.js";

/** Bytes read from a file at a time. */
const CHUNK_BYTES = 64 * 1024;
/** A line without end beyond this is not a record: it is given up. */
const MAX_LINE_BYTES = 16 * 1024 * 1024;
const LINE_END = 0x0a;

/** What to follow, and how to wait. */
export interface FollowOptions {
  /** The log's directory; it may appear later. */
  readonly dir: string;
  /** True: everything that is there first, compressed files too; false: only what comes from now on. */
  readonly fromBeginning: boolean;
  /** False ends the iteration when everything that is there was told. */
  readonly live: boolean;
  /**
   * Waits until it is worth looking again, for at most a moment; returns false when the following is to end. The only
   * place where time passes: see `pollEvery` for the usual one.
   */
  readonly wait: () => Promise<boolean>;
}

/** The usual waiting: a fixed pause, cut short by the signal, which also ends the following. */
export function pollEvery(ms: number, signal: AbortSignal): () => Promise<boolean> {
  return () =>
    new Promise((resolve) => {
      if (signal.aborted) {
        resolve(false);
        return;
      }
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", end);
        resolve(!signal.aborted);
      };
      const timer = setTimeout(end, ms);
      signal.addEventListener("abort", end);
    });
}

/**
 * The lines of the event log, over rotations: a plain file is read as it grows, and so is its successor, until the old
 * one is marked finished or gone (a slow writer may still add to it). Lines come without their end; a line that was torn
 * by a full disk may be among them and is no JSON.
 *
 * Runs on: the command line. Owns: descriptors of the plain files (two during a rotation).
 * When full: memory is one chunk and one line per file. On failure: a file that cannot be read is passed over when it
 * has gone; otherwise that is a fault, and so is a directory that is not there when nothing is waited for.
 * @throws {Fault} `log.unreadable`.
 */
export async function* followLog(options: FollowOptions): AsyncGenerator<string, void, undefined> {
  const { dir } = options;
  const open: OpenSegment[] = [];
  let last = "";
  if (!options.live && !existsSync(dir)) throw new Fault("log.unreadable", `there is no log at ${dir}`);
  try {
    if (options.fromBeginning) {
      for (const stamp of stamps(dir, "")) {
        if (existsSync(join(dir, stamp + PLAIN_SUFFIX))) break;
        yield* compressedLines(dir, stamp);
        last = stamp;
      }
    } else {
      for (const stamp of stamps(dir, "")) {
        const segment = OpenSegment.open(join(dir, stamp + PLAIN_SUFFIX), true);
        if (segment !== null) open.push(segment);
        last = stamp;
      }
    }
    while (true) {
      let told = false;
      for (const stamp of stamps(dir, last)) {
        last = stamp;
        const segment = OpenSegment.open(join(dir, stamp + PLAIN_SUFFIX), false);
        if (segment !== null) open.push(segment);
        else yield* compressedLines(dir, stamp);
        if (!options.live) break;
      }
      for (const segment of [...open]) {
        // Asked before reading: what was finished by then is read to its end below.
        const finished = segment.finished() || !options.live;
        let lines = segment.read();
        while (lines !== null) {
          told = true;
          yield* lines;
          lines = segment.read();
        }
        if (!finished) continue;
        segment.close();
        open.splice(open.indexOf(segment), 1);
        told = true;
      }
      if (told) continue;
      if (!options.live || !(await options.wait())) return;
    }
  } finally {
    for (const segment of open) segment.close();
  }
}

/** A plain segment that is being read. */
class OpenSegment {
  readonly #fd: number;
  readonly #chunk = Buffer.allocUnsafe(CHUNK_BYTES);
  #at: number;
  #rest: Buffer = Buffer.alloc(0);

  private constructor(fd: number, at: number) {
    this.#fd = fd;
    this.#at = at;
  }

  /** Null when the file is gone. */
  static open(path: string, atEnd: boolean): OpenSegment | null {
    let fd: number;
    try {
      fd = openSync(path, "r");
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return null;
      throw unreadable(path, error);
    }
    return new OpenSegment(fd, atEnd ? fstatSync(fd).size : 0);
  }

  /** Marked as finished, or removed after it was compressed. */
  finished(): boolean {
    const state = fstatSync(this.#fd);
    return state.nlink === 0 || (state.mode & 0o222) === 0;
  }

  /** The next lines, none if only part of a line came; null at the end of what is there. */
  read(): string[] | null {
    const got = readSync(this.#fd, this.#chunk, 0, CHUNK_BYTES, this.#at);
    if (got === 0) return null;
    this.#at += got;
    const bytes = this.#chunk.subarray(0, got);
    const end = bytes.lastIndexOf(LINE_END);
    if (end < 0) {
      const all = Buffer.concat([this.#rest, bytes]);
      this.#rest = all.length > MAX_LINE_BYTES ? Buffer.alloc(0) : all;
      return [];
    }
    const whole = Buffer.concat([this.#rest, bytes.subarray(0, end)]);
    this.#rest = Buffer.from(bytes.subarray(end + 1));
    return splitLines(whole.toString("utf8"));
  }

  close(): void {
    closeSync(this.#fd);
  }
}

/** The lines of a segment that has been compressed; none when it has gone. */
async function* compressedLines(dir: string, stamp: string): AsyncGenerator<string, void, undefined> {
  for (const suffix of COMPRESSED_SUFFIXES) {
    const path = join(dir, stamp + PLAIN_SUFFIX + suffix);
    if (!existsSync(path)) continue;
    const stream = openCompressed(path);
    if (stream === null) {
      throw new Fault("log.unreadable", `${path} is compressed with zstd, which this version of Node cannot read`);
    }
    let rest = "";
    stream.setEncoding("utf8");
    try {
      for await (const chunk of stream as AsyncIterable<string>) {
        const end = chunk.lastIndexOf("\n");
        if (end < 0) rest += chunk;
        else {
          yield* splitLines(rest + chunk.slice(0, end));
          rest = chunk.slice(end + 1);
        }
      }
    } catch (error) {
      throw unreadable(path, error);
    }
    return;
  }
}

function unreadable(path: string, error: unknown): Fault {
  const errno = errnoOf(error);
  return new Fault("log.unreadable", `${path} cannot be read: ${messageOf(error)}`, { errno, cause: error });
}

function splitLines(text: string): string[] {
  return text.split("\n").filter((line) => line !== "");
}

/** The stamps of segments after `after`, in order of time, each once. */
function stamps(dir: string, after: string): string[] {
  let names: string[];
  try {
    names = readdirSync(dir);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw unreadable(dir, error);
  }
  const found = new Set<string>();
  for (const name of names) {
    const parsed = parseSegmentName(name);
    if (parsed !== null && parsed.stamp > after) found.add(parsed.stamp);
  }
  return [...found].sort();
}
