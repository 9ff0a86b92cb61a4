// Makes the checkout ready to run: packages from the lock file, the addon, the compiled TypeScript. Each step is skipped
// when nothing changed since it last ran.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { COMPILED, removeStale } from "./remove-stale.mjs";

export const root = dirname(dirname(fileURLToPath(import.meta.url)));

/** Runs a command in the project's folder with its output shown; ends the process when it fails. */
export function must(command, args, options = {}) {
  const done = spawnSync(command, args, { cwd: root, stdio: ["ignore", "inherit", "inherit"], ...options });
  if (done.status !== 0) {
    process.stderr.write(`setup: ${command} ${args.join(" ")} failed\n`);
    process.exit(done.status ?? 1);
  }
}

function newest(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  return Math.max(stat.mtimeMs, ...readdirSync(path).map((name) => newest(join(path, name))));
}

function mtime(path) {
  return existsSync(path) ? statSync(path).mtimeMs : 0;
}

/** The `npm` that runs us, or the one on the path. */
function npm(args) {
  const cli = process.env.npm_execpath;
  if (cli?.endsWith(".js")) must(process.execPath, [cli, ...args]);
  else must("npm", args);
}

export function installPackages() {
  if (mtime(join(root, "node_modules", ".package-lock.json")) >= mtime(join(root, "package-lock.json"))) return;
  process.stdout.write("setup: installing packages from the lock file\n");
  npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
}

export function buildAddon(args = []) {
  must(process.execPath, [join(root, "scripts", "build-addon.mjs"), ...args]);
}

export function compile() {
  const stamp = join(root, "dist", ".compiled");
  const sources = [...COMPILED, "tsconfig.json", "package-lock.json"].map((name) => newest(join(root, name)));
  if (mtime(stamp) > Math.max(...sources)) return;
  process.stdout.write("setup: compiling TypeScript\n");
  must(process.execPath, [join(root, "node_modules", "typescript", "bin", "tsc"), "-p", root]);
  removeStale(root);
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, "");
}

export function setup() {
  installPackages();
  buildAddon();
  compile();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) setup();
