/**
 * A worker's end of the two rings that connect it with the scheduler.
 *
 * Runs on   a worker
 * Owns      the writing end of the up ring, the reading end of the down ring, the numbers given to queue names
 * When full writers return false; the worker stops reading its clients until the scheduler has caught up
 * On failure nothing can fail but our own arithmetic
 *
 * What is written is seen by the scheduler only after `publish`, which the worker calls after its log is written: so no
 * outcome is known before its record exists.
 */
import { Packr, Unpackr } from "msgpackr";
import { assert } from "../base/assert.js";
import type { PathId, QueueRef, Row, SessionId, ShardIndex, SpoolKey } from "../base/brands.js";
import {
  Accepted,
  Close,
  type CloseReason,
  Deliver,
  FrameKind,
  Open,
  OutcomeFrame,
  type OutcomeKind,
  QueueNameFrame,
  Rare,
  Reschedule,
  Retire,
  Retired,
  type SessionChange,
  SessionFrame,
} from "../protocol/layout/frames.js";
import type { DownMessage, UpMessage } from "../protocol/messages.js";
import type { Bell } from "../ring/doorbell.js";
import { RingReader, RingWriter } from "../ring/ring.js";

const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false });

/** Queue names that a worker numbers before it starts again from 1; bounds both sides' tables. */
const MAX_QUEUE_REFS = 65_536;

/** Room that a worker keeps in the up ring before it takes on work whose result must be reported. */
const RESERVE_BYTES = 64 * 1024;

/** What the scheduler tells a worker; called from inside {@link SchedulerLink.drain}. */
export interface SchedulerCommands {
  open(session: SessionId, path: PathId): void;
  deliver(session: SessionId, row: Row, shard: ShardIndex, key: SpoolKey, attempts: number, more: boolean): void;
  close(session: SessionId, reason: CloseReason): void;
  retire(row: Row, shard: ShardIndex, key: SpoolKey): void;
  reschedule(shard: ShardIndex, key: SpoolKey, attempts: number, dueMs: number): void;
  message(message: DownMessage): void;
}

/** The worker's side of the rings. */
export class SchedulerLink {
  readonly #up: RingWriter;
  /** The same memory, for text. */
  readonly #upText: Buffer;
  readonly #down: RingReader;
  readonly #bell: Bell;
  #refs = new Map<string, QueueRef>();

  constructor(up: SharedArrayBuffer, down: SharedArrayBuffer, bell: Bell) {
    this.#up = new RingWriter(up);
    this.#upText = Buffer.from(up);
    this.#down = new RingReader(down);
    this.#bell = bell;
  }

  /** Whether there is comfortable room for reports: below it, the worker stops taking in work. */
  get roomy(): boolean {
    return this.#up.free(RESERVE_BYTES) > 0;
  }

  /** How far frames for the scheduler are published. */
  get mark(): number {
    return this.#up.mark;
  }

  /** Whether the scheduler has read everything before a mark. */
  passed(mark: number): boolean {
    return this.#up.passed(mark);
  }

  /** Whether the scheduler has written frames that were not read yet. */
  get waiting(): boolean {
    return this.#down.waiting;
  }

  /**
   * Announces a durable message. False when the ring is full: nothing was sent, call again later.
   * @param nth its place among the recipients of its transaction.
   */
  accepted(
    shard: ShardIndex,
    key: SpoolKey,
    queue: string,
    size: number,
    attempts: number,
    dueMs: number,
    nth: number,
  ): boolean {
    const ref = this.#ref(queue);
    if (ref === 0) return false;
    const up = this.#up;
    const at = up.reserve(FrameKind.accepted, Accepted.bytes);
    if (at < 0) return false;
    up.f64[(at + Accepted.key) >> 3] = key;
    up.f64[(at + Accepted.due) >> 3] = dueMs;
    up.u32[(at + Accepted.shard) >> 2] = shard;
    up.u32[(at + Accepted.queue) >> 2] = ref;
    up.u32[(at + Accepted.size) >> 2] = size;
    up.u32[(at + Accepted.attempts) >> 2] = attempts;
    up.u32[(at + Accepted.nth) >> 2] = nth;
    return true;
  }

  /** The number of a queue's name, announcing it first when it is new; 0 when the ring is full. */
  #ref(name: string): QueueRef | 0 {
    const known = this.#refs.get(name);
    if (known !== undefined) return known;
    if (this.#refs.size >= MAX_QUEUE_REFS) {
      if (!this.message({ kind: "queueRefsReset" })) return 0;
      this.#refs = new Map();
    }
    const length = Buffer.byteLength(name, "utf8");
    const at = this.#up.reserve(FrameKind.queueName, QueueNameFrame.bytes + length);
    if (at < 0) return 0;
    const ref = (this.#refs.size + 1) as QueueRef;
    this.#up.u32[(at + QueueNameFrame.ref) >> 2] = ref;
    this.#up.u32[(at + QueueNameFrame.length) >> 2] = length;
    this.#upText.write(name, at + QueueNameFrame.bytes, length, "utf8");
    this.#refs.set(name, ref);
    return ref;
  }

