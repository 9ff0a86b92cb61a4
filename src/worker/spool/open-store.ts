import { shardDirectory } from "./directories.js";
import { LmdbStore } from "./lmdb-store.js";
import type { ShardOptions } from "./shard-options.js";
import type { ShardStore } from "./shard-store.js";

/**
 * Opens a shard's database; `check` walks its pages first.
 * @throws {Fault} `spool.unwritable`, `spool.damaged`.
 */
export function openStore(options: ShardOptions, check: boolean): ShardStore {
  if (options.openStore !== undefined) return options.openStore();
  const directory = shardDirectory(options.spoolPath, options.shard);
  return LmdbStore.open(directory, options.durability === "flushed", check).store;
}
