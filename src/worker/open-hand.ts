import { assert } from "../base/assert.js";
import { loadNative } from "../native/load.js";
import { HANDS_BYTES, Hand } from "../protocol/layout/hands.js";
import type { WorkerInit } from "./init.js";

/** The line in which a worker notes what it has in hand. */
export function openHand({ hands, index }: WorkerInit): Hand {
  if (typeof hands !== "string") return new Hand(hands, index);
  const mapped = loadNative().mapFile(hands, HANDS_BYTES);
  assert(mapped !== null, "what the main thread has mapped, a worker can map");
  return new Hand(mapped, index);
}
