import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import type { TestContext } from "node:test";

/** Counts the syncs for which this thread stands still, until the test is over. */
export function countBlockingSyncs(t: TestContext): { files: number; directories: number } {
  const seen = { files: 0, directories: 0 };
  const real = fs.fsyncSync;
  fs.fsyncSync = (fd: number): void => {
    if (fs.fstatSync(fd).isDirectory()) seen.directories++;
    else seen.files++;
    real(fd);
  };
  syncBuiltinESMExports();
  t.after(() => {
    fs.fsyncSync = real;
    syncBuiltinESMExports();
  });
  return seen;
}
