/** The kinds of event records (reference: the log's `type` field). */
export const RECORD_KINDS = [
  "Reception",
  "Delivery",
  "Bounce",
  "TransientFailure",
  "Expiration",
  "AdminBounce",
  "Rejection",
  "Delayed",
] as const;

/** One of {@link RECORD_KINDS}. */
export type RecordKind = (typeof RECORD_KINDS)[number];

/** After a terminal record its recipient is settled and leaves the spool. */
export function isTerminal(kind: RecordKind): boolean {
  return kind === "Delivery" || kind === "Bounce" || kind === "Expiration" || kind === "AdminBounce";
}

/**
 * Why a message waits. Nothing waits without one of these; each has a row in `docs/reference/wait-reasons.md`.
 * The names are those of the field's logs, so that existing log processors know them.
 */
export type DelayReason =
  | "Received"
  | "Enumerated"
  | "ScheduledForLater"
  | "ReadyQueueWasSuspended"
  | "MessageRateThrottle"
  | "ReadyQueueWasFull"
  | "DueTimeWasReached"
  | "FailedDueToNullMx"
  | "MxResolvedToZeroHosts"
  | "MxWasProhibited"
  | "MxWasSkipped"
  | "TooManyConnectionFailures"
  | "TooManyRecipients"
  | "ConnectionRateThrottle"
  | "LoggedTransientFailure"
  | "DispatcherDrop"
  | "PeerClosedConnection"
  | "ProtocolChanged"
  | "SpoolUnhealthy"
  | "FileLimitReached"
  | "SourceIsUnhealthyAndSuspended";

/** Enhanced status code, RFC 3463: class, subject, detail. */
export type EnhancedCode = readonly [number, number, number];

/** A reply as it is logged: from a peer, or made by us. */
export interface ResponseText {
  /** Three digits; 400 and 500 when we made it up without a better one. */
  readonly code: number;
  readonly enhanced: EnhancedCode | null;
  /** One line of text without line ends and without the enhanced code. */
  readonly content: string;
  /** The command that was answered (`.` for the end of data), null when there was none. */
  readonly command: string | null;
}
