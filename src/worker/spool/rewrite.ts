import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { orderedError } from "../../base/failpoints.js";
import { errnoOf, Fault, messageOf } from "../../base/fault.js";
import { type CompactionTarget, prime, requireEqual, requireRoom, swap, syncFile } from "./compaction.js";
import { compactDirectory } from "./directories.js";
import { LmdbStore } from "./lmdb-store.js";
import type { SwapGate } from "./swap-gate.js";

/** What a rewriting needs of its shard: its store, opened anew, to which nobody writes meanwhile. */
export type RewriteTarget = Pick<CompactionTarget, "store" | "directory" | "adopt" | "fail">;

/**
 * Puts a file of new pages in the place of a shard's, after a sync of it failed: every page of the copy is written by this
 * process, so that its sync says something of each of them, where one more sync of the old file would say nothing of pages
 * that the kernel took for written.
 *
 *     copy what is in use ▸ compare ▸ sync ▸ rename ▸ sync the directory ▸ open
 *
 * @throws {Fault} `spool.commit-failed`: the shard must not take mail; the call may be repeated after opening it anew.
 */
export async function rewrite(target: RewriteTarget, gate: SwapGate): Promise<void> {
  const { directory, store } = target;
  const workplace = compactDirectory(directory);
  let copy: LmdbStore | null = null;
  try {
    rmSync(workplace, { recursive: true, force: true });
    mkdirSync(workplace, { mode: 0o700 });
    // The shard takes no mail meanwhile.
    requireRoom(directory, store.usage().usedBytes);
    await store.copyTo(workplace);
    copy = LmdbStore.openCopy(workplace);
    await prime(copy);
    requireEqual(store, copy);
    await copy.close();
    copy = null;
    const ordered = orderedError("spool.sync");
    if (ordered !== null) throw ordered;
    await syncFile(join(workplace, "data.mdb"));
    await gate.swapping(() => swap(target, workplace, () => {}));
  } catch (error) {
    throw new Fault("spool.commit-failed", `the spool file could not be rewritten: ${messageOf(error)}`, {
      errno: errnoOf(error),
      cause: error,
    });
  } finally {
    await copy?.close();
    rmSync(workplace, { recursive: true, force: true });
  }
}
