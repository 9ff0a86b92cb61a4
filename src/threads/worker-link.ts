/**
 * The scheduler's end of the two rings that connect it with one worker.
 *
 * Runs on   the main thread
 * Owns      the writing end of the down ring, the reading end of the up ring
 * When full `room` says 0: the scheduler does not hand out work and stops reading up frames until there is room
 * On failure a dead worker's link is drained to its end, then thrown away; a fresh worker gets a fresh link
 */
import { Packr, Unpackr } from "msgpackr";
import { assert } from "../base/assert.js";
import type { PathId, QueueRef, Row, SessionId, ShardIndex, SpoolKey, WorkerIndex } from "../base/brands.js";
import {
  Accepted,
  Close,
  type CloseReason,
  Deliver,
  FrameKind,
  Open,
  OutcomeFrame,
  QueueNameFrame,
  Rare,
  Reschedule,
  Retire,
  Retired,
  SessionFrame,
} from "../protocol/layout/frames.js";
import type { Dispose, DownMessage, PathDefinition, SetAside, UpMessage } from "../protocol/messages.js";
import type { Bell } from "../ring/doorbell.js";
import { RingReader, RingWriter } from "../ring/ring.js";
import type { WorkerEvents, WorkerPort } from "../scheduler/ports.js";
import type { ShardProgress } from "./shard-progress.js";

/** Room kept for the largest fixed frame, header included. */
const FRAME_BYTES = 48;
/** Room kept for a `dispose`, `setAside` or `definePath`; larger ones are cut by their makers (response text, host lists). */
const RARE_BYTES = 64 * 1024;

const packr = new Packr({ useRecords: false });
const unpackr = new Unpackr({ useRecords: false });
/** Where names of queues are copied to; grows to the longest one, which is shorter than a ring. */
let scratch = Buffer.allocUnsafeSlow(1024);

/** One worker as the scheduler sees it. */
export class WorkerLink implements WorkerPort {
  readonly index: WorkerIndex;
  readonly #down: RingWriter;
  readonly #up: RingReader;
  readonly #bell: Bell;
  readonly #onMessage: (message: UpMessage) => void;
  readonly #progress: ReadonlyMap<ShardIndex, ShardProgress>;
  #alive = true;

  /**
   * @param onMessage takes the rare frames, which are not the scheduler's business.
   * @param progress of the worker's shards; told of every row that passes.
   */
  constructor(
    index: WorkerIndex,
    up: SharedArrayBuffer,
    down: SharedArrayBuffer,
    bell: Bell,
    onMessage: (message: UpMessage) => void,
    progress: ReadonlyMap<ShardIndex, ShardProgress>,
  ) {
    this.index = index;
    this.#up = new RingReader(up);
    this.#down = new RingWriter(down);
    this.#bell = bell;
    this.#onMessage = onMessage;
    this.#progress = progress;
  }

  /** Ends writing: `room` is 0 from now on. What the worker still wrote can be drained. */
  sever(): void {
    this.#alive = false;
  }

  /** Not severed. */
  get alive(): boolean {
    return this.#alive;
  }

  /** Whether the worker has written frames that were not read yet. */
  get waiting(): boolean {
    return this.#up.waiting;
  }

