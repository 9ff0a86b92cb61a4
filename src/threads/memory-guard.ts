/**
 * Watches the memory in use: when it gets scarce caches are to be given up, when it is over the soft limit no mail is taken.
 *
 * Runs on   the main thread; files of /proc and /sys are read off it
 * Owns      a timer and what it saw last
 * When full `low` from `low_thresh` of the soft limit on, `full` from the soft limit on; each ends a twentieth below, so that
 *           a level at the edge does not switch with every look
 * On failure what cannot be read is taken for no memory in use, or no limit: nothing is refused
 */
import { readFile } from "node:fs/promises";
import { faultOrder } from "../base/failpoints.js";
import type { MemoryConfig } from "../config/compiled.js";
import { type MemoryState, memoryState, type ReadText } from "./memory-limit.js";

const CHECK_MS = 3000;
/** Part of a threshold below which its state ends. */
const RECOVERED = 0.95;

/** How much memory is left. */
export type MemoryLevel = "enough" | "low" | "full";

/** See the file's header. */
export class MemoryGuard {
  readonly #config: MemoryConfig;
  readonly #changed: (level: MemoryLevel) => void;
  readonly #giveBack: () => Promise<void>;
  readonly #read: ReadText;
  readonly #timer: NodeJS.Timeout;
  #level: MemoryLevel = "enough";
  #state: MemoryState = { used: 0, soft: Number.POSITIVE_INFINITY, from: "not measured yet" };

  /**
   * @param changed told of every change.
   * @param giveBack called before each look while there is not enough: freed memory is to go back to the system.
   */
  constructor(
    config: MemoryConfig,
    changed: (level: MemoryLevel) => void,
    giveBack: () => Promise<void>,
    read: ReadText = readText,
  ) {
    this.#config = config;
    this.#changed = changed;
    this.#giveBack = giveBack;
    this.#read = read;
    this.#timer = setInterval(() => void this.look(), CHECK_MS);
    this.#timer.unref();
  }

  /** What was seen last. */
  get state(): MemoryState {
    return this.#state;
  }

  /** Bytes from which on memory is low. */
  get lowBytes(): number {
    return this.#config.lowThresh ?? this.#state.soft * LOW_SHARE;
  }

  /** Looks now. */
  async look(): Promise<void> {
    if (this.#level !== "enough") await this.#giveBack();
    const seen = await memoryState(this.#read, this.#config.softLimit);
    const order = faultOrder("memory.used");
    this.#state = order?.action === "bytes" ? { ...seen, used: Number(order.argument) } : seen;
    const level = this.#judge();
    if (level === this.#level) return;
    this.#level = level;
    this.#changed(level);
  }

  #judge(): MemoryLevel {
    const { used, soft } = this.#state;
    if (used >= soft * (this.#level === "full" ? RECOVERED : 1)) return "full";
    return used >= this.lowBytes * (this.#level === "enough" ? 1 : RECOVERED) ? "low" : "enough";
  }

  /** No more looking. */
  stop(): void {
    clearInterval(this.#timer);
  }
}

/** Part of the soft limit from which on memory is low, unless the configuration says otherwise. */
const LOW_SHARE = 0.8;

async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, "latin1");
  } catch {
    return null;
  }
}
