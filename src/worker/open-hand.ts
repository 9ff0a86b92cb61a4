import { assert } from "../base/assert.js";
import { loadNative } from "../native/load.js";
import { HANDS_BYTES, Hand, lineOf } from "../protocol/layout/hands.js";
import type { WorkerInit } from "./init.js";

/** The line in which a worker notes what it has in hand; a crash of the calling thread is known by it from here on. */
export function openHand({ hands, index }: WorkerInit): Hand {
  if (typeof hands !== "string") return new Hand(hands, index);
  const native = loadNative();
  const mapped = native.mapFile(hands, HANDS_BYTES);
  assert(mapped !== null, "what the main thread has mapped, a worker can map");
  native.ownLine(lineOf(index));
  return new Hand(mapped, index);
}
