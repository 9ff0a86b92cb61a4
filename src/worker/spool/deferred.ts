import { assert } from "../../base/assert.js";
import type { SpoolKey } from "../../base/brands.js";
import type { Fault } from "../../base/fault.js";
import { MessageFlag } from "../../protocol/message-flag.js";
import type { SpooledMessage } from "./envelope.js";
import { bodyChecksum, encodeRow, packCommon } from "./row-codec.js";
import { messageOfTransaction, type NewTransaction } from "./transaction.js";
import type { StoreWaiter, WriteBatch } from "./write-batch.js";

/** What an entry is charged besides its content: envelope, map entry, strings. */
const ENTRY_BYTES = 1024;
/** Shortest pause between two looks, so that what comes due one by one is written together. */
const LOOK_MS = 20;

/** What the deferred mail needs of its shard. */
export interface DeferredParts {
  /** Most bytes in memory. */
  readonly maxBytes: number;
  /** How long a message may wait for its first attempt before it is stored, ms. */
  readonly waitMs: number;
  readonly monoMs: () => number;
  /** The batch that takes what is stored now, null while nothing can be. */
  readonly filling: () => WriteBatch | null;
  readonly schedule: () => void;
  /** The entry of a removed message is gone. */
  readonly gone: (token: number) => void;
  /** What was asked for while a message was being stored, now that it is: the shard's own methods. */
  readonly remove: (key: SpoolKey, token: number) => void;
  readonly reschedule: (key: SpoolKey, attempts: number, dueMs: number) => void;
}

/** One recipient. */
interface Held {
  readonly message: SpooledMessage;
  readonly group: Group;
  inHand: boolean;
  /** As rescheduled since it came; −1 when it was not. */
  attempts: number;
  dueMs: number;
  /** Settled while it was being stored: the token of its removal, −1 when it was not. */
  ended: number;
}

/** The recipients of a transaction, which share a body and are stored together. */
interface Group {
  readonly transaction: NewTransaction;
  readonly members: Held[];
  readonly bytes: number;
  /** Members that nobody has in hand. */
  idle: number;
  /** When it became idle, monotonic ms. */
  sinceMs: number;
  storing: boolean;
}

/**
 * Mail that was promised in memory only (durability `deferred`): most of it is delivered at once and never written.
 *
 *     add ──▶ idle ──▶ in hand ──▶ removed: no disk was touched
 *              │  ◀──────┤ came back
 *              │ waitMs  │ rescheduled          close: all that is left
 *              ▼         ▼                        ▼
 *             storing (one row each, one body) ──▶ the shard's, as any other
 *
 * Runs on: the worker that owns the shard. Owns: these messages, until they are removed or stored.
 * When full: `hasRoom` is false, and what comes is stored before it is promised.
 * On failure: what could not be stored stays here and is tried again; a worker that dies takes it along, which is what
 *   the mode means.
 */
export class DeferredMail {
  readonly #parts: DeferredParts;
  readonly #messages = new Map<SpoolKey, Held>();
  /** Groups with idle members, by the time since when. */
  readonly #idle = new Set<Group>();
  #bytes = 0;
  #timer: NodeJS.Timeout | null = null;
  #closed = false;
  #tight = false;
  /** Messages that were stored after all. */
  spilled = 0;

  constructor(parts: DeferredParts) {
    this.#parts = parts;
  }

