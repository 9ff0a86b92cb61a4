import type { SpoolKey } from "../../base/brands.js";
import { messageOf } from "../../base/fault.js";
import type { SpooledMessage, Unreadable } from "./envelope.js";
import { bodyHold } from "./lmdb-store.js";
import { bodyChecksum, RowHeader, readEnvelope, readHeader } from "./row-codec.js";
import type { ShardStore } from "./shard-store.js";

const MISSING: Unreadable = { kind: "missing" };
const header = new RowHeader();

/** Like {@link readMessage}, with what the storage throws told as `failed`. */
export function tryReadMessage(
  store: ShardStore,
  key: SpoolKey,
  alike: SpooledMessage | null = null,
): SpooledMessage | Unreadable {
  try {
    return readMessage(store, key, alike);
  } catch (error) {
    return { kind: "failed", reason: messageOf(error) };
  }
}

/** Reads one message whole and checks it: the row's sum, the envelope's shape, the body's size and sum. */
function readMessage(store: ShardStore, key: SpoolKey, alike: SpooledMessage | null): SpooledMessage | Unreadable {
  const row = store.peekRow(key);
  if (row === undefined) return MISSING;
  const wrong = readHeader(row, header);
  if (wrong !== null) return { kind: "damaged", reason: wrong };
  const envelope = readEnvelope(row, header);
  if (envelope === null) return { kind: "damaged", reason: "envelope cannot be unpacked" };
  const { bodyKey, flags, attempts, dueMs } = header;
  if (alike !== null && alike.bodyKey === bodyKey && alike.content.length === header.size) {
    const { content, hold } = alike;
    return { kind: "message", key, envelope, content, hold, bodyKey, flags, attempts, dueMs };
  }
  const content = store.body(header.bodyKey);
  if (content === undefined) return { kind: "damaged", reason: "the body is missing" };
  if (content.length !== header.size) return { kind: "damaged", reason: "size of the body does not match" };
  if (bodyChecksum(content) !== header.bodyCrc)
    return { kind: "damaged", reason: "checksum of the body does not match" };
  return { kind: "message", key, envelope, content, hold: bodyHold(content), bodyKey, flags, attempts, dueMs };
}
