/**
 * What a worker gives up while memory is scarce: its caches, its spare buffers, its mail that is in memory only.
 *
 * Runs on   a worker
 * Owns      nothing but what it did last
 * When full nothing grows
 * On failure mail that cannot be stored stays in memory and is tried again
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { ProcessFlag, type SharedState } from "../protocol/layout/shared-state.js";

/**
 * Pause between two collections that are asked for. Whoever takes no mail allocates little, so that the collector would let
 * the memory of what was given up lie for minutes.
 */
const COLLECT_MS = 5000;

/** What can be made smaller. */
export interface Shrinkable {
  /** Gives up what it keeps and keeps nothing more, until it is called with false. */
  tighten(tight: boolean): void;
}

/** See the file's header. */
export class Relief {
  readonly #shared: SharedState;
  readonly #parts: readonly Shrinkable[];
  #tight = false;
  #collectedMs = Number.NEGATIVE_INFINITY;

  constructor(shared: SharedState, parts: readonly Shrinkable[]) {
    this.#shared = shared;
    this.#parts = parts;
  }

  /** Looks at the process's flags; a few times a second. */
  look(nowMs: number): void {
    const { flags } = this.#shared;
    const tight = (flags & ProcessFlag.memoryLow) !== 0;
    if (tight !== this.#tight) {
      this.#tight = tight;
      for (const part of this.#parts) part.tighten(tight);
    }
    if ((flags & ProcessFlag.memoryFull) === 0 || nowMs - this.#collectedMs < COLLECT_MS) return;
    this.#collectedMs = nowMs;
    collect();
  }
}

let collector: unknown;

/** A full collection on this thread. */
function collect(): void {
  if (collector === undefined) {
    setFlagsFromString("--expose-gc");
    collector = runInNewContext("gc");
  }
  if (typeof collector === "function") collector();
}
