/**
 * Intake: from a complete message to the reply that takes responsibility for it. The one place that answers 250.
 *
 * Runs on   a worker
 * Owns      the messages that are stored and not yet announced to the scheduler
 * When full `refusal` names the limit that is hit, before a message is taken; nothing is taken that cannot be kept
 * On failure a failed commit is answered 451, and nothing of the message is delivered later
 *
 *     take ─▶ spool shard (one commit for many) ─▶ Reception record ─▶ announced to the scheduler ─▶ 250
 */
import type { ShardIndex, SpoolKey } from "../../base/brands.js";
import type { Clock } from "../../base/clock.js";
import type { Fault } from "../../base/fault.js";
import type { Hold } from "../../base/hold.js";
import type { Durability } from "../../config/compiled.js";
import { fieldAt, fieldEnd, headerValue } from "../../mail/headers.js";
import { receivedHeader } from "../../mail/received.js";
import { ProcessFlag, type SharedState } from "../../protocol/layout/shared-state.js";
import { messageId } from "../../protocol/message-id.js";
import { Counter } from "../../protocol/metrics.js";
import type { Mailbox } from "../../smtp/address.js";
import type { ReceivedContent } from "../../smtp/content.js";
import { Reply } from "../../smtp/reply.js";
import type { Transaction } from "../../smtp/server-transaction.js";
import { COPIED_CONTENT_BYTES } from "../recent-content.js";
import type { Reception } from "../spool/envelope.js";
import type { Shard } from "../spool/shard.js";
import type { NewRecipient, NewTransaction } from "../spool/transaction.js";
import type { StoreWaiter } from "../spool/write-batch.js";

const STOPPING = new Reply(421, [4, 3, 2], "Server shutting down, try again later");
const QUEUE_FULL = new Reply(452, [4, 3, 1], "Too many messages are waiting, try again later");
const DISK_LOW = new Reply(452, [4, 3, 1], "Insufficient storage, try again later");
const SPOOL_UNHEALTHY = new Reply(451, [4, 3, 0], "The spool cannot take messages now, try again later");
const SPOOL_CLOSED = new Reply(421, [4, 3, 2], "The spool cannot take messages now, try again later");
const NOT_STORED = new Reply(451, [4, 3, 0], "The message could not be stored, try again later");
const LOG_UNHEALTHY = new Reply(451, [4, 3, 0], "The event log cannot be written now, try again later");
const BUSY = new Reply(451, [4, 3, 2], "Too busy, try again later");
const LAGGING = new Reply(451, [4, 3, 2], "Too busy (scheduler), try again later");
const MEMORY_FULL = new Reply(451, [4, 3, 1], "Too little memory, try again later");
const MEMORY_CLOSED = new Reply(421, [4, 3, 2], "Too little memory, try again later");

/** `X-Hikyaku-Force-Sync: yes` of a trusted client: this message is on disk before its 250, whatever the server's mode. */
const FORCE_SYNC = "x-hikyaku-force-sync";

/** What intake knows about the session that a message came from. */
export interface MessageSource {
  readonly reception: Reception;
  /** See `mail/received.ts`; null when no trace header is wanted. */
  readonly tracePrefix: string | null;
  /** EHLO name and address of the client. */
  readonly peerName: string;
  readonly peerAddress: string;
  /** This host's name: where a postmaster without a domain lives. */
  readonly hostname: string;
  /** The client may order what only trusted ones may. */
  readonly trusted: boolean;
  /** The reply to the message, good or bad; called exactly once per taken message. */
  finish(reply: Reply): void;
}

/** What intake needs of its worker. */
export interface IntakeParts {
  readonly clock: Clock;
  /** The worker's primary shard, which takes all new mail. */
  readonly shard: Shard;
  readonly shared: SharedState;
  readonly counters: Float64Array;
  /** See `nodeDigits`. */
  readonly node: string;
  readonly durability: Durability;
  /** Flags of the content as the spool keeps them. */
  readonly flagsOf: (content: ReceivedContent, transaction: Transaction) => number;
  /** Whether the event log takes records. */
  readonly logHealthy: () => boolean;
  /** Whether the scheduler leaves what it is told unread for too long. */
  readonly lagging: () => boolean;
  /** Writes a Reception record. */
  readonly logReception: (stored: StoredMessage, recipient: number) => void;
  /** Tells the scheduler; false when it cannot be told now. */
  readonly announce: (shard: ShardIndex, key: SpoolKey, queue: string, size: number, nth: number) => boolean;
}

