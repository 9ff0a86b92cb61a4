/**
 * What is written down of messages that no session speaks of: the scheduler's decisions, and entries that the spool could
 * not keep.
 *
 * Runs on   the worker that owns the message's shard
 * Owns      nothing
 * When full the scheduler sends no more decisions than the ring holds
 * On failure a message that cannot be read any more has its record from quarantine
 */
import type { Row, ShardIndex, SpoolKey } from "../base/brands.js";
import type { Durability } from "../config/compiled.js";
import { OutcomeFlag, OutcomeKind } from "../protocol/layout/frames.js";
import { type Hand, Work } from "../protocol/layout/hands.js";
import { createdMs, messageId } from "../protocol/message-id.js";
import type { Dispose, SetAside } from "../protocol/messages.js";
import { Counter } from "../protocol/metrics.js";
import { isTerminal, type ResponseText } from "../protocol/records.js";
import { NO_ATTEMPT } from "./events/record.js";
import type { Journal } from "./journal.js";
import type { Shards } from "./shards.js";
import type { Envelope, SpooledMessage, Unreadable } from "./spool/envelope.js";

/** Pause between two tries to move messages to quarantine, on a disk that does not take them. */
const RETRY_MS = 5000;

/** See the file's header. */
export class Decisions {
  readonly #node: string;
  readonly #durability: Durability;
  readonly #shards: Shards;
  readonly #journal: Journal;
  readonly #counters: Float64Array;
  readonly #hand: Hand;
  readonly #answer: (row: Row, kind: OutcomeKind, flags: number) => void;
  readonly #tellLost: (shard: ShardIndex, key: SpoolKey, reason: string) => void;
  /** Messages that could not be moved to quarantine yet. */
  #waiting: SetAside[] = [];
  #retryMs = 0;

  /**
   * @param node see `nodeDigits`.
   * @param hand the worker's note of what it works on.
   * @param answer tells the scheduler what became of an order: `disposed` when a terminal record is written (it leaves
   *   after the log), `returned` when none was.
   * @param tellLost tells the supervisor that a message is lost, and has its record.
   */
  constructor(
    node: string,
    durability: Durability,
    shards: Shards,
    journal: Journal,
    counters: Float64Array,
    hand: Hand,
    answer: (row: Row, kind: OutcomeKind, flags: number) => void,
    tellLost: (shard: ShardIndex, key: SpoolKey, reason: string) => void,
  ) {
    this.#node = node;
    this.#durability = durability;
    this.#shards = shards;
    this.#journal = journal;
    this.#counters = counters;
    this.#hand = hand;
    this.#answer = answer;
    this.#tellLost = tellLost;
  }

  /** The scheduler has decided about a message without a session: its record, and what follows from it. */
  dispose(order: Dispose): void {
    const { shard, key, record } = order;
    this.#hand.take(shard, key, Work.reading);
    const found = this.#shards.read(shard, key);
    this.#hand.take(shard, key, Work.deciding);
    if (!isTerminal(record) || !this.#notNow(order, found)) this.#carryOut(order, found);
    this.#hand.free();
  }

  #carryOut(order: Dispose, found: SpooledMessage | Unreadable): void {
    const { shard, key, row, record, response } = order;
    if (found.kind === "message" && record !== "Rejection") {
      const facts = {
        id: messageId(this.#node, shard, key),
        envelope: found.envelope,
        size: found.content.length,
        createdMs: createdMs(key),
        // The order says what is to be stored: this attempt included.
        numAttempts: record === "TransientFailure" ? order.attempts - 1 : order.attempts,
      };
      const attempt = { ...NO_ATTEMPT, site: order.site, egressPool: order.pool, egressSource: order.source };
      const reason = order.reason ?? (record === "TransientFailure" ? "LoggedTransientFailure" : null);
      this.#journal.message(record, facts, response, attempt, reason);
    }
    if (isTerminal(record)) {
      (this.#counters[record === "Delivery" ? Counter.delivered : Counter.failures] as number)++;
      this.#shards.removeSoon(shard, key, row);
      this.#answer(row, OutcomeKind.disposed, 0);
    } else if (found.kind === "message" || found.kind === "failed") {
      if (record === "TransientFailure") (this.#counters[Counter.transientFailures] as number)++;
      this.#shards.own(shard).reschedule(key, order.attempts, order.dueMs);
    }
  }

  /** Workers died of a message: it goes to quarantine; until that succeeds it stays in the spool, and is asked for again. */
  setAside(order: SetAside): void {
    const { shard, key, row } = order;
    this.#hand.take(shard, key, Work.settingAside);
    const result = this.#shards.own(shard).sentenced.setAside(order, row);
    if (result === "stays") this.#waiting.push(order);
    else if (result === "missing") this.lost(shard, key);
    this.#hand.free();
  }

  /** Tries again what could not be moved, now and then. */
  sweep(nowMs: number): void {
    if (this.#waiting.length === 0 || nowMs < this.#retryMs) return;
    this.#retryMs = nowMs + RETRY_MS;
    for (const order of this.#waiting.splice(0)) this.setAside(order);
  }

  /** An end that is not to be written: of what cannot be read now, of what exists after all, of what is lost already. */
  #notNow(order: Dispose, found: SpooledMessage | Unreadable): boolean {
    const { shard, key, row } = order;
    if (found.kind === "failed") {
      this.#answer(row, OutcomeKind.returned, OutcomeFlag.later);
    } else if (found.kind === "missing" || found.kind === "damaged") {
      // A damaged one has its record from quarantine.
      if (found.kind === "missing") this.lost(shard, key);
      this.#shards.removeSoon(shard, key, row);
      this.#answer(row, OutcomeKind.disposed, 0);
    } else if (order.ifMissing) {
      this.#shards.own(shard).deferred?.save(key);
      this.#answer(row, OutcomeKind.returned, 0);
    } else return false;
    return true;
  }

  /**
   * A message is not in the spool, where it must be; with `deferred` it was in the memory of a worker that died, and nowhere
   * else. Its end, as far as the log is concerned.
   */
  lost(shard: ShardIndex, key: SpoolKey): void {
    (this.#counters[Counter.messagesLost] as number)++;
    const why = this.#shards.defers
      ? "it was only in the memory of a thread that died (durability deferred)"
      : "it is not in the spool any more";
    this.#unread(shard, key, null, `lost: ${why}`);
    this.#tellLost(shard, key, why);
  }

  /** An entry was damaged, or deadly, and is in quarantine now: the end of the message, as far as the log is concerned. */
  quarantined(shard: ShardIndex, key: SpoolKey, reason: string, known: Envelope | null): void {
    (this.#counters[Counter.spoolQuarantined] as number)++;
    this.#unread(shard, key, known, `moved to quarantine: ${reason}`);
  }

  #unread(shard: ShardIndex, key: SpoolKey, known: Envelope | null, content: string): void {
    const reception = {
      protocol: "",
      ehlo: null,
      receivedFrom: null,
      receivedVia: null,
      sessionId: null,
      durability: this.#durability,
    };
    const facts = {
      id: messageId(this.#node, shard, key),
      envelope: known ?? { sender: "", recipient: "", queue: "", reception, meta: null },
      size: 0,
      createdMs: createdMs(key),
      numAttempts: 0,
    };
    const response: ResponseText = {
      code: 551,
      enhanced: [5, 3, 0],
      content,
      command: null,
    };
    this.#journal.message("AdminBounce", facts, response, NO_ATTEMPT, null);
  }
}