  /** Messages in memory. */
  get count(): number {
    return this.#messages.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Whether a message of this many bytes still fits. */
  hasRoom(bytes: number): boolean {
    return !this.#closed && !this.#tight && this.#bytes + bytes + ENTRY_BYTES <= this.#parts.maxBytes;
  }

  add(transaction: NewTransaction): void {
    const { firstKey, content, recipients, dueMs } = transaction;
    const count = recipients.length;
    const flags = storedFlags(transaction);
    const bytes = content.buffer.byteLength > 2 * content.length ? content.length : content.buffer.byteLength;
    const group: Group = {
      transaction,
      members: [],
      bytes: bytes + count * ENTRY_BYTES,
      idle: count,
      sinceMs: this.#parts.monoMs(),
      storing: false,
    };
    for (let i = 0; i < count; i++) {
      const key = (firstKey + i) as SpoolKey;
      const message = messageOfTransaction(transaction, i, flags);
      const held: Held = { message, group, inHand: false, attempts: -1, dueMs, ended: -1 };
      group.members.push(held);
      this.#messages.set(key, held);
    }
    this.#bytes += group.bytes;
    this.#idle.add(group);
    this.#look();
  }

  get(key: SpoolKey): SpooledMessage | undefined {
    return this.#messages.get(key)?.message;
  }

  /** A session of this worker has it in hand. */
  taken(key: SpoolKey): void {
    const held = this.#messages.get(key);
    if (held === undefined || held.inHand) return;
    held.inHand = true;
    if (--held.group.idle === 0) this.#idle.delete(held.group);
  }

  /** It came back out of a session's hand. */
  untaken(key: SpoolKey): void {
    const held = this.#messages.get(key);
    if (held === undefined || !held.inHand) return;
    held.inHand = false;
    if (held.group.storing) held.group.idle++;
    else this.#idles(held.group, held.group.idle + 1);
  }

  /** Removes a settled message; false when it is not here. Its token comes back by `gone`, or by `remove`. */
  remove(key: SpoolKey, token: number): boolean {
    const held = this.#messages.get(key);
    if (held === undefined) return false;
    if (held.group.storing) held.ended = token;
    else {
      this.#drop(held);
      if (token !== 0) this.#parts.gone(token);
    }
    return true;
  }

  /** Its first attempt has failed: it is stored with these values. False when it is not here. */
  reschedule(key: SpoolKey, attempts: number, dueMs: number): boolean {
    const held = this.#messages.get(key);
    if (held === undefined) return false;
    held.attempts = attempts;
    held.dueMs = dueMs;
    if (!held.group.storing) this.#store(held.group);
    return true;
  }

  /** Has a message stored that somebody else must read. */
  save(key: SpoolKey): void {
    const held = this.#messages.get(key);
    if (held !== undefined && !held.group.storing) this.#store(held.group);
  }

  /** Memory is scarce: everything is stored, and nothing is taken until it is called with false. */
  tighten(tight: boolean): void {
    this.#tight = tight;
    if (tight) this.#storeAll();
  }

  /** Has everything stored: the server stops. Nothing more is taken. */
  close(): void {
    this.#closed = true;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#storeAll();
  }

  #storeAll(): void {
    const groups = new Set([...this.#messages.values()].map((held) => held.group));
    for (const group of groups) if (!group.storing) this.#store(group);
  }

  /** Writes a group into the filling batch. While nothing can be written it stays, and is tried again by the timer. */
  #store(group: Group): void {
    const batch = this.#parts.filling();
    if (batch === null) {
      this.#idles(group, group.idle);
      return;
    }
    group.storing = true;
    this.#idle.delete(group);
    writeTransaction(batch, group.transaction, group.members);
    batch.spills.push({ onStored: (fault) => this.#stored(group, fault) } satisfies StoreWaiter);
    this.#parts.schedule();
  }

  #stored(group: Group, fault: Fault | null): void {
    group.storing = false;
    if (fault !== null) {
      for (const held of [...group.members]) {
        if (held.ended < 0) continue;
        this.#drop(held);
        if (held.ended > 0) this.#parts.gone(held.ended);
      }
      if (group.members.length > 0) this.#idles(group, group.idle);
      return;
    }
    this.spilled += group.members.length;
    for (const held of [...group.members]) {
      const { key } = held.message;
      this.#drop(held);
      if (held.ended >= 0) this.#parts.remove(key, held.ended);
      else if (held.attempts >= 0) this.#parts.reschedule(key, held.attempts, held.dueMs);
    }
  }

  #idles(group: Group, idle: number): void {
    group.idle = idle;
    group.sinceMs = this.#parts.monoMs();
    this.#idle.delete(group);
    this.#idle.add(group);
    this.#look();
  }

  #drop(held: Held): void {
    const { group } = held;
    this.#messages.delete(held.message.key);
    if (!held.inHand) group.idle--;
    group.members.splice(group.members.indexOf(held), 1);
    this.#bytes -= ENTRY_BYTES;
    if (group.members.length === 0) this.#bytes -= group.bytes - group.transaction.recipients.length * ENTRY_BYTES;
    if (group.members.length === 0 || group.idle === 0) this.#idle.delete(group);
    assert(this.#bytes >= 0, "deferred mail is counted");
  }

  /** Looks after what has waited too long, as soon as the first of it has. */
  #look(): void {
    if (this.#timer !== null || this.#closed) return;
    const first = this.#idle.values().next();
    if (first.done === true) return;
    const afterMs = first.value.sinceMs + this.#parts.waitMs - this.#parts.monoMs();
    this.#timer = setTimeout(() => this.#storeDue(), Math.max(LOOK_MS, afterMs));
  }

  #storeDue(): void {
    this.#timer = null;
    const beforeMs = this.#parts.monoMs() - this.#parts.waitMs;
    for (const group of [...this.#idle]) {
      if (group.sinceMs > beforeMs) break;
      this.#store(group);
    }
    this.#look();
  }
}

/** Flags of a transaction's rows. */
export function storedFlags(transaction: NewTransaction): number {
  const flags = transaction.flags & ~MessageFlag.sharedBody;
  return transaction.recipients.length > 1 ? flags | MessageFlag.sharedBody : flags;
}

/** Puts a transaction's body and the rows of these recipients into a batch. */
function writeTransaction(batch: WriteBatch, transaction: NewTransaction, members: readonly Held[]): void {
  const { firstKey, content, sender, recipients, reception, meta } = transaction;
  const flags = storedFlags(transaction);
  const common = packCommon(sender, reception, meta);
  const crc = bodyChecksum(content);
  for (const { message, attempts, dueMs } of members) {
    const { queue, recipient } = message.envelope;
    const tries = Math.max(0, attempts);
    batch.rows.push(encodeRow(queue, recipient, common, flags, firstKey, content.length, crc, tries, dueMs));
    batch.rowKeys.push(message.key);
  }
  batch.bodyKeys.push(firstKey);
  batch.bodies.push(content);
  if (recipients.length > 1) {
    batch.sharedBodies.push(firstKey);
    batch.sharedCounts.push(members.length);
  }
}
