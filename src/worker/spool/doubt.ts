import { closeSync, existsSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";

/**
 * Whether a shard's file may read better than the disk holds it: a sync of it failed, after which the kernel may call pages
 * clean that it never wrote, and no later sync of the same file writes them. Only another file ends that (`rewrite.ts`).
 *
 * The doubt has to live as long as the kernel's cache does, which outlives the process, and no longer: after a loss of power
 * what is read is what the disk holds. So it is an empty file that nobody syncs, `unsynced` in the shard's directory.
 *
 * Runs on: the worker that owns the shard. Owns: the mark. When full: one mark, raised as often as one likes.
 * On failure: a mark that cannot be made is kept in memory only, and does not outlive the thread.
 */
export class Doubt {
  readonly #path: string;
  #raised: boolean;

  constructor(directory: string) {
    this.#path = join(directory, "unsynced");
    this.#raised = existsSync(this.#path);
  }

  get raised(): boolean {
    return this.#raised;
  }

  raise(): void {
    this.#raised = true;
    try {
      closeSync(openSync(this.#path, "w", 0o600));
    } catch {
      // The disk that refused the sync may refuse this too; the thread knows it anyway.
    }
  }

  /** The file was replaced by one that is synced. Throws the file system's error; the doubt stays then. */
  settle(): void {
    rmSync(this.#path, { force: true });
    this.#raised = false;
  }
}