/** A message from its handing over to its reply. */
export class StoredMessage implements StoreWaiter {
  readonly source: MessageSource;
  readonly transaction: NewTransaction;
  readonly ids: readonly string[];
  readonly #intake: Intake;
  /** Recipients that the scheduler was told of. */
  announced = 0;
  /** The reply was given without waiting any longer: if it is stored after all, it must go. */
  abandoned = false;
  /** It is stored as was asked for and its records are made: it is ours, whatever becomes of the reply. */
  ours = false;

  constructor(intake: Intake, source: MessageSource, transaction: NewTransaction, ids: readonly string[]) {
    this.#intake = intake;
    this.source = source;
    this.transaction = transaction;
    this.ids = ids;
  }

  onStored(fault: Fault | null): void {
    this.#intake.stored(this, fault);
  }
}

/** See the file's header. */
export class Intake {
  readonly #parts: IntakeParts;
  /** Stored messages that the scheduler could not be told of yet, oldest first; at most one per session. */
  #unannounced: StoredMessage[] = [];

  constructor(parts: IntakeParts) {
    this.#parts = parts;
  }

  /** Why a connection is refused in place of the greeting, null when it is not. */
  connectRefusal(): Reply | null {
    const { flags } = this.#parts.shared;
    if ((flags & ProcessFlag.stopping) !== 0) return this.#shed(Counter.shedStopping, STOPPING);
    if ((flags & ProcessFlag.memoryFull) !== 0) return this.#shed(Counter.shedMemory, MEMORY_CLOSED);
    return this.#parts.shard.fault === null ? null : this.#shed(Counter.shedSpool, SPOOL_CLOSED);
  }

