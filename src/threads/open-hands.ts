import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { WorkerIndex } from "../base/brands.js";
import type { Clock } from "../base/clock.js";
import { errnoOf, messageOf } from "../base/fault.js";
import type { Undo } from "../base/undo.js";
import type { CompiledConfig } from "../config/compiled.js";
import type { Native } from "../native/binding.js";
import { HANDS_BYTES, Hands, MAX_WORKERS } from "../protocol/layout/hands.js";
import { messageId, nodeDigits } from "../protocol/message-id.js";
import { doing, Strikes } from "./strikes.js";

/** The notes of what workers have in hand, open for this run. */
export interface OpenHands {
  readonly hands: Hands;
  /** How a worker comes to its line: a file to map, or the memory itself. */
  readonly memory: string | SharedArrayBuffer;
  readonly strikes: Strikes;
  /** Strikes that were found in the notes of the last run. */
  readonly found: number;
}

/**
 * Opens the notes. What is still noted from the last run is what it died of, and counts as a strike; a stop in order
 * leaves no file.
 */
export async function openHands(
  native: Native,
  config: CompiledConfig,
  clock: Clock,
  notice: (line: string) => void,
  undo: Undo,
): Promise<OpenHands> {
  const strikes = new Strikes(join(config.spool.path, "strikes.json"), () => clock.wallMs(), notice);
  const path = join(config.spool.path, "in-hand");
  const node = nodeDigits(config.node.nodeId);
  const left = leftIn(path, notice);
  for (const { shard, key, work } of left) {
    const deaths = strikes.strike({ shard, key, work });
    const what = `${doing(work)} message ${messageId(node, shard, key)}`;
    notice(`the last run was ended while a worker was ${what}: strike ${deaths}`);
  }
  undo.push(() => strikes.saved());
  await strikes.saved();
  const memory = sharedMemory(native, path, notice);
  const hands = new Hands(memory);
  hands.begin();
  undo.push(() => rmSync(path, { force: true }));
  return { hands, memory: memory instanceof SharedArrayBuffer ? memory : path, strikes, found: left.length };
}

function leftIn(path: string, notice: (line: string) => void) {
  try {
    const bytes = readFileSync(path);
    if (bytes.length < HANDS_BYTES) return [];
    const left = new Hands(new Uint8Array(bytes).buffer);
    return Array.from({ length: MAX_WORKERS }, (_, worker) => left.held(worker as WorkerIndex)).filter(
      (held) => held !== null,
    );
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") notice(`what the last run had in hand is not known: ${messageOf(error)}`);
    return [];
  }
}

function sharedMemory(native: Native, path: string, notice: (line: string) => void): ArrayBuffer | SharedArrayBuffer {
  let why = "there is no native addon";
  try {
    const mapped = native.mapFile(path, HANDS_BYTES);
    if (mapped !== null) return mapped;
    // Somebody may have run with the addon before.
    rmSync(path, { force: true });
  } catch (error) {
    why = messageOf(error);
  }
  notice(`a message that ends the whole process will not be known for it: ${why}`);
  return new SharedArrayBuffer(HANDS_BYTES);
}
