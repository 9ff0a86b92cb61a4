import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { ShardIndex } from "../../base/brands.js";
import { causeOf, errnoOf, Fault } from "../../base/fault.js";
import { makeDirectories } from "../../base/make-directories.js";
import { MAX_SHARDS } from "../../protocol/message-id.js";

/** Written into a shard's directory once its database exists; from then on an absent or empty database is damage. */
const MARK = "format";
const MARK_TEXT = "hikyaku shard 1\n";
/** Beside a shard's directory, so that its absence is noticed too: `shard-000.used`, empty. */
const USED = ".used";

/** The name of a shard's directory: `shard-000`. */
export function shardName(shard: ShardIndex): string {
  return `shard-${String(shard).padStart(3, "0")}`;
}

/** The directory of a shard below the spool's path. */
export function shardDirectory(spoolPath: string, shard: ShardIndex): string {
  return join(spoolPath, shardName(shard));
}

/** Where a shard's compacted file is made; what is there at a start was left by a crash. */
export function compactDirectory(directory: string): string {
  return join(directory, "compact");
}

/** The directory that damaged entries are moved to. */
export function quarantineDirectory(spoolPath: string): string {
  return join(spoolPath, "quarantine");
}

/**
 * The shards that exist below a spool's path, or once did, in order; none when the path does not exist yet.
 * @throws {Fault} `spool.unwritable` when the directory cannot be read.
 */
export function discoverShards(spoolPath: string): ShardIndex[] {
  if (!existsSync(spoolPath)) return [];
  const found = new Set<ShardIndex>();
  try {
    for (const name of readdirSync(spoolPath)) {
      const digits = /^shard-([0-9]{3,5})(?:\.used)?$/.exec(name)?.[1];
      if (digits === undefined) continue;
      const shard = Number.parseInt(digits, 10) as ShardIndex;
      if (shard < MAX_SHARDS && name.replace(USED, "") === shardName(shard)) found.add(shard);
    }
  } catch (error) {
    throw unwritable(spoolPath, error);
  }
  return [...found].sort((a, b) => a - b);
}

/**
 * Deals out the shards: worker *k* of `workers` (at least 1) owns shard *k*, which it makes when it does not exist, and
 * every further existing shard whose number leaves the remainder *k*. Its own comes first: new mail goes there.
 */
export function assignShards(existing: readonly ShardIndex[], workers: number): ShardIndex[][] {
  const owned: ShardIndex[][] = [];
  for (let worker = 0; worker < workers; worker++) owned.push([worker as ShardIndex]);
  for (const shard of existing) if (shard >= workers) owned[shard % workers]!.push(shard);
  return owned;
}

/**
 * What a shard's directory held before it was opened. `unmarked`: a database, and no mark. Either its first start was
 * interrupted, and it never held mail, or somebody has put it there.
 */
export type ShardState = "new" | "unmarked" | "existing";

/**
 * Makes a shard's directory ready to be opened, and refuses what must never be opened as if it were empty: a directory
 * that once held a database and is gone, or now holds none, or one of no bytes.
 * @throws {Fault} `spool.unwritable`, `spool.damaged`.
 */
export function prepareShard(directory: string): ShardState {
  const used = existsSync(directory + USED);
  if (used && !existsSync(directory)) {
    const away = `restore it from a backup, or remove ${directory + USED} to go on without the mail in it`;
    throw new Fault("spool.damaged", `${directory} is missing, but the shard has been in use; ${away}`);
  }
  try {
    makeDirectories(directory, 0o700);
    const probe = openSync(join(directory, ".probe"), "w");
    closeSync(probe);
    rmSync(compactDirectory(directory), { recursive: true, force: true });
  } catch (error) {
    throw unwritable(directory, error);
  }
  const database = join(directory, "data.mdb");
  const marked = existsSync(join(directory, MARK));
  if (marked) {
    const text = readFileSync(join(directory, MARK), "latin1");
    if (text !== MARK_TEXT) {
      throw new Fault("spool.damaged", `${join(directory, MARK)} names an unknown format: ${JSON.stringify(text)}`);
    }
  }
  const bytes = existsSync(database) ? statSync(database).size : -1;
  if ((marked || used) && bytes <= 0) {
    const what = bytes < 0 ? "is missing" : "is empty";
    throw new Fault("spool.damaged", `${database} ${what}, but the shard has been in use; restore it from a backup`);
  }
  if (bytes <= 0) return "new";
  return marked ? "existing" : "unmarked";
}

/**
 * Notes durably that the shard's database exists. Call it after the first successful open.
 * @throws {Fault} `spool.unwritable`.
 */
export function markShard(directory: string): void {
  mark(join(directory, MARK), MARK_TEXT);
  mark(directory + USED, "");
}

function mark(path: string, text: string): void {
  if (existsSync(path)) return;
  try {
    const file = openSync(path, "w", 0o600);
    try {
      writeSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    syncDirectory(dirname(path));
  } catch (error) {
    throw unwritable(path, error);
  }
}

/** Makes the entries of a directory durable. Throws the file system's error. */
export function syncDirectory(directory: string): void {
  const handle = openSync(directory, "r");
  try {
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
}

function unwritable(path: string, error: unknown): Fault {
  return new Fault("spool.unwritable", `cannot use ${path}: ${causeOf(error)}`, {
    errno: errnoOf(error),
    cause: error,
  });
}
