import type { SpoolKey } from "../../base/brands.js";
import type { Hold } from "../../base/hold.js";
import type { Durability } from "../../config/compiled.js";

/** A value of a message's metadata: what JSON can say. */
export type MetaValue =
  | string
  | number
  | boolean
  | null
  | readonly MetaValue[]
  | { readonly [name: string]: MetaValue };

/** How a message came in: the same for all recipients of a transaction, and kept for the log records of its whole life. */
export interface Reception {
  /** `ESMTP`, `ESMTPS`, `HTTP` and so on: the `reception_protocol` of log records. */
  readonly protocol: string;
  /** The client's name as it gave it in EHLO; null when there was none. */
  readonly ehlo: string | null;
  /** The client's numeric address; null when there was none. */
  readonly receivedFrom: string | null;
  /** The listener's address and port; null when there was none. */
  readonly receivedVia: string | null;
  /** The receiving session's id, null when there was none. */
  readonly sessionId: string | null;
  /** What was promised with the 250. */
  readonly durability: Durability;
}

/** All that is known of one recipient of a message. */
export interface Envelope {
  /** Reverse path, "" for the null one (RFC 5321 §4.5.5). */
  readonly sender: string;
  readonly recipient: string;
  /** Name of the scheduled queue. */
  readonly queue: string;
  readonly reception: Reception;
  /** Metadata that policy attached; null when there is none. A key `__proto__` is stored as `__proto_`. */
  readonly meta: { readonly [name: string]: MetaValue } | null;
}

/** A message as it is read for delivery. */
export interface SpooledMessage {
  readonly kind: "message";
  readonly key: SpoolKey;
  readonly envelope: Envelope;
  /** The bytes to send, undotted, as stored. Not to be changed: it may be shared. */
  readonly content: Buffer;
  /** The content's memory, where it is used again: who keeps the content longer than the call takes it, and drops it. */
  readonly hold: Hold | null;
  /** Key of the body's entry: the message's own, or that of the first recipient of its transaction. */
  readonly bodyKey: number;
  /** Bits of `MessageFlag`, see `protocol/message-flag.ts`. */
  readonly flags: number;
  /** Attempts made before, as last stored. */
  readonly attempts: number;
  /** Steady wall clock, ms; 0 for at once. */
  readonly dueMs: number;
}

/** Why there is nothing to deliver. */
export type Unreadable =
  /** The shard has no such row: it was removed. */
  | { readonly kind: "missing" }
  /** The row or its body is there and cannot be trusted. `reason` is one line for the log. */
  | { readonly kind: "damaged"; readonly reason: string }
  /** The storage could not be read now (closed for re-opening, an I/O error); nothing is known of the message itself. */
  | { readonly kind: "failed"; readonly reason: string };
