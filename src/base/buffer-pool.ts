/**
 * Buffers that are used again instead of being made anew: the memory of a large buffer counts against the collector, and
 * one per message keeps it busier than the message itself does.
 *
 * Runs on   any thread, one or more per thread, never shared
 * Owns      buffers that were released, up to a stated sum
 * When full further buffers are left to the collector
 * On failure nothing here fails but the allocation itself
 *
 * Who releases a buffer says that nobody uses it any more, a socket's queue included. When in doubt it is not released:
 * the collector finds it.
 */

/** Smallest buffer, in octets: a power of two. */
export const SMALLEST_BUFFER = 16 * 1024;

/** See the file's header. Sizes are powers of two. */
export class BufferPool {
  readonly #free: Buffer[][] = [];
  readonly #maxBytes: number;
  #tight = false;
  #bytes = 0;

  /** @param maxBytes most octets kept for later. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Octets kept now. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Keeps nothing, or again up to its bound. */
  tighten(tight: boolean): void {
    this.#tight = tight;
    if (!tight) return;
    this.#free.length = 0;
    this.#bytes = 0;
  }

  /** A buffer of at least `octets`; its bytes are whatever they were. */
  take(octets: number): Buffer {
    const order = orderOf(octets);
    const kept = this.#free[order]?.pop();
    if (kept === undefined) return Buffer.allocUnsafeSlow(SMALLEST_BUFFER * 2 ** order);
    this.#bytes -= kept.length;
    return kept;
  }

  /** Takes back a buffer, or the memory under a part of one that this or another pool gave out; others are ignored. */
  release(part: Buffer): void {
    const size = part.buffer.byteLength;
    if (this.#tight) return;
    if (size < SMALLEST_BUFFER || (size & (size - 1)) !== 0 || this.#bytes + size > this.#maxBytes) return;
    const order = orderOf(size);
    while (this.#free.length <= order) this.#free.push([]);
    (this.#free[order] as Buffer[]).push(part.length === size ? part : Buffer.from(part.buffer));
    this.#bytes += size;
  }
}

function orderOf(octets: number): number {
  let order = 0;
  for (let size = SMALLEST_BUFFER; size < octets; size *= 2) order++;
  return order;
}
