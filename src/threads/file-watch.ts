/**
 * Notices that one of some files has changed: written, replaced by a rename, swapped behind a symbolic link, gone.
 *
 * Runs on   the main thread; the system is asked on Node's thread pool
 * Owns      a timer, and what the files looked like
 * When full one look at a time
 * On failure a file that cannot be looked at looks different from one that can
 *
 * It looks twice a second instead of being told: that works for every editor, every file system and every way of putting
 * files in place, and a few `stat` calls a second are nothing. A change counts once two looks have seen the same, so that
 * a file is not read while it is being written.
 */
import { stat } from "node:fs/promises";
import { errnoOf } from "../base/fault.js";

const LOOK_MS = 400;
/** Time stamps of files are a little older than the clock. */
const COARSE_MS = 50;

/** See the file's header. */
export class FileWatch {
  readonly #changed: () => void;
  readonly #timer: NodeJS.Timeout;
  #files: readonly string[];
  /** What was read last, and what was seen at the last look. */
  #read: string | null = null;
  #seen = "";
  #looking = false;

  /** @param readMs when the reading of the files began, ms since 1970: what has changed since is a change. */
  constructor(files: readonly string[], readMs: number, changed: () => void) {
    this.#files = files;
    this.#changed = changed;
    void this.follow(files, readMs);
    this.#timer = setInterval(() => void this.#look(), LOOK_MS);
    this.#timer.unref();
  }

  /** These files take part now; they were read, beginning at `readMs`. */
  async follow(files: readonly string[], readMs: number): Promise<void> {
    this.#files = files;
    this.#read = null;
    const { text, newestMs } = await this.#signature();
    // What changed while it was read may have been read or not: it is read once more.
    this.#read = newestMs > readMs - COARSE_MS ? "" : text;
    this.#seen = text;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    if (this.#looking || this.#read === null) return;
    this.#looking = true;
    const files = this.#files;
    const { text: now } = await this.#signature();
    this.#looking = false;
    // Others are followed since.
    if (files !== this.#files || this.#read === null) return;
    const settled = now === this.#seen;
    this.#seen = now;
    if (!settled || now === this.#read) return;
    this.#read = now;
    this.#changed();
  }

  async #signature(): Promise<{ readonly text: string; readonly newestMs: number }> {
    let newestMs = Number.NEGATIVE_INFINITY;
    const parts = await Promise.all(
      this.#files.map(async (file) => {
        try {
          const { dev, ino, size, mtimeNs, mtimeMs, ctimeMs } = await stat(file, { bigint: true });
          newestMs = Math.max(newestMs, Number(mtimeMs), Number(ctimeMs));
          return `${dev} ${ino} ${size} ${mtimeNs}`;
        } catch (error) {
          newestMs = Number.POSITIVE_INFINITY;
          return errnoOf(error) ?? "unknown";
        }
      }),
    );
    return { text: parts.join("\n"), newestMs };
  }
}
