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
  #bytes = 0;

  /** @param maxBytes content bytes to hold, with an allowance per entry; 0 switches it off. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  get enabled(): boolean {
    return this.#maxBytes > 0;
  }

  get bytes(): number {
    return this.#bytes;
  }

  add(message: SpooledMessage): void {
    const bytes = message.content.length + ENTRY_BYTES;
    if (bytes > this.#maxBytes) return;
    this.#messages.set(message.key, message);
    this.#bytes += bytes;
    if (this.#bytes <= this.#maxBytes) return;
    for (const [key, oldest] of this.#messages) {
      this.#messages.delete(key);
      this.#bytes -= oldest.content.length + ENTRY_BYTES;
      if (this.#bytes <= this.#maxBytes) return;
    }
  }

  get(key: number): SpooledMessage | undefined {
    return this.#messages.get(key);
  }

  /** Forgets a message: it was removed, or its stored attempts changed. */
  delete(key: number): void {
    const message = this.#messages.get(key);
    if (message === undefined) return;
    this.#messages.delete(key);
    this.#bytes -= message.content.length + ENTRY_BYTES;
  }

  clear(): void {
    this.#messages.clear();
    this.#bytes = 0;
  }
}
