import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { errnoOf, Fault, messageOf } from "../../base/fault.js";
import type { Native } from "../../native/binding.js";

/**
 * Takes the spool for this process, making its directory when there is none. Returns what gives it back; the lock also
 * dies with the process.
 * @throws {Fault} `spool.locked` when another server uses it, `spool.unwritable` when the directory cannot be used.
 */
export function lockSpool(native: Native, spoolPath: string): () => void {
  try {
    // Mail is nobody else's business.
    mkdirSync(spoolPath, { recursive: true, mode: 0o700 });
  } catch (error) {
    const errno = errnoOf(error);
    throw new Fault("spool.unwritable", `the spool ${spoolPath} cannot be made: ${messageOf(error)}`, { errno });
  }
  const lock = native.lockFile(join(spoolPath, "lock"));
  if (lock === null) throw new Fault("spool.locked", `the spool ${spoolPath} is used by another running server`);
  return () => lock.release();
}
