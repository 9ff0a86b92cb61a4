import { renameSync, rmSync, writeFileSync } from "node:fs";
import { causeOf, errnoOf, Fault } from "../base/fault.js";

/**
 * Writes the ready file, pid included, in one step, so that whoever waits for it never reads half of it.
 * @throws {Fault} `file.unwritable`; nothing is left behind then.
 */
export function writeReadyFile(path: string, facts: Readonly<Record<string, unknown>>): void {
  const partial = `${path}.${process.pid}`;
  try {
    writeFileSync(partial, `${JSON.stringify({ pid: process.pid, ...facts })}\n`);
    try {
      renameSync(partial, path);
    } catch (error) {
      rmSync(partial, { force: true });
      throw error;
    }
  } catch (error) {
    throw new Fault("file.unwritable", `the ready file ${path} cannot be written: ${causeOf(error)}`, {
      errno: errnoOf(error),
      cause: error,
    });
  }
}
