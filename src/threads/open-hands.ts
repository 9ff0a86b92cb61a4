import { readFileSync, rmSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import type { WorkerIndex } from "../base/brands.js";
import type { Clock } from "../base/clock.js";
import { errnoOf, messageOf } from "../base/fault.js";
import type { Undo } from "../base/undo.js";
import type { CompiledConfig } from "../config/compiled.js";
import type { Native } from "../native/binding.js";
import { DEATH_AT, DIED_OF_A_BUG, HANDS_BYTES, Hands, type Held, MAX_WORKERS } from "../protocol/layout/hands.js";
import { messageId, nodeDigits } from "../protocol/message-id.js";
import { doing, End, Strikes } from "./strikes.js";

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
 * Opens the notes. What is still noted from the last run was in hand when it ended, and counts as a strike: a full one when
 * the process died of itself, and left a sign of that, and not of a crash on another thread; else a lesser one. A stop in order leaves no file. From here on this
 * process leaves such a sign too.
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
  const { held: left, death } = leftIn(path, notice);
  for (const { note, guilty } of left) {
    const count = strikes.strike(note, guilty ? End.death : End.unknown);
    const what = `a worker was ${doing(note.work)} message ${messageId(node, note.shard, note.key)}`;
    const counted = guilty ? `strike ${count}` : `perhaps not its doing, ${count} of 3`;
    const elsewhere = death !== 0 && !guilty ? " on another thread" : "";
    notice(`the last run ${deathName(death)}${elsewhere} while ${what}: ${counted}`);
  }
  undo.push(() => strikes.saved());
  await strikes.saved();
  const memory = sharedMemory(native, path, notice);
  const hands = new Hands(memory);
  hands.begin();
  leaveSigns(native, memory, path, hands, notice, undo);
  undo.push(() => rmSync(path, { force: true }));
  return { hands, memory: memory instanceof SharedArrayBuffer ? memory : path, strikes, found: left.length };
}

/** A note of the last run, and whether the process died of its own doing, as far as is known in this worker's hands. */
interface Left {
  readonly note: Held;
  readonly guilty: boolean;
}

/** What the last run had in hand, and how it died (see `Hands.death`). */
function leftIn(path: string, notice: (line: string) => void): { held: readonly Left[]; death: number } {
  try {
    const bytes = readFileSync(path);
    if (bytes.length < HANDS_BYTES) return { held: [], death: 0 };
    const left = new Hands(new Uint8Array(bytes).buffer);
    const { death, culprit } = left;
    const held: Left[] = [];
    for (let worker = 0; worker < MAX_WORKERS; worker++) {
      const note = left.held(worker as WorkerIndex);
      if (note !== null) held.push({ note, guilty: death !== 0 && (culprit === "unknown" || culprit === worker) });
    }
    return { held, death };
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") notice(`what the last run had in hand is not known: ${messageOf(error)}`);
    return { held: [], death: 0 };
  }
}

function deathName(death: number): string {
  if (death === 0) return "was ended";
  if (death === DIED_OF_A_BUG) return "died of an internal error";
  const name = Object.entries(constants.signals).find(([, number]) => number === death)?.[0];
  return `died of ${name ?? `signal ${death}`}`;
}

/** A death of this process's own doing, by signal or by exception, is seen by the next start. */
function leaveSigns(
  native: Native,
  memory: ArrayBuffer | SharedArrayBuffer,
  path: string,
  hands: Hands,
  notice: (line: string) => void,
  undo: Undo,
): void {
  // Without a file nothing outlives the process anyway.
  if (memory instanceof SharedArrayBuffer) return;
  try {
    native.markDeaths(path, DEATH_AT);
  } catch (error) {
    notice(`a crash will count as an end from outside: ${messageOf(error)}`);
  }
  const onUncaught = (error: Error): void => void hands.dyingOf(error);
  process.on("uncaughtExceptionMonitor", onUncaught);
  undo.push(() => void process.off("uncaughtExceptionMonitor", onUncaught));
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
