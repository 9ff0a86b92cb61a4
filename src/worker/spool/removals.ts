import type { SpoolKey } from "../../base/brands.js";
import { MessageFlag } from "../../protocol/message-flag.js";
import { BodyRefs } from "./body-refs.js";
import type { Committer } from "./committer.js";
import { type RowHeader, readHeader } from "./row-codec.js";
import type { ShardStore } from "./shard-store.js";

/** A shard's rows, to be read. */
export interface StoredRows {
  readonly store: () => ShardStore;
  /** The shard's reader of rows, free between two calls. */
  readonly header: RowHeader;
  /** A row could not be read. */
  readonly failed: (error: unknown) => void;
}

/**
 * How rows and bodies leave a shard: a row at once with the next commit, a shared body with the last of its rows.
 *
 * Runs on: the worker that owns the shard. Owns: the counts of shared bodies, and removals that wait for them.
 * When full: what waits is bounded by the rows of the spool, and ends with the replay.
 * On failure: a commit that fails keeps removals for the next; a row that cannot be read goes all the same.
 */
export class Removals {
  /** How many rows each shared body has. */
  readonly refs = new BodyRefs();
  readonly #rows: StoredRows;
  readonly #committer: Committer;
  #counted: boolean;
  /** Removals of rows with shared bodies that came before the counts were complete. */
  #held: { key: SpoolKey; bodyKey: number; token: number }[] = [];

  /** @param counted there is nothing to count: the shard is empty. */
  constructor(rows: StoredRows, committer: Committer, counted: boolean) {
    this.#rows = rows;
    this.#committer = committer;
    this.#counted = counted;
  }

  /** False until a replay has counted the rows of shared bodies. */
  get counted(): boolean {
    return this.#counted;
  }

  /** Removes a row, and its body when no other row has it. `token`: told when it is gone, 0 for nobody. */
  remove(key: SpoolKey, bodyKey: number, shared: boolean, token: number): void {
    if (shared && !this.#counted) this.#held.push({ key, bodyKey, token });
    else this.#removeNow(key, bodyKey, shared, token);
  }

  /** Removes a row of which nothing is known but its key; it is read when bodies may be shared. */
  removeStored(key: SpoolKey, token: number): void {
    let bodyKey: number = key;
    let shared = false;
    if (!this.#counted || this.refs.size > 0) {
      const { header } = this.#rows;
      const row = this.#tryRow(key);
      if (row !== null && readHeader(row, header) === null) {
        bodyKey = header.bodyKey;
        shared = (header.flags & MessageFlag.sharedBody) !== 0;
      } else shared = this.refs.has(key);
    }
    this.remove(key, bodyKey, shared, token);
  }

  /** Removes a row alone. */
  removeRow(key: SpoolKey, token: number): void {
    if (token !== 0) this.#committer.filling.tokens.push(token);
    this.#committer.filling.removedRows.push(key);
    this.#committer.schedule();
  }

  /** Removes a body that no row has. */
  removeBody(bodyKey: number): void {
    this.#committer.filling.removedBodies.push(bodyKey);
    this.#committer.schedule();
  }

  /** All rows of shared bodies are counted: what waited for it goes. */
  finished(): void {
    this.#counted = true;
    for (const { key, bodyKey, token } of this.#held.splice(0)) this.#removeNow(key, bodyKey, true, token);
  }

  #removeNow(key: SpoolKey, bodyKey: number, shared: boolean, token: number): void {
    if (!shared || this.refs.release(bodyKey)) this.#committer.filling.removedBodies.push(bodyKey);
    this.removeRow(key, token);
  }

  #tryRow(key: SpoolKey): Buffer | null {
    const { store, failed } = this.#rows;
    try {
      return store().row(key) ?? null;
    } catch (error) {
      failed(error);
      return null;
    }
  }
}
