import type { SpoolKey } from "../../base/brands.js";
import type { Committer } from "./committer.js";
import type { StoredRows } from "./removals.js";
import { patchRow, readHeader } from "./row-codec.js";

/** What reschedules need of their shard. */
export interface RescheduleParts extends StoredRows {
  readonly committer: Committer;
  /** The entry is in quarantine, and not gone yet. */
  readonly isAside: (key: SpoolKey) => boolean;
  /** The row is damaged. */
  readonly damaged: (key: SpoolKey, reason: string) => void;
}

/**
 * Other attempts and due times of waiting messages, on their way into their rows.
 *
 * Runs on: the worker that owns the shard. Owns: those whose rows could not be read.
 * When full: as many as the spool has messages.
 * On failure: a row that cannot be read is tried again after the shard was opened anew; a damaged one goes to quarantine.
 */
export class Reschedules {
  readonly #parts: RescheduleParts;
  readonly #unread = new Map<SpoolKey, { attempts: number; dueMs: number }>();

  constructor(parts: RescheduleParts) {
    this.#parts = parts;
  }

  /** Has a row rewritten with the next commit. */
  write(key: SpoolKey, attempts: number, dueMs: number): void {
    const { store, committer, header, isAside, failed, damaged } = this.#parts;
    let row: Buffer | undefined;
    try {
      row = store().row(key);
    } catch (error) {
      this.#unread.set(key, { attempts, dueMs });
      failed(error);
      return;
    }
    if (row === undefined || isAside(key)) return;
    const wrong = readHeader(row, header);
    if (wrong !== null) {
      damaged(key, wrong);
      return;
    }
    patchRow(row, attempts, dueMs);
    committer.filling.patchedKeys.push(key);
    committer.filling.patchedRows.push(row);
    committer.schedule();
  }

  /** The message is settled: nothing of it is to be written any more. */
  forget(key: SpoolKey): void {
    this.#unread.delete(key);
  }

  /** The shard is open again: those that could not be read, which are given once more. */
  takeUnread(): readonly (readonly [SpoolKey, { readonly attempts: number; readonly dueMs: number }])[] {
    const unread = [...this.#unread];
    this.#unread.clear();
    return unread;
  }
}
