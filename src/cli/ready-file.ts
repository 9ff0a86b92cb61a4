import { renameSync, writeFileSync } from "node:fs";

/** Writes the ready file, pid included, in one step, so that whoever waits for it never reads half of it. */
export function writeReadyFile(path: string, facts: Readonly<Record<string, unknown>>): void {
  const partial = `${path}.${process.pid}`;
  writeFileSync(partial, `${JSON.stringify({ pid: process.pid, ...facts })}\n`);
  renameSync(partial, path);
}
