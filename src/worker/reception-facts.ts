import { createdMs } from "../protocol/message-id.js";
import type { ResponseText } from "../protocol/records.js";
import type { MessageFacts } from "./events/record.js";
import type { StoredMessage } from "./ingress/intake.js";

/** The reply that a Reception record shows. */
export const RECEIVED: ResponseText = { code: 250, enhanced: [2, 0, 0], content: "OK", command: null };

/** What the Reception record of a stored message's `i`-th recipient says of it. */
export function receptionFacts({ transaction, ids }: StoredMessage, i: number): MessageFacts {
  const { recipient, queue } = transaction.recipients[i]!;
  const { sender, reception, meta } = transaction;
  return {
    id: ids[i]!,
    envelope: { sender, recipient, queue, reception, meta },
    size: transaction.content.length,
    createdMs: createdMs(transaction.firstKey),
    numAttempts: 0,
  };
}
