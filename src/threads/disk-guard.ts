/**
 * Watches the room that is left for the spool and the log, and has intake refuse mail before there is none.
 *
 * Runs on   the main thread
 * Owns      a timer and what it saw last
 * When full below a limit of the configuration: `low` says so, clients hear 452, deliveries and removals go on; it ends a
 *           twentieth above, so that a disk at the edge does not switch with every look
 * On failure a file system that cannot be asked counts as one that is low, for nobody knows; it is reported once
 */
import { faultOrder } from "../base/failpoints.js";
import { messageOf } from "../base/fault.js";
import type { FreeLimit, SpoolConfig } from "../config/compiled.js";
import type { FreeSpace, Native } from "../native/binding.js";

const CHECK_MS = 5000;
/** Part of a limit that must be free for a shortage to be over. */
const RECOVERED = 1.05;

/** See the file's header. */
export class DiskGuard {
  readonly #native: Native;
  readonly #limits: SpoolConfig;
  readonly #paths: readonly string[];
  readonly #changed: (low: string | null) => void;
  readonly #timer: NodeJS.Timeout;
  #low: string | null = null;

  /**
   * @param paths directories whose file systems are watched.
   * @param changed told of every change: what is low, or null when nothing is any more.
   */
  constructor(native: Native, limits: SpoolConfig, paths: readonly string[], changed: (low: string | null) => void) {
    this.#native = native;
    this.#limits = limits;
    this.#paths = paths;
    this.#changed = changed;
    this.#timer = setInterval(() => void this.look(), CHECK_MS);
    this.#timer.unref();
  }

  /** Asks now. */
  async look(): Promise<void> {
    let low = faultOrder("disk.free")?.action === "low" ? "free space is low on order (HIKYAKU_FAULTS)" : null;
    for (const path of this.#paths) {
      try {
        const free = await this.#native.freeSpace(path);
        low ??= shortage(path, free, this.#limits, this.#low === null ? 1 : RECOVERED);
      } catch (error) {
        low ??= `free space of ${path} cannot be read: ${messageOf(error)}`;
      }
    }
    if (low === this.#low) return;
    const told = (low === null) !== (this.#low === null);
    this.#low = low;
    if (told) this.#changed(low);
  }

  /** No more looking. */
  stop(): void {
    clearInterval(this.#timer);
  }
}

/** What of a file system is below so many times its limit, in words, or null. */
function shortage(
  path: string,
  free: FreeSpace,
  limits: Pick<SpoolConfig, "minFreeSpace" | "minFreeInodes">,
  times: number,
): string | null {
  if (below(free.freeBytes, free.totalBytes, limits.minFreeSpace, times)) {
    return `${path} has ${Math.floor(free.freeBytes / 1_048_576)} MiB free, less than min_free_space`;
  }
  // Some file systems have no fixed number of inodes and say 0.
  if (free.totalInodes > 0 && below(free.freeInodes, free.totalInodes, limits.minFreeInodes, times)) {
    return `${path} has ${free.freeInodes} inodes free, fewer than min_free_inodes`;
  }
  return null;
}

function below(free: number, total: number, limit: FreeLimit, times: number): boolean {
  return free < times * ("count" in limit ? limit.count : total * limit.fraction);
}
