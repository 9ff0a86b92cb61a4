import { mkdirSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { errnoOf } from "./fault.js";

/**
 * Makes a directory and those above it that are missing. Returns the topmost that was made, undefined when all were there.
 *
 * Unlike Node's recursive `mkdir` this comes to an end on a file system that takes no directories but says ENOENT, as /proc
 * does: Node then goes up to make what is above, and down again, for ever.
 * @param mode of the last one; those above get the usual one.
 * @throws a system's error with `code`.
 */
export function makeDirectories(path: string, mode = 0o777): string | undefined {
  const last = resolve(path);
  const missing: string[] = [];
  for (let at = last; !isDirectory(at); at = dirname(at)) missing.push(at);
  let topmost: string | undefined;
  for (const directory of missing.reverse()) {
    if (makeOne(directory, directory === last ? mode : 0o777)) topmost ??= directory;
  }
  return topmost;
}

/** Returns whether it was made: somebody else may have been first. */
function makeOne(directory: string, mode: number): boolean {
  try {
    mkdirSync(directory, { mode });
    return true;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "EEXIST" && isDirectory(directory)) return false;
    if (errno !== "ENOENT" || !isDirectory(dirname(directory))) throw error;
    const above = dirname(directory);
    throw Object.assign(new Error(`ENOENT: no directory can be made in ${above}`, { cause: error }), { code: errno });
  }
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
