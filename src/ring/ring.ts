/**
 * A ring of frames between two threads: one writes, the other reads, neither ever waits inside.
 *
 * Runs on   both ends; each end makes its own object over the same SharedArrayBuffer
 * Owns      the writer: the write cursor and the free part; the reader: the read cursor and the filled part
 * When full `reserve` returns −1; the writer stops reading its own input and tries again later
 * On failure nothing can fail but our own arithmetic: assertions end the thread
 *
 *     bytes 0      64      128                                                  128 + capacity
 *           │ write │ read  │ … free … │ frame │ frame │ frame │ … free … │ pad │
 *             cursor  cursor            ▲ read cursor           ▲ write cursor
 *
 * A frame is `u32 kind, u32 bytes` and then its fields, all 8-byte aligned; it never straddles the end: what is left
 * there is filled by a pad frame. Cursors count bytes modulo 2³² and each has a cache line of its own, since two threads
 * that store to one line slow each other several times (bench `ring: false sharing`).
 */
import { assert } from "../base/assert.js";
import { FrameKind } from "../protocol/layout/frames.js";

const WRITE_CURSOR = 0;
const READ_CURSOR = 16; // as a Uint32 index: byte 64
const DATA = 128;
const HEADER = 8;

/** The size of the shared memory for a ring that holds `capacity` bytes of frames (a power of two, 1 KiB to 1 GiB). */
export function ringBytes(capacity: number): number {
  assert(
    capacity >= 1024 && capacity <= 1 << 30 && (capacity & (capacity - 1)) === 0,
    "ring capacity is a power of two",
  );
  return DATA + capacity;
}

/** The writing end. Fields are written through `u32`, `f64` and `bytes` at the offset that `reserve` returned. */
export class RingWriter {
  readonly u32: Uint32Array;
  readonly f64: Float64Array;
  readonly bytes: Uint8Array;
  /** Bytes of frames that the ring holds at most. */
  readonly capacity: number;
  readonly #mask: number;
  #write: number;
  #readSeen: number;

  constructor(memory: SharedArrayBuffer) {
    this.capacity = memory.byteLength - DATA;
    assert(ringBytes(this.capacity) === memory.byteLength, "ring memory has the size of a ring");
    this.u32 = new Uint32Array(memory);
    this.f64 = new Float64Array(memory);
    this.bytes = new Uint8Array(memory);
    this.#mask = this.capacity - 1;
    this.#write = Atomics.load(this.u32, WRITE_CURSOR);
    this.#readSeen = Atomics.load(this.u32, READ_CURSOR);
  }

  /**
   * Makes a frame of `kind` with `size` bytes of fields and returns the byte offset of the first field, or −1 when there
   * is no room. The frame is seen by the reader after {@link publish}.
   */
  reserve(kind: FrameKind, size: number): number {
    const need = HEADER + ((size + 7) & ~7);
    let at = this.#write & this.#mask;
    const toEnd = this.capacity - at;
    const pad = need > toEnd ? toEnd : 0;
    if (!this.#fits(need + pad)) return -1;
    if (pad > 0) {
      const word = (DATA + at) >> 2;
      this.u32[word] = FrameKind.pad;
      this.u32[word + 1] = pad;
      this.#write = (this.#write + pad) >>> 0;
      at = 0;
    }
    const word = (DATA + at) >> 2;
    this.u32[word] = kind;
    this.u32[word + 1] = need;
    this.#write = (this.#write + need) >>> 0;
    return DATA + at + HEADER;
  }

  #fits(total: number): boolean {
    assert(total <= this.capacity, "a frame is larger than its ring");
    if (((this.#write - this.#readSeen) >>> 0) + total <= this.capacity) return true;
    this.#readSeen = Atomics.load(this.u32, READ_CURSOR);
    return ((this.#write - this.#readSeen) >>> 0) + total <= this.capacity;
  }

  /** Bytes that are certainly free for frames of at most `largest` bytes each (headers counted), fresh from the reader. */
  free(largest: number): number {
    this.#readSeen = Atomics.load(this.u32, READ_CURSOR);
    return this.capacity - ((this.#write - this.#readSeen) >>> 0) - (largest + HEADER);
  }

  /** How far frames are shown: a mark for {@link passed}. */
  get mark(): number {
    return Atomics.load(this.u32, WRITE_CURSOR);
  }

  /** Whether the reader has given back everything before a mark. */
  passed(mark: number): boolean {
    return ((Atomics.load(this.u32, READ_CURSOR) - mark) | 0) >= 0;
  }

  /** Shows the reader all frames made so far; returns false when there were none. */
  publish(): boolean {
    if (Atomics.load(this.u32, WRITE_CURSOR) === this.#write) return false;
    Atomics.store(this.u32, WRITE_CURSOR, this.#write);
    return true;
  }
}

/** The reading end. After `next`, the frame's fields lie at `at` until the following `next` or `release`. */
export class RingReader {
  readonly u32: Uint32Array;
  readonly f64: Float64Array;
  readonly bytes: Uint8Array;
  /** Kind of the frame that `next` found. */
  kind: FrameKind = FrameKind.pad;
  /** Byte offset of its first field. */
  at = 0;
  readonly #mask: number;
  #read: number;
  #frameBytes = 0;
  #writeSeen: number;

  constructor(memory: SharedArrayBuffer) {
    const capacity = memory.byteLength - DATA;
    assert(ringBytes(capacity) === memory.byteLength, "ring memory has the size of a ring");
    this.u32 = new Uint32Array(memory);
    this.f64 = new Float64Array(memory);
    this.bytes = new Uint8Array(memory);
    this.#mask = capacity - 1;
    this.#read = Atomics.load(this.u32, READ_CURSOR);
    this.#writeSeen = Atomics.load(this.u32, WRITE_CURSOR);
  }

  /** Steps to the next frame; false when there is none. The frame before it is given up. */
  next(): boolean {
    this.#read = (this.#read + this.#frameBytes) >>> 0;
    this.#frameBytes = 0;
    for (;;) {
      if (this.#read === this.#writeSeen) {
        this.#writeSeen = Atomics.load(this.u32, WRITE_CURSOR);
        if (this.#read === this.#writeSeen) return false;
      }
      const at = DATA + (this.#read & this.#mask);
      const kind = this.u32[at >> 2] as FrameKind;
      const size = this.u32[(at >> 2) + 1] as number;
      if (kind === FrameKind.pad) {
        this.#read = (this.#read + size) >>> 0;
        continue;
      }
      this.kind = kind;
      this.at = at + HEADER;
      this.#frameBytes = size;
      return true;
    }
  }

  /** Whether frames wait, without touching them. */
  get waiting(): boolean {
    return (this.#read + this.#frameBytes) >>> 0 !== Atomics.load(this.u32, WRITE_CURSOR);
  }

  /** Gives everything read so far, the current frame included, back to the writer. */
  release(): void {
    this.#read = (this.#read + this.#frameBytes) >>> 0;
    this.#frameBytes = 0;
    Atomics.store(this.u32, READ_CURSOR, this.#read);
  }
}