  /** Why no message is taken now, null when one is. Asked before a transaction begins and before its content. */
  refusal(): Reply | null {
    const { shared, shard } = this.#parts;
    const flags = shared.flags;
    if ((flags & ProcessFlag.stopping) !== 0) return this.#shed(Counter.shedStopping, STOPPING);
    if ((flags & ProcessFlag.memoryFull) !== 0) return this.#shed(Counter.shedMemory, MEMORY_FULL);
    if ((flags & ProcessFlag.diskLow) !== 0) return this.#shed(Counter.shedDisk, DISK_LOW);
    if (shard.fault !== null) return this.#shed(Counter.shedSpool, SPOOL_UNHEALTHY);
    if (!this.#parts.logHealthy()) return this.#shed(Counter.shedLog, LOG_UNHEALTHY);
    if (shared.messages >= shared.maxMessages) return this.#shed(Counter.shedQueue, QUEUE_FULL);
    if (this.#parts.lagging()) return this.#shed(Counter.shedLag, LAGGING);
    if (this.#unannounced.length > 0) return this.#shed(Counter.shedLag, BUSY);
    return null;
  }

  /** Counts a refusal by its reason. */
  #shed(reason: Counter, reply: Reply): Reply {
    (this.#parts.counters[reason] as number)++;
    return reply;
  }

  /** Takes a complete message. The source's `finish` is called once, later or from inside. */
  take(source: MessageSource, content: ReceivedContent, transaction: Transaction): StoredMessage | null {
    const { shard, clock, node, shared } = this.#parts;
    const recipients = transaction.recipients;
    // Others may have been let in while this one came: what is promised counts, or the scheduler has no row for it.
    if (shared.messages + shared.sum(Counter.promised) + recipients.length > shared.maxMessages) {
      source.finish(this.#shed(Counter.shedQueue, QUEUE_FULL));
      return null;
    }
    this.#promise(recipients.length);
    const forceFlush = takeForceSync(content, source.trusted);
    const firstKey = shard.newKeys(recipients.length);
    const ids = recipients.map((_, i) => messageId(node, shard.index, (firstKey + i) as SpoolKey));
    if (source.tracePrefix !== null) {
      const only = recipients.length === 1 ? addressOf(recipients[0]!, source.hostname) : null;
      content.prepend(receivedHeader(source.tracePrefix, source.reception.protocol, ids[0]!, only, clock.wallMs()));
    }
    const deferred = !forceFlush && shard.canDefer(content.buffer.byteLength);
    const stored = new StoredMessage(
      this,
      source,
      {
        firstKey,
        ...keep(content, deferred),
        sender: transaction.sender?.text ?? "",
        recipients: recipients.map((mailbox) => recipientOf(mailbox, source.hostname)),
        reception: forceFlush ? { ...source.reception, durability: "flushed" } : source.reception,
        meta: null,
        flags: this.#parts.flagsOf(content, transaction),
        dueMs: 0,
        forceFlush,
        deferred,
      },
      ids,
    );
    const fault = shard.storeTransaction(stored.transaction, stored);
    // What is kept in memory only may be answered by now.
    if (fault === null) return stored.ours && stored.announced === recipients.length ? null : stored;
    this.#promise(-recipients.length);
    source.finish(this.#shed(Counter.shedSpool, SPOOL_UNHEALTHY));
    return null;
  }

  /** Recipients that are being stored, or are stored and not yet announced. */
  #promise(recipients: number): void {
    (this.#parts.counters[Counter.promised] as number) += recipients;
  }

  /** A commit has ended. Called by {@link StoredMessage}. */
  stored(message: StoredMessage, fault: Fault | null): void {
    if (message.abandoned && fault === null) {
      this.#discard(message);
      return;
    }
    if (fault !== null) {
      this.#promise(-message.transaction.recipients.length);
      if (message.abandoned) return;
      const full = fault.errno === "ENOSPC";
      message.source.finish(full ? this.#shed(Counter.shedDisk, DISK_LOW) : this.#shed(Counter.shedSpool, NOT_STORED));
      return;
    }
    message.ours = true;
    const { recipients } = message.transaction;
    for (let i = 0; i < recipients.length; i++) this.#parts.logReception(message, i);
    if (this.#unannounced.length > 0 || !this.#announce(message)) this.#unannounced.push(message);
  }

  /** Tries once more to tell the scheduler; called every turn. Returns whether all is told. */
  retryAnnouncements(): boolean {
    if (this.#unannounced.length === 0) return true;
    const waiting = this.#unannounced;
    this.#unannounced = [];
    for (let i = 0; i < waiting.length; i++) {
      if (this.#announce(waiting[i]!)) continue;
      this.#unannounced = waiting.slice(i);
      return false;
    }
    return true;
  }

  #announce(message: StoredMessage): boolean {
    const { shard, counters, announce } = this.#parts;
    const { firstKey, recipients, content } = message.transaction;
    for (; message.announced < recipients.length; message.announced++) {
      const key = (firstKey + message.announced) as SpoolKey;
      const { announced } = message;
      if (!announce(shard.index, key, recipients[announced]!.queue, content.length, announced)) return false;
      this.#promise(-1);
    }
    (counters[Counter.messagesReceived] as number) += recipients.length;
    (counters[Counter.bytesReceived] as number) += content.length;
    // After the scheduler knows, the message is ours whatever the client hears.
    message.source.finish(new Reply(250, [2, 0, 0], `OK ids=${message.ids.join(" ")}`));
    return true;
  }

  /** A message that was answered with a failure before it was stored: nothing rejected is ever delivered. */
  #discard(message: StoredMessage): void {
    const { firstKey, recipients } = message.transaction;
    this.#promise(-recipients.length);
    for (let i = 0; i < recipients.length; i++) this.#parts.shard.remove((firstKey + i) as SpoolKey, 0);
  }
}

/** Takes the order for a flush out of the header, whoever wrote it; true when a trusted client gave one. */
function takeForceSync(content: ReceivedContent, trusted: boolean): boolean {
  const { buffer, end } = content;
  let at = fieldAt(buffer, content.start, end, FORCE_SYNC);
  if (at < 0) return false;
  let wanted = false;
  const fields: number[] = [];
  while (at >= 0) {
    if (trusted && !wanted) wanted = headerValue(buffer, at, end, FORCE_SYNC)?.toLowerCase() === "yes";
    const next = fieldEnd(buffer, at, end);
    fields.push(at, next);
    at = fieldAt(buffer, next, end, FORCE_SYNC);
  }
  content.cut(fields);
  return wanted;
}

/**
 * The content's memory as the spool takes it: a small one is copied, a larger one goes from hand to hand, and is used for
 * the next message when the last is done with it. What stays in memory only (`deferred`) keeps what it has.
 */
function keep(content: ReceivedContent, deferred: boolean): { content: Buffer; hold: Hold | null } {
  const bytes = content.bytes();
  if (bytes.length <= COPIED_CONTENT_BYTES) return { content: Buffer.from(bytes), hold: null };
  if (!deferred) return { content: bytes, hold: content.hold() };
  // What waits in memory is charged for what it keeps: a small content in a large buffer is copied out of it.
  if (content.buffer.byteLength > 2 * bytes.length) return { content: Buffer.from(bytes), hold: null };
  content.detach();
  return { content: bytes, hold: null };
}

function addressOf(mailbox: Mailbox, hostname: string): string {
  return mailbox.domain === "" ? `${mailbox.text}@${hostname}` : mailbox.text;
}

function recipientOf(mailbox: Mailbox, hostname: string): NewRecipient {
  return {
    recipient: addressOf(mailbox, hostname),
    queue: mailbox.domain === "" ? hostname.toLowerCase() : mailbox.domain,
  };
}
