import { layout } from "./layout.js";

/**
 * What travels between the scheduler and a worker, declared once.
 *
 *     up    worker → scheduler    accepted · outcome · session · retired · queueName · upRare
 *     down  scheduler → worker    open · deliver · close · retire · reschedule · downRare
 *
 * Hot frames have the fixed layouts below. Frames with bytes of variable length carry them behind the fixed part;
 * the rare kinds carry one msgpackr value there (`protocol/messages.ts`).
 */
export enum FrameKind {
  /** Filler up to the ring's end; readers never see it. */
  pad = 0,
  accepted = 1,
  outcome = 2,
  session = 3,
  retired = 4,
  queueName = 5,
  upRare = 6,
  open = 16,
  deliver = 17,
  close = 18,
  retire = 19,
  reschedule = 20,
  downRare = 21,
}

/** Up: a message is durable in its shard and waits for the scheduler; also sent for each row that a start finds. */
export const Accepted = layout("accepted", {
  /** Spool key. */
  key: "f64",
  /** Not before this point in time: milliseconds of the steady wall clock, 0 for now. */
  due: "f64",
  shard: "u32",
  /** The worker's own number of the scheduled queue, announced by an earlier `queueName` frame. */
  queue: "u32",
  /** Bytes of the content. */
  size: "u32",
  /** Attempts made before; not 0 only when loaded from the spool. */
  attempts: "u32",
  /** Place among the recipients of its transaction, from 0: those with the same `key − nth` in a shard share a content. */
  nth: "u32",
});

/** Up: what became of a message that was handed to a session. */
export const OutcomeFrame = layout("outcome", {
  row: "u32",
  session: "u32",
  /** An {@link OutcomeKind}. */
  kind: "u32",
  /** Bits of {@link OutcomeFlag}. */
  flags: "u32",
  /** The reply's code, 0 when there was none. */
  code: "u32",
});

/** Up: a session changed by itself. */
export const SessionFrame = layout("session", {
  session: "u32",
  /** A {@link SessionChange}. */
  change: "u32",
});

/** Up: rows whose spool entries are gone. `count` row numbers (u32) follow. */
export const Retired = layout("retired", { count: "u32" });

/** Up: the worker's number for a scheduled queue. `length` bytes of the queue's name (UTF-8) follow. */
export const QueueNameFrame = layout("queueName", { ref: "u32", length: "u32" });

/** Down: open a session on a path that a `definePath` message described. */
export const Open = layout("open", { session: "u32", path: "u32" });

/** Down: send this message on that session. */
export const Deliver = layout("deliver", {
  key: "f64",
  row: "u32",
  session: "u32",
  shard: "u32",
  attempts: "u32",
  /** 1: the next one is another recipient of the same message, for the same transaction. */
  more: "u32",
});

/** Down: end a session politely (QUIT). */
export const Close = layout("close", {
  session: "u32",
  /** Why, a {@link CloseReason}. */
  reason: "u32",
});

/** Down: the terminal record is written; remove the spool entry and confirm with `retired`. */
export const Retire = layout("retire", { key: "f64", row: "u32", shard: "u32" });

/** Down: store the number of attempts and the due time of a waiting message. */
export const Reschedule = layout("reschedule", { key: "f64", due: "f64", shard: "u32", attempts: "u32" });

/** Both ways: `length` bytes of a msgpackr value follow. */
export const Rare = layout("rare", { length: "u32" });

/** What became of a delivery. */
export enum OutcomeKind {
  /** The peer took it (2xx); the Delivery record is written. */
  delivered = 1,
  /** Failed for now; the TransientFailure record is written; counts as an attempt. */
  transient = 2,
  /** Refused for good (5xx); the Bounce record is written. */
  bounced = 3,
  /**
   * Never tried (the session ended first): goes back to waiting, no attempt counted, nothing logged. Not of a session (0):
   * what a `dispose` asked for was not done.
   */
  returned = 4,
  /** The spool entry cannot be read; it was moved to quarantine and is gone from the spool. */
  quarantined = 5,
  /** Not of a session (0): the terminal record of a `dispose` is written, its removal follows. */
  disposed = 6,
  /** The entry is not there to read, and its shard is another worker's: only that one knows whether it exists. */
  absent = 7,
}

/** Facts that come with an outcome. */
export enum OutcomeFlag {
  /** The session is over; no `session` frame follows. */
  sessionEnded = 1,
  /** No address of the path's plan could be connected to, and its hosts are to blame: counts against the path. */
  connectFailed = 2,
  /** The worker that reports owns the shard and removes the entry itself: `retired` follows without a `retire`. */
  removing = 4,
  /** With `returned`: not at once again. */
  later = 8,
}

/**
 * Why no address of a plan could be used, when all of them failed for the same reason: a byte in an outcome's flags. What
 * is ours to mend (source, proxy) is told from what is the destination's.
 */
export enum FailureClass {
  /** Nothing failed, or nothing that the scheduler must know. */
  ok = 0,
  /** The source's address is on no interface of this machine. */
  unplumbed = 1,
  /** The proxy could not be reached, or did not do what it is for. */
  proxyConnect = 2,
  /** The proxy's machine does not have the source's address, by the proxy's word. */
  proxyUnplumbed = 3,
  /** TLS with the destination. */
  tls = 4,
  /** Anything else, or several of these: the hosts, and the network on the way to them. */
  other = 5,
  /** The proxy works, and could not connect to any address of the plan. */
  proxyDestination = 6,
}

/** Bits of an outcome's flags below its failure class. */
const CLASS_SHIFT = 8;

/** The failure class as bits of {@link OutcomeFrame}'s flags. */
export function failureBits(failure: FailureClass): number {
  return failure << CLASS_SHIFT;
}

/** The failure class in an outcome's flags. */
export function failureOf(flags: number): FailureClass {
  return (flags >> CLASS_SHIFT) & 0xff;
}

/** Whether no address of the plan could be used, for whatever reason: the message was not tried. */
export function wasUnreachable(flags: number): boolean {
  return (flags & OutcomeFlag.connectFailed) !== 0 || failureOf(flags) !== FailureClass.ok;
}

/** What a session reports of itself. */
export enum SessionChange {
  /** Connected and greeted: the path works. */
  up = 1,
  /** Over, with no message in hand. */
  ended = 2,
}

/** Why the scheduler closes a session. */
export enum CloseReason {
  idle = 1,
  maxDeliveries = 2,
  suspended = 3,
  shutdown = 4,
  pathGone = 5,
  /** A reload of the configuration: too many sessions now, or another address, or other options. */
  reconfigured = 6,
}
