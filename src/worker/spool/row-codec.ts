import { crc32 } from "node:zlib";
import { Packr } from "msgpackr";
import { assert } from "../../base/assert.js";
import type { Durability } from "../../config/compiled.js";
import type { Envelope, MetaValue, Reception } from "./envelope.js";

/**
 * A row of a shard's `meta` database, little endian:
 *
 *      0 u32 crc of all that follows     24 u32 attempts          40 queue name (UTF-8)
 *      4 u16 magic and version           28 u32 content size       … recipient (UTF-8)
 *      6 u16 flags                       32 u32 crc of content     … msgpackr array: sender, reception, metadata
 *      8 f64 due (steady ms)             36 u16 queue name bytes
 *     16 f64 key of the body             38 u16 recipient bytes
 *
 * What changes while a message waits (attempts, due) and what a start needs of a million rows (those, the size, the
 * queue's name) lies in front, so that neither unpacks the rest. The packed part is the same for all recipients of a
 * transaction and is packed once.
 */
const CRC = 0;
const MAGIC = 4;
const FLAGS = 6;
const DUE = 8;
const BODY_KEY = 16;
const ATTEMPTS = 24;
const SIZE = 28;
const BODY_CRC = 32;
const QUEUE_BYTES = 36;
const RECIPIENT_BYTES = 38;
const HEADER_BYTES = 40;

/** Two bytes that tell the format; the low one is its version. */
const MAGIC_V1 = 0x4b01;

/** Most bytes of a queue's name and of a recipient: their lengths are 16 bit numbers. */
export const MAX_NAME_BYTES = 0xffff;

/** Arrays instead of maps: half the bytes, and no names to read. */
const packr = new Packr({ useRecords: false });

/** The part of a row that all recipients of a transaction share. */
export function packCommon(sender: string, reception: Reception, meta: Envelope["meta"]): Buffer {
  return packr.pack([
    sender,
    reception.protocol,
    reception.ehlo,
    reception.receivedFrom,
    reception.receivedVia,
    reception.sessionId,
    reception.durability,
    meta,
  ]);
}

/** What the front part of a row says. Filled by {@link readHeader}, so that a scan of a million rows reuses one. */
export class RowHeader {
  flags = 0;
  dueMs = 0;
  bodyKey = 0;
  attempts = 0;
  size = 0;
  bodyCrc = 0;
  queueBytes = 0;
  recipientBytes = 0;
}

/**
 * Makes a row. `common` comes from {@link packCommon}, `bodyCrc` is the crc32 of the content.
 * @throws {Panic} when the queue's name or the recipient is longer than {@link MAX_NAME_BYTES}: whoever takes them from
 *   outside has its own, smaller limit.
 */
export function encodeRow(
  queue: string,
  recipient: string,
  common: Buffer,
  flags: number,
  bodyKey: number,
  size: number,
  bodyCrc: number,
  attempts: number,
  dueMs: number,
): Buffer {
  const queueBytes = Buffer.byteLength(queue);
  const recipientBytes = Buffer.byteLength(recipient);
  assert(queueBytes <= MAX_NAME_BYTES && recipientBytes <= MAX_NAME_BYTES, "a name fits a row");
  const row = Buffer.allocUnsafe(HEADER_BYTES + queueBytes + recipientBytes + common.length);
  row.writeUInt16LE(MAGIC_V1, MAGIC);
  row.writeUInt16LE(flags, FLAGS);
  row.writeDoubleLE(dueMs, DUE);
  row.writeDoubleLE(bodyKey, BODY_KEY);
  row.writeUInt32LE(attempts, ATTEMPTS);
  row.writeUInt32LE(size, SIZE);
  row.writeUInt32LE(bodyCrc, BODY_CRC);
  row.writeUInt16LE(queueBytes, QUEUE_BYTES);
  row.writeUInt16LE(recipientBytes, RECIPIENT_BYTES);
  row.write(queue, HEADER_BYTES, queueBytes, "utf8");
  row.write(recipient, HEADER_BYTES + queueBytes, recipientBytes, "utf8");
  common.copy(row, HEADER_BYTES + queueBytes + recipientBytes);
  seal(row);
  return row;
}

/** Stores other attempts and another due time in a row. The row must be sound. */
export function patchRow(row: Buffer, attempts: number, dueMs: number): void {
  row.writeDoubleLE(dueMs, DUE);
  row.writeUInt32LE(attempts, ATTEMPTS);
  seal(row);
}

function seal(row: Buffer): void {
  row.writeUInt32LE(crc32(row.subarray(MAGIC)), CRC);
}

/** Reads the front part into `header`. Returns null when the row is sound, else one line that tells what is wrong. */
export function readHeader(row: Buffer, header: RowHeader): string | null {
  if (row.length < HEADER_BYTES) return `row of ${row.length} bytes is too short`;
  const magic = row.readUInt16LE(MAGIC);
  if (magic !== MAGIC_V1) return `row of unknown format 0x${magic.toString(16)}`;
  if (crc32(row.subarray(MAGIC)) !== row.readUInt32LE(CRC)) return "checksum of the row does not match";
  header.flags = row.readUInt16LE(FLAGS);
  header.dueMs = row.readDoubleLE(DUE);
  header.bodyKey = row.readDoubleLE(BODY_KEY);
  header.attempts = row.readUInt32LE(ATTEMPTS);
  header.size = row.readUInt32LE(SIZE);
  header.bodyCrc = row.readUInt32LE(BODY_CRC);
  header.queueBytes = row.readUInt16LE(QUEUE_BYTES);
  header.recipientBytes = row.readUInt16LE(RECIPIENT_BYTES);
  if (HEADER_BYTES + header.queueBytes + header.recipientBytes > row.length) return "names reach beyond the row";
  return null;
}

/** The queue's name of a row whose header was read. */
export function readQueue(row: Buffer, header: RowHeader): string {
  return row.toString("utf8", HEADER_BYTES, HEADER_BYTES + header.queueBytes);
}

/** The whole envelope of a row whose header was read, or null when the packed part makes no sense. */
export function readEnvelope(row: Buffer, header: RowHeader): Envelope | null {
  const recipientAt = HEADER_BYTES + header.queueBytes;
  const commonAt = recipientAt + header.recipientBytes;
  let packed: unknown;
  try {
    packed = packr.unpack(row.subarray(commonAt));
  } catch {
    return null;
  }
  if (!Array.isArray(packed) || packed.length < 8) return null;
  const values: readonly unknown[] = packed;
  const [sender, protocol, ehlo, receivedFrom, receivedVia, sessionId, durability, meta] = values;
  if (typeof sender !== "string" || typeof protocol !== "string" || !isDurability(durability)) return null;
  if (!isText(ehlo) || !isText(receivedFrom) || !isText(receivedVia) || !isText(sessionId) || !isMeta(meta))
    return null;
  return {
    sender,
    recipient: row.toString("utf8", recipientAt, commonAt),
    queue: readQueue(row, header),
    reception: { protocol, ehlo, receivedFrom, receivedVia, sessionId, durability },
    meta,
  };
}

function isText(value: unknown): value is string | null {
  return value === null || typeof value === "string";
}

function isDurability(value: unknown): value is Durability {
  return value === "flushed" || value === "committed" || value === "deferred";
}

function isMeta(value: unknown): value is { readonly [name: string]: MetaValue } | null {
  return value === null || (typeof value === "object" && !Array.isArray(value));
}

/** The checksum of a body. */
export function bodyChecksum(content: Uint8Array): number {
  return crc32(content);
}
