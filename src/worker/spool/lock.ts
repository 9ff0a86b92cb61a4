import { readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { errnoOf, Fault, messageOf } from "../../base/fault.js";
import { makeDirectories } from "../../base/make-directories.js";
import type { Native } from "../../native/binding.js";
import { livingOwner } from "../../native/lock-owner.js";

/** The lock's file in the spool's directory. */
const LOCK = "lock";

/**
 * Takes the spool for this process, making its directory when there is none. Returns what gives it back, and with it the
 * directories that were made for it, where nothing has been put into them; the lock also dies with the process.
 * @throws {Fault} `spool.locked` when another server uses it, `spool.unwritable` when the directory cannot be used.
 */
export function lockSpool(native: Native, spoolPath: string): () => void {
  let made: string | undefined;
  try {
    // Mail is nobody else's business.
    made = makeDirectories(spoolPath, 0o700);
  } catch (error) {
    const errno = errnoOf(error);
    throw new Fault("spool.unwritable", `the spool ${spoolPath} cannot be made: ${messageOf(error)}`, { errno });
  }
  const path = join(spoolPath, LOCK);
  let lock: { release(): void } | null;
  try {
    lock = native.lockFile(path);
  } catch (error) {
    if (made !== undefined) removeEmpty(spoolPath, made);
    throw error;
  }
  if (lock === null) {
    const owner = spoolOwner(spoolPath);
    const who = owner === null ? "another running server" : `another running server, process ${owner}`;
    throw new Fault("spool.locked", `the spool ${spoolPath} is used by ${who}`);
  }
  return () => {
    // The file goes while it is locked: whoever has it open by then sees that it is no longer the spool's.
    const top = made !== undefined && removeIfAlone(path) ? made : null;
    lock.release();
    if (top !== null) removeEmpty(spoolPath, top);
  };
}

/**
 * The process that holds a spool's lock, as the lock's file names it, checked to be alive; null when there is none, or
 * none that this process can see.
 */
export function spoolOwner(spoolPath: string): number | null {
  try {
    return livingOwner(readFileSync(join(spoolPath, LOCK), "latin1"));
  } catch {
    return null;
  }
}

/** Removes a file if its directory holds nothing else; returns whether it did. */
function removeIfAlone(path: string): boolean {
  try {
    if (readdirSync(dirname(path)).length > 1) return false;
    rmSync(path);
    return true;
  } catch {
    return false;
  }
}

/** Removes `path` and the directories above it up to `top`, as long as they are empty. */
function removeEmpty(path: string, top: string): void {
  const last = dirname(resolve(top));
  try {
    for (let directory = resolve(path); directory !== last; directory = dirname(directory)) rmdirSync(directory);
  } catch {
    // Somebody has put something there: it stays, and so does all above it.
  }
}
