import { MessageFlag } from "../protocol/message-flag.js";
import type { ReceivedContent } from "../smtp/content.js";
import type { Transaction } from "../smtp/server-transaction.js";

/** What the SMTP side found out about a message's content, as the bits that the spool keeps. */
export function contentFlags(content: ReceivedContent, transaction: Transaction): number {
  let flags = 0;
  if (content.has8bit) flags |= MessageFlag.has8bit;
  if (content.hasDotLines) flags |= MessageFlag.hasDotLines;
  if (transaction.smtpUtf8) flags |= MessageFlag.needsUtf8;
  if (transaction.declared8bit) flags |= MessageFlag.declared8bit;
  return flags;
}
