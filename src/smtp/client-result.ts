import type { EnhancedCode } from "../protocol/records.js";
import type { TlsResult } from "../protocol/tls-policy.js";
import type { PeerReply } from "./reply-reader.js";

/**
 * What a client session says about what happened: facts, no judgement. What a fact means for the recipient, the message
 * and the session is said by `worker/egress/verdict.ts` alone.
 */

/** The step of a session that something happened at. `connect` is the transport's, before the machine begins. */
export type Stage =
  | "connect"
  | "banner"
  | "ehlo"
  | "helo"
  | "starttls"
  /** The TLS handshake, and what is demanded of it. */
  | "handshake"
  | "auth"
  | "rset"
  | "mailFrom"
  | "rcptTo"
  | "data"
  /** The content and the dot behind it. */
  | "dataDot"
  /** The content behind BDAT. */
  | "bdat";

/** How a step ended. */
export type Answer =
  /** The peer replied. */
  | { readonly kind: "reply"; readonly reply: PeerReply }
  /** Nothing came in time. */
  | { readonly kind: "timeout"; readonly afterMs: number }
  /** What came is no reply, or is one that nobody asked for. `reason` is printable. */
  | { readonly kind: "protocol"; readonly reason: string }
  /** The peer closed the connection. */
  | { readonly kind: "closed" }
  /** The connection failed; `detail` is the transport's word for it. */
  | { readonly kind: "transport"; readonly detail: string }
  /** TLS is not as it is demanded; `reason` says so in words. */
  | { readonly kind: "tls"; readonly result: Exclude<TlsResult, "success">; readonly reason: string }
  /** Refused by us, before anything was sent, because of what the peer offers or the address holds. */
  | { readonly kind: "refused"; readonly code: number; readonly enhanced: EnhancedCode; readonly text: string };

/** How a step ended, with the command that it answers: `MAIL FROM:<a@b>`, `.` for the end of data, null for none. */
export interface StepResult {
  readonly stage: Stage;
  readonly answer: Answer;
  /** Without its parameters: what people search logs for. */
  readonly command: string | null;
}

/** What became of one recipient of a transaction. */
export interface RecipientResult extends StepResult {
  /** The peer had accepted another recipient of this transaction when it answered about this one. */
  readonly othersAccepted: boolean;
}

/** Why a session is over. */
export type SessionEnd =
  /** We said QUIT. */
  | "quit"
  /** The peer answered 421, or answered so that it cannot be trusted any more. */
  | "peer-ended"
  /** The peer spoke while nothing was asked, usually a 421 of its own between two messages. */
  | "unsolicited"
  | "timeout"
  | "protocol"
  | "closed"
  | "transport";

/** What became of one message. */
export interface TransactionResult {
  /** One per recipient of the message, in its order. */
  readonly recipients: readonly RecipientResult[];
  /** Null when the session goes on; otherwise `onClosing` follows. */
  readonly end: SessionEnd | null;
  /** The connection was found closed before the peer answered anything, and it had answered for an earlier message. */
  readonly untried: boolean;
  /** The content left together with the commands: the peer may have it whatever its replies came to. */
  readonly chunked: boolean;
}
