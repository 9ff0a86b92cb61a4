import { chmodSync, closeSync, fstatSync, openSync, readdirSync, readSync, statSync, unlinkSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../../base/clock.js";
import { compressFile, openCompressed } from "../../base/compression.js";
import { errnoOf, Fault, messageOf } from "../../base/fault.js";
import { makeDirectories } from "../../base/make-directories.js";
import { PLAIN_SUFFIX, parseSegmentName, segmentStamp } from "../../protocol/segment-name.js";
import type { LogSpan } from "./log-tail.js";

/** How much of the end of a file is searched for the last seq: lines of several threads do not come in order. */
const TAIL_BYTES = 1 << 20;

/**
 * How much of the newest records of earlier runs is read for what they settled. What a crash leaves between record and
 * removal is what one commit was working on; this is minutes of a fast disk's and of a slow one's work alike.
 */
export const SETTLED_BYTES: number = 64 << 20;
/** Records shrink to a tenth or less; what a compressed segment holds is told by its size times this. */
const LEAST_RATIO = 8;

/** What {@link Segments} is told. */
export interface SegmentsOptions {
  readonly dir: string;
  /** Bytes after which a segment is finished. */
  readonly maxFileSize: number;
  /** Age after which a segment is finished, ms; null for no limit. */
  readonly maxSegmentDurationMs: number | null;
  readonly clock: Clock;
  /** Something could not be finished or compressed; it is tried again at the next start. */
  readonly onFault: (fault: Fault) => void;
}

/**
 * The log's files, seen by the main thread, which writes none of them: it names segments, says when one is full, and
 * finishes those that nobody writes any more.
 *
 *     open() ─▶ segment 1 ─▶ due? rotate() ─▶ segment 2 …        all writers have switched ─▶ finish(segment 1)
 *
 * Runs on: the main thread. Owns: the names, and the compression of finished segments, one at a time.
 * When full: free space is not its business. On failure: `open` and `rotate` throw; a segment that cannot be compressed
 *   stays as it is, readable, until the next start.
 */
export class Segments {
  readonly #options: SegmentsOptions;
  #stamp = "";
  #path = "";
  #openedMonoMs = 0;
  /** Plain segments of earlier runs, oldest first. */
  readonly #left: string[] = [];
  #compressing: Promise<void> = Promise.resolve();
  #syncing: Promise<void> = Promise.resolve();

  constructor(options: SegmentsOptions) {
    this.#options = options;
  }

  /** The segment that is written now. */
  get path(): string {
    return this.#path;
  }

  /**
   * Looks at what earlier runs left and opens the first segment of this run. Returns its path, the last seq found (0n for
   * none; numbering goes on after it), and the newest part of what was left. Call {@link finishLeft} when that was read.
   * @throws {Fault} `log.unwritable`.
   */
  async open(): Promise<{ path: string; lastSeq: bigint; newest: readonly LogSpan[] }> {
    const { dir } = this.#options;
    let lastSeq = 0n;
    let newest: readonly LogSpan[];
    try {
      makeDirectories(dir);
      const left = leftovers(dir);
      this.#stamp = left.at(-1)?.stamp ?? "";
      // The newest file may hold nothing yet; two with something in them are enough.
      for (let i = left.length - 1, seen = 0; i >= 0 && seen < 2; i--) {
        const seq = await lastSeqOf(join(dir, left[i]!.name));
        if (seq === null) continue;
        seen++;
        if (seq > lastSeq) lastSeq = seq;
      }
      for (const { name } of left) if (name.endsWith(PLAIN_SUFFIX)) this.#left.push(join(dir, name));
      newest = newestOf(left.map(({ name }) => join(dir, name)));
    } catch (error) {
      throw logFault(`read ${dir}`, error);
    }
    return { newest, path: this.#next(), lastSeq };
  }

  /** Marks what earlier runs left finished and begins to compress it. */
  finishLeft(): void {
    for (const path of this.#left.splice(0)) this.finish(path);
  }

  /** True when the segment is big or old enough to be finished. Costs a `stat`: ask now and then, not per record. */
  due(): boolean {
    const { maxFileSize, maxSegmentDurationMs, clock } = this.#options;
    const ageMs = clock.monoMs() - this.#openedMonoMs;
    let bytes: number;
    try {
      bytes = statSync(this.#path).size;
    } catch (error) {
      // Somebody took the file away: go on in a new one.
      return errnoOf(error) === "ENOENT";
    }
    return bytes >= maxFileSize || (bytes > 0 && maxSegmentDurationMs !== null && ageMs >= maxSegmentDurationMs);
  }

  /**
   * Opens the next segment and returns both. Tell the new one to every writer; when the last has switched, `finish` the
   * old one.
   * @throws {Fault} `log.unwritable`; the old one stays in use.
   */
  rotate(): { finished: string; path: string } {
    const finished = this.#path;
    return { finished, path: this.#next() };
  }

  /**
   * Marks a segment finished (it loses its write permission) and compresses it in the background, one file at a time.
   * Nobody may write to it any more. An empty one is removed.
   */
  finish(path: string): void {
    try {
      if (statSync(path).size === 0) {
        unlinkSync(path);
        return;
      }
      chmodSync(path, 0o440);
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") this.#options.onFault(logFault(`finish ${path}`, error));
      return;
    }
    this.#compressing = this.#compressing.then(async () => {
      try {
        await compressFile(path);
      } catch (error) {
        this.#options.onFault(logFault(`compress ${path}`, error));
      }
    });
  }

  /** Resolves when everything handed to `finish` is compressed, and new segments have their names on disk. */
  async idle(): Promise<void> {
    await Promise.all([this.#compressing, this.#syncing]);
  }

  #next(): string {
    const stamp = segmentStamp(this.#options.clock.wallMs(), this.#stamp);
    const path = join(this.#options.dir, stamp + PLAIN_SUFFIX);
    try {
      const file = openSync(path, "ax", 0o640);
      closeSync(file);
    } catch (error) {
      throw logFault(`make ${path}`, error);
    }
    this.#stamp = stamp;
    this.#path = path;
    this.#openedMonoMs = this.#options.clock.monoMs();
    this.#syncing = this.#syncing.then(() => this.#syncName(path));
    return path;
  }

  /** Off this thread, which is the scheduler's: a sync waits behind those of the spool. Records are not synced either. */
  async #syncName(path: string): Promise<void> {
    try {
      const directory = await open(this.#options.dir, "r");
      try {
        await directory.sync();
      } finally {
        await directory.close();
      }
    } catch (error) {
      this.#options.onFault(logFault(`sync the name of ${path}`, error));
    }
  }
}

/**
 * The last {@link SETTLED_BYTES} of these segments, oldest first. Compressed ones count too: a segment may be finished
 * before the removals of what it settled are committed, and a crash may come in between.
 */
function newestOf(paths: readonly string[]): LogSpan[] {
  const spans: LogSpan[] = [];
  let wanted = SETTLED_BYTES;
  for (let i = paths.length - 1; i >= 0 && wanted > 0; i--) {
    const path = paths[i]!;
    const { size } = statSync(path);
    spans.unshift({ path, from: -wanted });
    wanted -= path.endsWith(PLAIN_SUFFIX) ? size : size * LEAST_RATIO;
  }
  return spans;
}

/** Segments in order of time; unfinished compressions are removed. */
function leftovers(dir: string): { name: string; stamp: string }[] {
  const found: { name: string; stamp: string }[] = [];
  const names = readdirSync(dir);
  for (const name of names) {
    if (name.endsWith(".tmp") && parseSegmentName(name.slice(0, -4)) !== null) unlinkSync(join(dir, name));
    const parsed = parseSegmentName(name);
    if (parsed !== null) found.push({ name, stamp: parsed.stamp });
  }
  return found.sort((a, b) => (a.stamp < b.stamp ? -1 : a.stamp > b.stamp ? 1 : 0));
}

/** The greatest seq near the end of a segment; null when it holds no record, or is of a kind that cannot be read here. */
async function lastSeqOf(path: string): Promise<bigint | null> {
  const tail = path.endsWith(PLAIN_SUFFIX) ? plainTail(path) : await compressedTail(path);
  let last: bigint | null = null;
  for (const match of tail.toString("latin1").matchAll(/^\{"type":"[A-Za-z]+","seq":([0-9]{1,18}),/gm)) {
    const seq = BigInt(match[1]!);
    if (last === null || seq > last) last = seq;
  }
  return last;
}

function plainTail(path: string): Buffer {
  const file = openSync(path, "r");
  try {
    const size = fstatSync(file).size;
    const tail = Buffer.alloc(Math.min(size, TAIL_BYTES));
    const got = readSync(file, tail, 0, tail.length, size - tail.length);
    return tail.subarray(0, got);
  } finally {
    closeSync(file);
  }
}

async function compressedTail(path: string): Promise<Buffer> {
  let tail: Buffer = Buffer.alloc(0);
  const stream = openCompressed(path);
  if (stream === null) return tail;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      tail = Buffer.concat([tail, chunk]);
      if (tail.length > 2 * TAIL_BYTES) tail = Buffer.from(tail.subarray(-TAIL_BYTES));
    }
  } catch {
    // A file that was cut short still told what it could.
  }
  return tail;
}

function logFault(what: string, error: unknown): Fault {
  return new Fault("log.unwritable", `cannot ${what}: ${messageOf(error)}`, { errno: errnoOf(error), cause: error });
}