  room(): number {
    if (!this.#alive) return 0;
    const free = this.#down.free(RARE_BYTES);
    return free <= 0 ? 0 : Math.floor(free / FRAME_BYTES);
  }

  roomForRare(): boolean {
    return this.#alive && this.#down.free(RARE_BYTES) > 0;
  }

  definePath(path: PathDefinition): void {
    this.send({ kind: "definePath", path });
  }

  forgetPath(id: PathId): void {
    this.send({ kind: "forgetPath", id });
  }

  dispose(message: Dispose): void {
    this.send(message);
  }

  setAside(order: SetAside): void {
    this.send(order);
  }

  /** Sends a rare frame. Returns false when there is no room (the caller tries again in a later turn). */
  send(message: DownMessage): boolean {
    if (!this.#alive) return false;
    const packed = packr.pack(message);
    const at = this.#down.reserve(FrameKind.downRare, Rare.bytes + packed.byteLength);
    if (at < 0) return false;
    this.#down.u32[(at + Rare.length) >> 2] = packed.byteLength;
    this.#down.bytes.set(packed, at + Rare.bytes);
    return true;
  }

  open(session: SessionId, path: PathId): void {
    const at = this.#reserve(FrameKind.open, Open.bytes);
    this.#down.u32[(at + Open.session) >> 2] = session;
    this.#down.u32[(at + Open.path) >> 2] = path;
  }

  deliver(session: SessionId, row: Row, shard: ShardIndex, key: SpoolKey, attempts: number, more: boolean): void {
    const at = this.#reserve(FrameKind.deliver, Deliver.bytes);
    this.#down.f64[(at + Deliver.key) >> 3] = key;
    this.#down.u32[(at + Deliver.row) >> 2] = row;
    this.#down.u32[(at + Deliver.session) >> 2] = session;
    this.#down.u32[(at + Deliver.shard) >> 2] = shard;
    this.#down.u32[(at + Deliver.attempts) >> 2] = attempts;
    this.#down.u32[(at + Deliver.more) >> 2] = more ? 1 : 0;
  }

  close(session: SessionId, reason: CloseReason): void {
    const at = this.#reserve(FrameKind.close, Close.bytes);
    this.#down.u32[(at + Close.session) >> 2] = session;
    this.#down.u32[(at + Close.reason) >> 2] = reason;
  }

  retire(row: Row, shard: ShardIndex, key: SpoolKey): void {
    const at = this.#reserve(FrameKind.retire, Retire.bytes);
    this.#down.f64[(at + Retire.key) >> 3] = key;
    this.#down.u32[(at + Retire.row) >> 2] = row;
    this.#down.u32[(at + Retire.shard) >> 2] = shard;
  }

  reschedule(shard: ShardIndex, key: SpoolKey, attempts: number, dueMs: number): void {
    const at = this.#reserve(FrameKind.reschedule, Reschedule.bytes);
    this.#down.f64[(at + Reschedule.key) >> 3] = key;
    this.#down.f64[(at + Reschedule.due) >> 3] = dueMs;
    this.#down.u32[(at + Reschedule.shard) >> 2] = shard;
    this.#down.u32[(at + Reschedule.attempts) >> 2] = attempts;
  }

  #reserve(kind: FrameKind, bytes: number): number {
    const at = this.#down.reserve(kind, bytes);
    assert(at >= 0, "the scheduler asked for room before it wrote");
    return at;
  }

  drain(sink: WorkerEvents, max: number): number {
    const up = this.#up;
    let read = 0;
    while (read < max && up.next()) {
      this.#dispatch(sink, up);
      read++;
    }
    if (read > 0) up.release();
    return read;
  }

  #dispatch(sink: WorkerEvents, up: RingReader): void {
    const { at, u32, f64 } = up;
    switch (up.kind) {
      case FrameKind.accepted: {
        const shard = u32[(at + Accepted.shard) >> 2] as ShardIndex;
        const key = f64[(at + Accepted.key) >> 3] as SpoolKey;
        this.#progress.get(shard)?.announced(key);
        sink.accepted(
          this.index,
          shard,
          key,
          u32[(at + Accepted.queue) >> 2] as QueueRef,
          u32[(at + Accepted.size) >> 2] as number,
          u32[(at + Accepted.attempts) >> 2] as number,
          f64[(at + Accepted.due) >> 3] as number,
          u32[(at + Accepted.nth) >> 2] as number,
        );
        return;
      }
      case FrameKind.outcome:
        sink.outcome(
          this.index,
          u32[(at + OutcomeFrame.row) >> 2] as Row,
          u32[(at + OutcomeFrame.session) >> 2] as SessionId,
          u32[(at + OutcomeFrame.kind) >> 2] as number,
          u32[(at + OutcomeFrame.flags) >> 2] as number,
          u32[(at + OutcomeFrame.code) >> 2] as number,
        );
        return;
      case FrameKind.session:
        sink.session(
          this.index,
          u32[(at + SessionFrame.session) >> 2] as SessionId,
          u32[(at + SessionFrame.change) >> 2] as number,
        );
        return;
      case FrameKind.retired: {
        const count = u32[(at + Retired.count) >> 2] as number;
        const first = (at + Retired.bytes) >> 2;
        for (let i = 0; i < count; i++) sink.retired(this.index, u32[first + i] as Row);
        return;
      }
      case FrameKind.queueName: {
        const ref = u32[(at + QueueNameFrame.ref) >> 2] as QueueRef;
        sink.queueNamed(
          this.index,
          ref,
          text(up, at + QueueNameFrame.bytes, u32[(at + QueueNameFrame.length) >> 2] as number),
        );
        return;
      }
      case FrameKind.upRare: {
        const length = u32[(at + Rare.length) >> 2] as number;
        const start = at + Rare.bytes;
        // A copy: the unpacker must not read memory that the worker will write again.
        const message = unpackr.unpack(Buffer.from(up.bytes.slice(start, start + length))) as UpMessage;
        if (message.kind === "queueRefsReset") sink.queueRefsReset(this.index);
        else this.#onMessage(message);
        return;
      }
      default:
        assert(false, "an up ring carries up frames only");
    }
  }

  publish(): void {
    if (this.#alive && this.#down.publish()) this.#bell.ring();
  }
}

/** Copied out first: the worker may write there again, and decoders do not take shared memory. */
function text(ring: RingReader, start: number, length: number): string {
  if (length > scratch.length) scratch = Buffer.allocUnsafeSlow(2 * length);
  const { bytes } = ring;
  for (let i = 0; i < length; i++) scratch[i] = bytes[start + i];
  return scratch.toString("utf8", 0, length);
}
