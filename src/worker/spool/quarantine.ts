import { closeSync, fsyncSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { ShardIndex, SpoolKey } from "../../base/brands.js";
import { errnoOf, Fault, messageOf } from "../../base/fault.js";
import { makeDirectories } from "../../base/make-directories.js";
import { quarantineDirectory, shardName, syncDirectory } from "./directories.js";

/**
 * Writes what is left of a damaged entry to `quarantine/SHARD-KEY.meta` (the raw row) and `.eml` (the raw body), durably,
 * so that the entry can be taken out of the spool. Files of the same name are overwritten: it is the same entry.
 * @throws {Fault} `spool.unwritable` when they cannot be written; then the entry must stay.
 */
export function writeQuarantine(
  spoolPath: string,
  shard: ShardIndex,
  key: SpoolKey,
  row: Buffer | undefined,
  body: Buffer | undefined,
): void {
  const directory = quarantineDirectory(spoolPath);
  const base = join(directory, `${shardName(shard).slice("shard-".length)}-${key}`);
  try {
    makeDirectories(directory, 0o700);
    if (row !== undefined) writeDurably(`${base}.meta`, row);
    if (body !== undefined) writeDurably(`${base}.eml`, body);
    syncDirectory(directory);
  } catch (error) {
    throw new Fault("spool.unwritable", `cannot quarantine ${base}: ${messageOf(error)}`, {
      errno: errnoOf(error),
      cause: error,
    });
  }
}

function writeDurably(path: string, bytes: Buffer): void {
  const file = openSync(path, "w", 0o600);
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
}
