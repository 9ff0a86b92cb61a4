// Removes from `dist` what the compiler made of sources that are gone; otherwise a deleted test goes on being run.
// `node scripts/remove-stale.mjs FOLDER` does it for the project in FOLDER.
import { existsSync, readdirSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The folders whose TypeScript is compiled. */
export const COMPILED = ["src", "test", "bench"];
const MADE = /\.js(?:\.map)?$/;

function removeIn(dist, source) {
  if (!existsSync(dist)) return;
  for (const entry of readdirSync(dist, { withFileTypes: true })) {
    const made = join(dist, entry.name);
    if (entry.isDirectory()) removeIn(made, join(source, entry.name));
    else if (MADE.test(entry.name) && !existsSync(join(source, entry.name.replace(MADE, ".ts")))) rmSync(made);
  }
  if (readdirSync(dist).length === 0) rmdirSync(dist);
}

export function removeStale(root) {
  for (const folder of COMPILED) removeIn(join(root, "dist", folder), join(root, folder));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) removeStale(process.argv[2] ?? ".");
