import type { ShardIndex, SpoolKey } from "../../base/brands.js";
import { shardDirectory } from "./directories.js";
import type { SpooledMessage, Unreadable } from "./envelope.js";
import { LmdbStore } from "./lmdb-store.js";
import { tryReadMessage } from "./read-message.js";

/**
 * Reads messages from a shard that another worker of the same process owns and has open.
 *
 * Runs on: any worker but the owner. Owns: a handle on the owner's environment; it never writes.
 * When full: a reader slot per thread and shard, of 1024.
 * On failure: a message that cannot be read is reported, not touched: moving it to quarantine is its owner's business.
 */
export class ShardReader {
  readonly shard: ShardIndex;
  readonly #store: LmdbStore;

  private constructor(shard: ShardIndex, store: LmdbStore) {
    this.shard = shard;
    this.#store = store;
  }

  /**
   * Opens the shard below `spoolPath`; its owner must have reported it as open. May wait for a commit under way.
   * @throws {Fault} `spool.unwritable`, `spool.damaged`.
   */
  static open(spoolPath: string, shard: ShardIndex): ShardReader {
    return new ShardReader(shard, LmdbStore.openForReading(shardDirectory(spoolPath, shard)));
  }

  /**
   * Reads one message, as last committed. lmdb-js would keep the snapshot for the rest of the event turn, and a thread
   * that is put to sleep there for far longer; all that the owner removes meanwhile could not be written over, and its
   * file would grow (bench/load/churn.ts: to twice the peak of what it held, against 1.2 times).
   * @param alike a message whose content this one may share; it is not read again then.
   */
  read(key: SpoolKey, alike: SpooledMessage | null = null): SpooledMessage | Unreadable {
    const found = tryReadMessage(this.#store, key, alike);
    this.#store.refresh();
    return found;
  }

  /** Gives the handle back. */
  close(): Promise<void> {
    return this.#store.close();
  }
}