  /** Reports what became of a message. The work was only taken on while the link was {@link roomy}. */
  outcome(row: Row, session: SessionId, kind: OutcomeKind, flags: number, code: number): boolean {
    const at = this.#up.reserve(FrameKind.outcome, OutcomeFrame.bytes);
    if (at < 0) return false;
    this.#up.u32[(at + OutcomeFrame.row) >> 2] = row;
    this.#up.u32[(at + OutcomeFrame.session) >> 2] = session;
    this.#up.u32[(at + OutcomeFrame.kind) >> 2] = kind;
    this.#up.u32[(at + OutcomeFrame.flags) >> 2] = flags;
    this.#up.u32[(at + OutcomeFrame.code) >> 2] = code;
    return true;
  }

  session(session: SessionId, change: SessionChange): boolean {
    const at = this.#up.reserve(FrameKind.session, SessionFrame.bytes);
    if (at < 0) return false;
    this.#up.u32[(at + SessionFrame.session) >> 2] = session;
    this.#up.u32[(at + SessionFrame.change) >> 2] = change;
    return true;
  }

  /** Confirms that the spool entries of `rows[from, to)` are gone. */
  retired(rows: readonly Row[], from: number, to: number): boolean {
    const count = to - from;
    const at = this.#up.reserve(FrameKind.retired, Retired.bytes + count * 4);
    if (at < 0) return false;
    this.#up.u32[(at + Retired.count) >> 2] = count;
    const first = (at + Retired.bytes) >> 2;
    for (let i = 0; i < count; i++) this.#up.u32[first + i] = rows[from + i] as Row;
    return true;
  }

  /** Sends a rare frame; false when there is no room. */
  message(message: UpMessage): boolean {
    const packed = packr.pack(message);
    const at = this.#up.reserve(FrameKind.upRare, Rare.bytes + packed.byteLength);
    if (at < 0) return false;
    this.#up.u32[(at + Rare.length) >> 2] = packed.byteLength;
    this.#up.bytes.set(packed, at + Rare.bytes);
    return true;
  }

  /** Shows the scheduler what was written since the last time and rings if it sleeps. */
  publish(): void {
    if (this.#up.publish()) this.#bell.ring();
  }

  /** Reads at most `max` frames from the scheduler; returns how many it read. */
  drain(commands: SchedulerCommands, max: number): number {
    const down = this.#down;
    let read = 0;
    while (read < max && down.next()) {
      this.#dispatch(commands, down);
      read++;
    }
    if (read > 0) down.release();
    return read;
  }

  #dispatch(commands: SchedulerCommands, down: RingReader): void {
    const { at, u32, f64 } = down;
    switch (down.kind) {
      case FrameKind.deliver:
        commands.deliver(
          u32[(at + Deliver.session) >> 2] as SessionId,
          u32[(at + Deliver.row) >> 2] as Row,
          u32[(at + Deliver.shard) >> 2] as ShardIndex,
          f64[(at + Deliver.key) >> 3] as SpoolKey,
          u32[(at + Deliver.attempts) >> 2] as number,
          u32[(at + Deliver.more) >> 2] === 1,
        );
        return;
      case FrameKind.open:
        commands.open(u32[(at + Open.session) >> 2] as SessionId, u32[(at + Open.path) >> 2] as PathId);
        return;
      case FrameKind.close:
        commands.close(u32[(at + Close.session) >> 2] as SessionId, u32[(at + Close.reason) >> 2] as number);
        return;
      case FrameKind.retire:
        commands.retire(
          u32[(at + Retire.row) >> 2] as Row,
          u32[(at + Retire.shard) >> 2] as ShardIndex,
          f64[(at + Retire.key) >> 3] as SpoolKey,
        );
        return;
      case FrameKind.reschedule:
        commands.reschedule(
          u32[(at + Reschedule.shard) >> 2] as ShardIndex,
          f64[(at + Reschedule.key) >> 3] as SpoolKey,
          u32[(at + Reschedule.attempts) >> 2] as number,
          f64[(at + Reschedule.due) >> 3] as number,
        );
        return;
      case FrameKind.downRare: {
        const length = u32[(at + Rare.length) >> 2] as number;
        const start = at + Rare.bytes;
        // A copy: the unpacker must not read memory that the scheduler will write again.
        commands.message(unpackr.unpack(Buffer.from(down.bytes.slice(start, start + length))) as DownMessage);
        return;
      }
      default:
        assert(false, "a down ring carries down frames only");
    }
  }
}
