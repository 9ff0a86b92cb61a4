/** What a BDAT command announces (RFC 3030 §2). */
export interface ChunkOrder {
  readonly size: number;
  readonly last: boolean;
}

/** Reads the arguments of a BDAT line; null when they are none. */
export function parseBdat(line: string): ChunkOrder | null {
  const match = /^BDAT (\d{1,15})( LAST)?\s*$/i.exec(line);
  return match === null ? null : { size: Number(match[1]), last: match[2] !== undefined };
}

/**
 * The octets that follow a BDAT command: counted, so that whatever is answered they are never taken for commands.
 *
 * Runs on: the sink's thread, one per session. Owns: how many octets are still to come, and whether they are wanted.
 * When full: octets that are not kept are only counted. On failure: nothing can fail.
 */
export class Chunk {
  #left = -1;
  #last = false;
  #wanted = false;

  /** Octets are expected; also of an empty chunk, whose end is still to be answered. */
  get open(): boolean {
    return this.#left >= 0;
  }

  /** It ends the message. */
  get last(): boolean {
    return this.#last;
  }

  /** It belongs to a transaction; otherwise it is only passed over. */
  get wanted(): boolean {
    return this.#wanted;
  }

  begin(order: ChunkOrder, wanted: boolean): void {
    this.#left = order.size;
    this.#last = order.last;
    this.#wanted = wanted;
  }

  /** How many of `available` octets belong to the chunk; they are taken. */
  take(available: number): number {
    const taken = Math.min(this.#left, available);
    this.#left -= taken;
    return taken;
  }

  /** Whether all of it has come; then it is closed. */
  ended(): boolean {
    if (this.#left > 0) return false;
    this.#left = -1;
    return true;
  }
}
