#!/usr/bin/env node
/**
 * Builds the addon into build/Release with the node-gyp that npm brings, unless a build is there that is newer than its
 * sources and made for this Node. Without a compiler the program still runs, on the pure-Node stand-in; so a failure
 * ends with 0, and with 1 only after `--required`.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, statSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { delimiter, dirname, join } from "node:path";

const root = dirname(import.meta.dirname);
const built = join(root, "build", "Release", "hikyaku.node");
const stamp = join(root, "build", "Release", "hikyaku.stamp");
const identity = `${process.platform} ${process.arch} ${process.versions.modules}`;

/** The newest change of anything that the addon is made from, milliseconds since 1970. */
function newestSource() {
  const files = readdirSync(join(root, "native")).map((name) => join(root, "native", name));
  return Math.max(...[...files, join(root, "binding.gyp")].map((file) => statSync(file).mtimeMs));
}

function isFresh() {
  if (!existsSync(built) || !existsSync(stamp)) return false;
  return readFileSync(stamp, "utf8") === identity && statSync(built).mtimeMs >= newestSource();
}

/** Directories in which an npm may be installed, likeliest first. */
function* npmDirectories() {
  if (process.env.npm_execpath) yield dirname(dirname(realpathSync(process.env.npm_execpath)));
  yield join(dirname(dirname(process.execPath)), "lib", "node_modules", "npm");
  for (const directory of (process.env.PATH ?? "").split(delimiter)) {
    const npm = join(directory, "npm");
    if (directory !== "" && existsSync(npm)) yield dirname(dirname(realpathSync(npm)));
  }
}

function findNodeGyp() {
  for (const directory of npmDirectories()) {
    try {
      return createRequire(join(directory, "package.json")).resolve("node-gyp/bin/node-gyp.js");
    } catch {
      // not an npm that brings node-gyp; try the next
    }
  }
  return null;
}

/** Builds; returns why it could not, or null. */
function build() {
  if (process.platform !== "linux") return `it needs Linux (epoll), this is ${process.platform}`;
  const nodeGyp = findNodeGyp();
  if (nodeGyp === null) return "no npm with node-gyp was found";
  // Headers that came with Node itself; without them node-gyp downloads some.
  const prefix = dirname(dirname(process.execPath));
  const headers = existsSync(join(prefix, "include", "node", "common.gypi")) ? [`--nodedir=${prefix}`] : [];
  const result = spawnSync(process.execPath, [nodeGyp, "rebuild", "--silent", ...headers], {
    cwd: root,
    encoding: "utf8",
    // npm hands its settings down in variables that this node-gyp may not know.
    env: { ...process.env, npm_config_loglevel: "error" },
  });
  if (result.error) return result.error.message;
  if (result.status !== 0 || !existsSync(built)) {
    const lines = `${result.stdout}\n${result.stderr}`.split("\n");
    const telling = lines.find((line) => /not found|error: |Error \d/.test(line));
    return telling?.trim() ?? `node-gyp ended with ${result.status ?? result.signal}`;
  }
  if (result.stderr.includes("warning:")) process.stderr.write(result.stderr);
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, identity);
  return null;
}

if (!isFresh()) {
  const trouble = build();
  if (trouble === null) {
    console.log("addon: built");
  } else {
    console.error(`addon: not built (${trouble}); the pure-Node stand-in will be used`);
    if (process.argv.includes("--required")) process.exitCode = 1;
  }
}
