import type { SpoolKey } from "../../base/brands.js";
import type { Hold } from "../../base/hold.js";
import type { Envelope, Reception, SpooledMessage } from "./envelope.js";

/** One recipient of a transaction that is to be stored. */
export interface NewRecipient {
  readonly recipient: string;
  /** Name of its scheduled queue. */
  readonly queue: string;
}

/** A transaction to store: one body, one row per recipient. */
export interface NewTransaction {
  /** From `newKeys(recipients.length)`: recipient *i* has the key `firstKey + i`. */
  readonly firstKey: SpoolKey;
  /** The bytes to send later, trace header included. Must not change before the waiter is called. */
  readonly content: Buffer;
  /** The content's memory, where it is to be used again; null when it is the collector's. */
  readonly hold: Hold | null;
  readonly sender: string;
  /** At least one. */
  readonly recipients: readonly NewRecipient[];
  readonly reception: Reception;
  readonly meta: Envelope["meta"];
  /** Bits of {@link MessageFlag} that describe the content. */
  readonly flags: number;
  /** Steady wall clock, ms; 0 for at once. */
  readonly dueMs: number;
  /** This message wants to be on disk although the server's durability asks for less. */
  readonly forceFlush: boolean;
  /** It may stay in memory until its first failed attempt; its content is its own. Only after `Shard.canDefer` said so. */
  readonly deferred: boolean;
}

/** One recipient's message of a transaction, as a session reads it. `flags` as stored. */
export function messageOfTransaction(transaction: NewTransaction, recipient: number, flags: number): SpooledMessage {
  const { firstKey, content, hold, sender, reception, meta, dueMs } = transaction;
  const { recipient: address, queue } = transaction.recipients[recipient]!;
  return {
    kind: "message",
    key: (firstKey + recipient) as SpoolKey,
    envelope: { sender, recipient: address, queue, reception, meta },
    content,
    hold,
    bodyKey: firstKey,
    flags,
    attempts: 0,
    dueMs,
  };
}
