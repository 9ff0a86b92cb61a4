import type { SpooledMessage } from "./envelope.js";

/** What an entry is charged besides its content: envelope, map entry, strings. */
const ENTRY_BYTES = 1024;

/**
 * Messages that were stored a moment ago, so that a first delivery by the same worker neither reads LMDB nor unpacks.
 * Gain: bench/micro/spool-read.ts.
 *
 * Runs on: the owning worker. Owns: references to contents that were in memory anyway.
 * When full: the oldest are forgotten (they are read from LMDB instead). On failure: cannot fail.
 */
export class RecentMessages {
  readonly #messages = new Map<number, SpooledMessage>();
  readonly #maxBytes: number;
  #tight = false;
  #bytes = 0;

  /** @param maxBytes content bytes to hold, with an allowance per entry; 0 switches it off. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get enabled(): boolean {
    return this.#maxBytes > 0 && !this.#tight;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(message: SpooledMessage): void {
    const bytes = charge(message);
    if (this.#tight || bytes > this.#maxBytes) return;
    message.hold?.take();
    this.#messages.set(message.key, message);
    this.#bytes += bytes;
    if (this.#bytes <= this.#maxBytes) return;
    for (const oldest of this.#messages.values()) {
      this.#forget(oldest);
      if (this.#bytes <= this.#maxBytes) return;
    }
  }

  get(key: number): SpooledMessage | undefined {
    return this.#messages.get(key);
  }

  /** Forgets a message: it was removed, or its stored attempts changed. */
  delete(key: number): void {
    const message = this.#messages.get(key);
    if (message !== undefined) this.#forget(message);
  }

  /** Holds nothing, or again up to its bound. */
  tighten(tight: boolean): void {
    this.#tight = tight;
    if (tight) this.clear();
  }

  clear(): void {
    for (const message of this.#messages.values()) this.#forget(message);
  }

  #forget(message: SpooledMessage): void {
    this.#messages.delete(message.key);
    this.#bytes -= charge(message);
    message.hold?.drop();
  }
}

/** Bytes of memory that a message keeps. Recipients of one transaction share a content and are each charged for it. */
function charge(message: SpooledMessage): number {
  return ENTRY_BYTES + (message.hold?.bytes ?? message.content.length);
}
