import type { SpoolKey } from "../../base/brands.js";
import { RECENT_CONTENT_BYTES } from "../recent-content.js";
import { storedFlags } from "./deferred.js";
import { bodyChecksum, encodeRow, packCommon } from "./row-codec.js";
import { messageOfTransaction, type NewTransaction } from "./transaction.js";
import type { WriteBatch } from "./write-batch.js";

/** Puts a transaction's body and rows into a batch; `remember`: those that are not too large also for the recent messages. */
export function fillBatch(batch: WriteBatch, transaction: NewTransaction, remember: boolean): void {
  const { firstKey, content, recipients, sender, reception, meta, dueMs } = transaction;
  const count = recipients.length;
  const flags = storedFlags(transaction);
  const common = packCommon(sender, reception, meta);
  const crc = bodyChecksum(content);
  for (let i = 0; i < count; i++) {
    const { recipient, queue } = recipients[i]!;
    const key = (firstKey + i) as SpoolKey;
    batch.rows.push(encodeRow(queue, recipient, common, flags, firstKey, content.length, crc, 0, dueMs));
    batch.rowKeys.push(key);
    if (remember && content.length <= RECENT_CONTENT_BYTES) {
      batch.recent.push(messageOfTransaction(transaction, i, flags));
    }
  }
  if (transaction.hold !== null) {
    transaction.hold.take();
    batch.holds.push(transaction.hold);
  }
  batch.bodyKeys.push(firstKey);
  batch.bodies.push(content);
  if (count > 1) {
    batch.sharedBodies.push(firstKey);
    batch.sharedCounts.push(count);
  }
}
