import { assert } from "../base/assert.js";
import type { ShardIndex, SpoolKey } from "../base/brands.js";

/**
 * Message ids: 32 hex digits that sort by time and tell time, shard and node. The layout is that of a UUID version 7
 * (RFC 9562 §5.7), so that other tools can read the time from it:
 *
 *     | 48 bit ms since 1970 | 7 | 12 bit sequence | 10 | 14 bit shard | 48 bit node |
 *
 * Inside its shard a message is known by its *spool key*, a safe integer: (ms − {@link KEY_EPOCH_MS}) × 4096 + sequence.
 * It orders like the id, fits a Float64 column, and holds until the year 2094.
 */
export const KEY_EPOCH_MS = 1_735_689_600_000;

/** Keys per millisecond and shard; the generator borrows from the next millisecond when they run out. */
export const KEYS_PER_MS = 4096;

/** Most shards that an id can name. */
export const MAX_SHARDS = 1 << 14;

/** Makes the keys of one shard: strictly rising, at or after the clock's millisecond. */
export class SpoolKeys {
  #last: number;

  /** @param last the greatest key already used in the shard, 0 for none. */
  constructor(last: number) {
    this.#last = last;
  }

  /** The next key. `steadyMs` is the steady wall clock. */
  next(steadyMs: number): SpoolKey {
    const first = (steadyMs - KEY_EPOCH_MS) * KEYS_PER_MS;
    this.#last = first > this.#last ? first : this.#last + 1;
    return this.#last as SpoolKey;
  }

  /** Tells the generator of a key that is in use, found by a scan. */
  seen(key: number): void {
    if (key > this.#last) this.#last = key;
  }
}

/** Milliseconds since 1970 at which the message of this key was received. */
export function createdMs(key: SpoolKey): number {
  return Math.floor(key / KEYS_PER_MS) + KEY_EPOCH_MS;
}

/** The number of a node in its messages' ids: 12 hex digits, the first 48 bits of the node's UUID. */
export function nodeDigits(nodeId: string): string {
  const digits = nodeId.replaceAll("-", "").toLowerCase();
  assert(/^[0-9a-f]{32}$/.test(digits), "node id is a UUID");
  return digits.slice(0, 12);
}

/** The id of a message: 32 lower-case hex digits. `node` comes from {@link nodeDigits}. */
export function messageId(node: string, shard: ShardIndex, key: SpoolKey): string {
  const ms = Math.floor(key / KEYS_PER_MS);
  const sequence = key - ms * KEYS_PER_MS;
  const time = (ms + KEY_EPOCH_MS).toString(16).padStart(12, "0");
  return time + (0x7000 | sequence).toString(16) + (0x8000 | shard).toString(16) + node;
}

/** The shard and key that an id names, or null when the text is no id of ours. */
export function parseMessageId(id: string): { shard: ShardIndex; key: SpoolKey; node: string } | null {
  const match = /^([0-9a-f]{12})7([0-9a-f]{3})([89ab][0-9a-f]{3})([0-9a-f]{12})$/.exec(id);
  if (match === null) return null;
  const ms = Number.parseInt(match[1] as string, 16) - KEY_EPOCH_MS;
  if (ms < 0) return null;
  return {
    key: (ms * KEYS_PER_MS + Number.parseInt(match[2] as string, 16)) as SpoolKey,
    shard: (Number.parseInt(match[3] as string, 16) & 0x3fff) as ShardIndex,
    node: match[4] as string,
  };
}
