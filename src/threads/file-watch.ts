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

/** See the file's header. */
export class FileWatch {
  readonly #changed: () => void;
  readonly #timer: NodeJS.Timeout;
  #files: readonly string[];
  /** What was read last, and what was seen at the last look. */
  #read: string | null = null;
  #seen = "";
  #looking = false;

  /** @param read when the files were read, ms since 1970: what changed since is a change. */
  constructor(files: readonly string[], read: number, changed: () => void) {
    this.#files = files;
    this.#changed = changed;
    void this.#begin(read);
    this.#timer = setInterval(() => void this.#look(), LOOK_MS);
    this.#timer.unref();
  }

  /** Other files take part now; what they look like now is what was read. */
  async follow(files: readonly string[]): Promise<void> {
    this.#files = files;
    this.#read = await this.#signature();
    this.#seen = this.#read;
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #begin(read: number): Promise<void> {
    const timeOf = async (file: string): Promise<number> => {
      try {
        return (await stat(file)).mtimeMs;
      } catch {
        return Number.POSITIVE_INFINITY;
      }
    };
    const times = await Promise.all(this.#files.map(timeOf));
    if (times.every((time) => time <= read)) await this.follow(this.#files);
    else this.#read ??= "";
  }

  async #look(): Promise<void> {
    if (this.#looking || this.#read === null) return;
    this.#looking = true;
    const now = await this.#signature();
    this.#looking = false;
    const settled = now === this.#seen;
    this.#seen = now;
    if (!settled || now === this.#read) return;
    this.#read = now;
    this.#changed();
  }

  async #signature(): Promise<string> {
    const parts = await Promise.all(
      this.#files.map(async (file) => {
        try {
          const { dev, ino, size, mtimeNs } = await stat(file, { bigint: true });
          return `${dev} ${ino} ${size} ${mtimeNs}`;
        } catch (error) {
          return errnoOf(error) ?? "unknown";
        }
      }),
    );
    return parts.join("\n");
  }
}
