import { mkdirSync, renameSync, rmSync, statfsSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { faultOrder } from "../../base/failpoints.js";
import { errnoOf, Fault, messageOf } from "../../base/fault.js";
import { compactDirectory, syncDirectory } from "./directories.js";
import { bodyHold, LmdbStore } from "./lmdb-store.js";
import type { ShardStore } from "./shard-store.js";
import type { SwapGate } from "./swap-gate.js";
import { WriteBatch } from "./write-batch.js";

/** What a compaction did to a shard. */
export interface Compaction {
  /** Bytes of the file before and after. */
  readonly beforeBytes: number;
  readonly afterBytes: number;
  /** How long commits of the shard waited, ms. */
  readonly heldMs: number;
}

/** What a compaction needs of its shard. */
export interface CompactionTarget {
  readonly store: ShardStore;
  readonly directory: string;
  /** Why it must not go on, null when it may: the shard has failed, or is being closed. */
  obstacle(): Fault | null;
  /** From now on, what commits change is noted in `touched`; null ends it. */
  track(touched: TouchedKeys | null): void;
  /** Lets the commit under way end and begins no other until `release`. */
  hold(): Promise<void>;
  release(): void;
  /** Opens the shard's directory anew and works with that. Does not wait. @throws {Fault} */
  adopt(): void;
  /** The shard's file was replaced and could not be opened: it must be opened anew before anything is written. */
  fail(fault: Fault): void;
}

/** Keys written while a copy is made, beyond which it is given up: it would not catch up. */
const MAX_TOUCHED = 2_000_000;
/** So many keys are few enough to be copied while the shard waits. */
const FEW_KEYS = 512;
/** The copy may run behind so often; after that the shard changes faster than it can be copied. */
const MAX_ROUNDS = 12;
/** Smaller than any message's. */
const PRIMING_KEY = 1;
/** One transaction of the copy takes at most so many keys, or so many bytes and one body. */
const KEYS_PER_COMMIT = 4096;
const BYTES_PER_COMMIT = 8 * 1024 * 1024;

/** Keys whose entries were written or removed since the copy began. */
export class TouchedKeys {
  rows = new Set<number>();
  bodies = new Set<number>();

  get size(): number {
    return this.rows.size + this.bodies.size;
  }

  /** Notes all that a committed batch changed. */
  add(batch: WriteBatch): void {
    for (const key of batch.rowKeys) this.rows.add(key);
    for (const key of batch.patchedKeys) this.rows.add(key);
    for (const key of batch.removedRows) this.rows.add(key);
    for (const key of batch.bodyKeys) this.bodies.add(key);
    for (const key of batch.removedBodies) this.bodies.add(key);
  }

  /** Gives what was noted, and notes anew. */
  take(): { rows: number[]; bodies: number[] } {
    const taken = { rows: sorted(this.rows), bodies: sorted(this.bodies) };
    this.rows = new Set();
    this.bodies = new Set();
    return taken;
  }
}

function sorted(keys: ReadonlySet<number>): number[] {
  return [...keys].sort((a, b) => a - b);
}

/**
 * Gives the free pages of a shard's file back to the file system, while the shard is in use.
 *
 *     copy ▸ catch up, again and again ▸ sync ▸ catch up ▸ hold ▸ catch up ▸ sync ▸ rename ▸ open ▸ release
 *     mail is taken and removed meanwhile                │ commits wait, nothing is acknowledged │
 *
 * The copy is made from a snapshot by LMDB on another thread, without free pages, in a directory of its own. What commits
 * change meanwhile is noted as keys, and copied behind as it is then: a copy of a key is right however often it is made.
 * While commits are held the copy becomes equal to the original and is synced; then one rename replaces the file. So after
 * a crash at any moment the directory holds the one file or the other, and both hold all that was acknowledged.
 *
 * Other threads' handles go on reading the old file, which has no name any more: a message that they find there is right,
 * and they look into the new one for what they do not find. The lock file goes with the old one.
 * @throws {Fault} `spool.compaction`: the shard is as it was, unless `fail` was told.
 */
export async function compact(target: CompactionTarget, gate: SwapGate): Promise<Compaction> {
  const { directory } = target;
  const workplace = compactDirectory(directory);
  const touched = new TouchedKeys();
  const before = target.store.usage();
  let copy: LmdbStore | null = null;
  let heldFrom = 0;
  try {
    rmSync(workplace, { recursive: true, force: true });
    mkdirSync(workplace, { mode: 0o700 });
    // Twice, so that the mail that comes meanwhile does not find a full disk.
    requireRoom(directory, before.usedBytes * 2);
    target.track(touched);
    step("begun");
    await target.store.copyTo(workplace);
    step("copied");
    check(target, touched);
    copy = LmdbStore.openCopy(workplace);
    await prime(copy);
    await nearlyCatchUp(target, copy, touched);
    // Nearly all of the copy reaches the disk while mail is taken; what comes behind it is little.
    await syncFile(join(workplace, "data.mdb"));
    await nearlyCatchUp(target, copy, touched);
    heldFrom = performance.now();
    await target.hold();
    check(target, touched);
    step("held");
    await catchUp(target, copy, touched);
    requireEqual(target.store, copy);
    await copy.close();
    copy = null;
    await syncFile(join(workplace, "data.mdb"));
    check(target, touched);
    step("synced");
    await gate.swapping(() => swap(target, workplace, step));
    const heldMs = performance.now() - heldFrom;
    return { beforeBytes: before.fileBytes, afterBytes: target.store.usage().fileBytes, heldMs };
  } catch (error) {
    if (error instanceof Fault && error.code === "spool.compaction") throw error;
    throw new Fault("spool.compaction", messageOf(error), { errno: errnoOf(error), cause: error });
  } finally {
    target.track(null);
    if (heldFrom > 0) target.release();
    await copy?.close();
    rmSync(workplace, { recursive: true, force: true });
  }
}

/** Puts the copy in the original's place; `reached` is told of the steps. */
export function swap(
  target: Pick<CompactionTarget, "directory" | "adopt" | "fail">,
  workplace: string,
  reached: (step: string) => void,
): void {
  const { directory } = target;
  rmSync(join(directory, "lock.mdb"), { force: true });
  reached("unlocked");
  renameSync(join(workplace, "data.mdb"), join(directory, "data.mdb"));
  try {
    reached("renamed");
    syncDirectory(directory);
    target.adopt();
    reached("adopted");
  } catch (error) {
    // The old file has no name any more: nothing may be written to it.
    target.fail(refusal(`the compacted file could not be opened: ${messageOf(error)}`));
    throw error;
  }
}

/**
 * Gives a copy its first free pages. It is made without any, and LMDB, as lmdb-js builds it, refuses a transaction that
 * begins so and frees many (MDB_BAD_VALSIZE, MDB_BAD_TXN): it reads its list of free pages while it writes the first entry.
 */
export async function prime(copy: LmdbStore): Promise<void> {
  const batch = new WriteBatch();
  batch.rowKeys.push(PRIMING_KEY);
  batch.rows.push(Buffer.alloc(1));
  await commit(copy, batch);
  batch.clear();
  batch.removedRows.push(PRIMING_KEY);
  await commit(copy, batch);
}

/** Catches up until few keys are left. */
async function nearlyCatchUp(target: CompactionTarget, copy: LmdbStore, touched: TouchedKeys): Promise<void> {
  for (let round = 1; touched.size > FEW_KEYS; round++) {
    if (round > MAX_ROUNDS) throw refusal("the shard changes faster than it can be copied");
    await catchUp(target, copy, touched);
    check(target, touched);
  }
}

/** Copies the present state of the touched keys, with as few transactions as their size allows. */
async function catchUp({ store }: CompactionTarget, copy: LmdbStore, touched: TouchedKeys): Promise<void> {
  const { rows, bodies: bodyKeys } = touched.take();
  let row = 0;
  let body = 0;
  while (row < rows.length || body < bodyKeys.length) {
    const batch = new WriteBatch();
    let bytes = 0;
    let keys = 0;
    store.refresh();
    for (; body < bodyKeys.length && keys < KEYS_PER_COMMIT && bytes < BYTES_PER_COMMIT; body++, keys++) {
      bytes += copyBody(store, bodyKeys[body]!, batch);
    }
    for (; row < rows.length && keys < KEYS_PER_COMMIT && bytes < BYTES_PER_COMMIT; row++, keys++) {
      bytes += copyRow(store, rows[row]!, batch);
    }
    await commit(copy, batch);
    for (const hold of batch.holds) hold.drop();
  }
}

function copyBody(store: ShardStore, key: number, batch: WriteBatch): number {
  const body = store.body(key);
  if (body === undefined) {
    batch.removedBodies.push(key);
    return 0;
  }
  batch.bodyKeys.push(key);
  batch.bodies.push(body);
  const hold = bodyHold(body);
  hold?.take();
  if (hold !== null) batch.holds.push(hold);
  return body.length;
}

function copyRow(store: ShardStore, key: number, batch: WriteBatch): number {
  const row = store.row(key);
  if (row === undefined) {
    batch.removedRows.push(key);
    return 0;
  }
  batch.rowKeys.push(key);
  batch.rows.push(row);
  return row.length;
}

function commit(copy: LmdbStore, batch: WriteBatch): Promise<void> {
  return new Promise((resolve, reject) => {
    copy.commit(batch, (error) => {
      if (error === null) resolve();
      else reject(new Error(`the copy could not be written: ${messageOf(error)}`, { cause: error }));
    });
  });
}

/** The last look before the original goes: same number of rows and bodies, same last key. */
export function requireEqual(store: ShardStore, copy: LmdbStore): void {
  store.refresh();
  copy.refresh();
  const [a, b] = [store, copy].map(
    (one) => `${one.count()} rows, ${one.bodyCount()} bodies, last key ${one.lastKey()}`,
  );
  if (a !== b) throw refusal(`the copy differs (${b}) from the original (${a})`);
}

/** @throws {Fault} when the file system has not so much left. */
export function requireRoom(directory: string, bytes: number): void {
  const { bavail, bsize } = statfsSync(directory);
  if (bavail * bsize < bytes) throw refusal(`too little free space: the copy needs about ${bytes} bytes`);
}

function check(target: CompactionTarget, touched: TouchedKeys): void {
  const obstacle = target.obstacle();
  if (obstacle !== null) throw obstacle;
  if (touched.size > MAX_TOUCHED) throw refusal("the shard changes faster than it can be copied");
}

/** Off this thread: the sync of a large copy takes seconds, and its sessions are to go on meanwhile. */
export async function syncFile(path: string): Promise<void> {
  const file = await open(path, "r");
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}

function refusal(why: string): Fault {
  return new Fault("spool.compaction", why);
}

/** A failpoint, `spool.compact kill STEP` or `spool.compact error STEP`: the process dies here, or this step fails. */
function step(name: string): void {
  const order = faultOrder("spool.compact", name);
  if (order === null) return;
  if (order.action === "kill") process.kill(process.pid, "SIGKILL");
  throw new Error(`step "${name}" failed on order (HIKYAKU_FAULTS)`);
}
