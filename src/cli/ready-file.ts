import { renameSync, writeFileSync } from "node:fs";
import type { ListenAddress } from "../config/compiled.js";

/** Writes the ready file in one step, so that whoever waits for it never reads half of it. */
export function writeReadyFile(
  path: string,
  listens: { readonly smtp: readonly ListenAddress[]; readonly http: readonly ListenAddress[] },
): void {
  const partial = `${path}.${process.pid}`;
  writeFileSync(partial, `${JSON.stringify({ pid: process.pid, ...listens })}\n`);
  renameSync(partial, path);
}
