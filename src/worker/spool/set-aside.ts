import type { ShardIndex, SpoolKey } from "../../base/brands.js";
import { Fault } from "../../base/fault.js";
import { MessageFlag } from "../../protocol/message-flag.js";
import type { Depth } from "../../protocol/messages.js";
import { commitFault } from "./committer.js";
import type { Envelope } from "./envelope.js";
import { writeQuarantine } from "./quarantine.js";
import type { Removals } from "./removals.js";
import { type RowHeader, readEnvelope, readHeader } from "./row-codec.js";
import type { ShardStore } from "./shard-store.js";

/** What setting entries aside needs of their shard. */
export interface SetAsideParts {
  readonly spoolPath: string;
  readonly shard: ShardIndex;
  readonly store: () => ShardStore;
  /** The shard's reader of rows, free between two calls. */
  readonly header: RowHeader;
  readonly removals: Removals;
  readonly failed: (fault: Fault) => void;
  /** An entry is in quarantine. */
  readonly moved: (key: SpoolKey, reason: string, envelope: Envelope | null) => void;
}

interface Aside {
  readonly bodyKey: number;
  readonly shared: boolean;
  readonly rowOnly: boolean;
  token: number;
}

/**
 * Entries that are in quarantine and still in the spool, until their record is in the log.
 *
 * Runs on: the worker that owns the shard. Owns: the entries set aside since the last `letGo`.
 * When full: as many as were damaged or sentenced within one turn.
 * On failure: an entry that cannot be copied stays an ordinary one; while the log cannot be written they stay where they are.
 */
export class SetAside {
  readonly #parts: SetAsideParts;
  readonly #entries = new Map<SpoolKey, Aside>();

  constructor(parts: SetAsideParts) {
    this.#parts = parts;
  }

  has(key: SpoolKey): boolean {
    return this.#entries.has(key);
  }

  /** Copies an entry into quarantine, read no deeper than allowed; it leaves with `letGo`. False: nothing was done. */
  quarantine(key: SpoolKey, reason: string, depth: Depth): boolean {
    if (this.#entries.has(key)) return true;
    const { header, removals, spoolPath, shard } = this.#parts;
    const store = this.#parts.store();
    let bodyKey: number = key;
    let shared = false;
    let envelope: Envelope | null = null;
    try {
      const row = store.row(key);
      if (row !== undefined && depth !== "bytes" && readHeader(row, header) === null) {
        if (depth === "envelope") envelope = readEnvelope(row, header);
        bodyKey = header.bodyKey;
        shared = (header.flags & MessageFlag.sharedBody) !== 0;
      } else shared = !removals.counted || removals.refs.has(key);
      writeQuarantine(spoolPath, shard, key, row, store.body(bodyKey));
    } catch (error) {
      this.#parts.failed(error instanceof Fault ? error : commitFault("quarantine", error));
      return false;
    }
    // Before the counts are complete a body that may be shared is left to the end of the replay, which did not count this row.
    this.#entries.set(key, { bodyKey, shared, rowOnly: shared && !removals.counted, token: 0 });
    this.#parts.moved(key, reason, envelope);
    return true;
  }

  /** Somebody asks for an entry's removal: it comes with the next `letGo`. False when the entry is not set aside. */
  remove(key: SpoolKey, token: number): boolean {
    const aside = this.#entries.get(key);
    if (aside === undefined) return false;
    if (token !== 0) aside.token = token;
    return true;
  }

  /** Their records are in the log: they leave the spool. */
  letGo(): void {
    const { removals } = this.#parts;
    for (const [key, { bodyKey, shared, rowOnly, token }] of this.#entries) {
      if (rowOnly) removals.removeRow(key, token);
      else removals.remove(key, bodyKey, shared, token);
    }
    this.#entries.clear();
  }
}
