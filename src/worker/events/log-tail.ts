import { type FileHandle, open } from "node:fs/promises";
import { setImmediate as nextTurn } from "node:timers/promises";
import type { ShardIndex, SpoolKey } from "../../base/brands.js";
import { openCompressed } from "../../base/compression.js";
import { causeOf, errnoOf, Fault } from "../../base/fault.js";
import { parseMessageId } from "../../protocol/message-id.js";
import { isTerminal, RECORD_KINDS } from "../../protocol/records.js";
import { PLAIN_SUFFIX } from "../../protocol/segment-name.js";

/** A segment from a byte on to its end. */
export interface LogSpan {
  readonly path: string;
  /**
   * Byte to begin at, counted from the end when negative; it may lie inside a line, which is then left out. A compressed
   * segment can only be read from its beginning (0) or from its end.
   */
  readonly from: number;
}

/** Bytes read per step: a step takes about a millisecond. */
const STEP_BYTES = 256 * 1024;
/** Pieces of a decompressed stream, of 16 KiB, that make a step. */
const CHUNKS_PER_TURN = 16;
const LINE_END = 0x0a;
/** The first fields of a record, as `RecordLines` writes them. */
const RECORD = /^\{"type":"([A-Za-z]+)","seq":[0-9]+,"id":"([0-9a-f]{32})"/gm;
const TERMINAL: ReadonlySet<string> = new Set(RECORD_KINDS.filter(isTerminal));

/**
 * What the end of the log says: which messages have their terminal record, and the newest message of each shard.
 *
 * The log is written before the spool entry goes, so after a crash it is the log that knows what is settled. Only whole
 * lines count: a record without its line end was not written.
 *
 * Runs on: any thread. Owns: the keys that it found. When full: bounded by the spans that were read.
 */
export class LogTail {
  readonly #settled = new Map<ShardIndex, Set<number>>();
  readonly #newest = new Map<ShardIndex, number>();
  /** Messages that have a terminal record. */
  count = 0;
  /** The last segment ends inside a line: whoever writes next must begin with a line end. */
  torn = false;

  /** Whether the message has its terminal record. */
  has(shard: ShardIndex, key: SpoolKey): boolean {
    return this.#settled.get(shard)?.has(key) === true;
  }

  /** The settled messages of a shard, in no order. */
  settledIn(shard: ShardIndex): Float64Array {
    return Float64Array.from(this.#settled.get(shard) ?? []);
  }

  /** The greatest key of the shard that a record names, 0 for none. */
  newestIn(shard: ShardIndex): number {
    return this.#newest.get(shard) ?? 0;
  }

  /** Takes in whole lines. */
  read(lines: string): void {
    for (const [, type, id] of lines.matchAll(RECORD)) {
      const parsed = parseMessageId(id as string);
      if (parsed === null) continue;
      const { shard, key } = parsed;
      if (key > (this.#newest.get(shard) ?? 0)) this.#newest.set(shard, key);
      if (TERMINAL.has(type as string)) this.#add(shard, key);
    }
  }

  #add(shard: ShardIndex, key: SpoolKey): void {
    let keys = this.#settled.get(shard);
    if (keys === undefined) {
      keys = new Set();
      this.#settled.set(shard, keys);
    }
    if (keys.has(key)) return;
    keys.add(key);
    this.count++;
  }
}

/**
 * Reads spans of the log, in steps of about a millisecond. A segment that is not there is passed over: it was finished
 * and compressed since, so everything in it was reported.
 * @throws {Fault} `log.unreadable`.
 */
export async function readLogTail(spans: readonly LogSpan[]): Promise<LogTail> {
  const tail = new LogTail();
  for (const span of spans) {
    try {
      await readSpan(span, tail);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") continue;
      throw new Fault("log.unreadable", `cannot read ${span.path}: ${causeOf(error)}`, {
        errno: errnoOf(error),
        cause: error,
      });
    }
  }
  return tail;
}

async function readSpan(span: LogSpan, tail: LogTail): Promise<void> {
  if (!span.path.endsWith(PLAIN_SUFFIX)) return readCompressed(span, tail);
  const file = await open(span.path, "r");
  try {
    await readPlain(file, span.from < 0 ? Math.max(0, (await file.stat()).size + span.from) : span.from, tail);
  } finally {
    await file.close();
  }
}

async function readPlain(file: FileHandle, from: number, tail: LogTail): Promise<void> {
  const step = Buffer.allocUnsafe(STEP_BYTES);
  const lines = new Lines(tail, from > 0);
  // A span that begins inside a line begins with the next one: the byte before it tells.
  let at = Math.max(0, from - 1);
  for (;;) {
    const { bytesRead } = await file.read(step, 0, STEP_BYTES, at);
    if (bytesRead === 0) break;
    at += bytesRead;
    lines.take(step.subarray(0, bytesRead));
    await nextTurn();
  }
  tail.torn = lines.torn;
}

/** Nobody writes to a compressed segment any more: how it ends says nothing about the next line. */
async function readCompressed(span: LogSpan, tail: LogTail): Promise<void> {
  const stream = openCompressed(span.path);
  if (stream === null) return;
  const wanted = span.from < 0 ? -span.from : Number.POSITIVE_INFINITY;
  const chunks: Buffer[] = [];
  let bytes = 0;
  let cut = false;
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      bytes += chunk.length;
      while (bytes - chunks[0]!.length >= wanted) {
        bytes -= chunks.shift()!.length;
        cut = true;
      }
    }
  } catch (error) {
    // A file that was cut short still tells what it can; one that the system cannot read is another matter.
    if (error instanceof Error && "syscall" in error) throw error;
  }
  const lines = new Lines(tail, cut);
  for (const [at, chunk] of chunks.entries()) {
    lines.take(chunk);
    if (at % CHUNKS_PER_TURN === CHUNKS_PER_TURN - 1) await nextTurn();
  }
}

/** Puts whole lines together from pieces that end anywhere. */
class Lines {
  readonly #tail: LogTail;
  #inside: boolean;
  #carry = "";

  /** @param inside the first piece begins inside a line, which is left out. */
  constructor(tail: LogTail, inside: boolean) {
    this.#tail = tail;
    this.#inside = inside;
  }

  /** The pieces so far end inside a line. */
  get torn(): boolean {
    return this.#carry !== "";
  }

  take(bytes: Buffer): void {
    const last = bytes.lastIndexOf(LINE_END);
    if (last < 0) {
      // A line longer than a step: its head is enough, and a cut one says nothing.
      if (!this.#inside && this.#carry.length < STEP_BYTES) this.#carry += bytes.toString("latin1");
      return;
    }
    let lines = this.#carry + bytes.toString("latin1", 0, last + 1);
    if (this.#inside) lines = lines.slice(lines.indexOf("\n") + 1);
    this.#inside = false;
    this.#tail.read(lines);
    this.#carry = bytes.toString("latin1", last + 1);
  }
}
