import assert from "node:assert/strict";
import { execFile, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";
import { loadNative } from "../../src/native/load.js";
import { projectRoot } from "../support/root.js";

/**
 * Runs the addon's tests again with every memory access of the addon checked. Leaks are not looked for: Node itself
 * leaves memory to the system when it ends, so every run would report some; descriptors are counted by threads.test.ts.
 */
const FLAGS = [
  "-fsanitize=address,undefined",
  "-fno-sanitize-recover=undefined",
  "-fno-omit-frame-pointer",
  "-g",
  "-O1",
];
const run = promisify(execFile);

/** Where Node's headers are: with Node itself, or where node-gyp puts them. */
function headers(): string | null {
  const cached = join(homedir(), ".cache", "node-gyp", process.versions.node, "include", "node");
  const own = join(dirname(dirname(process.execPath)), "include", "node");
  return [own, cached].find((path) => existsSync(join(path, "node_api.h"))) ?? null;
}

/** The path of a library that g++ would link, or null. */
function library(name: string): string | null {
  const answer = spawnSync("g++", [`-print-file-name=${name}`], { encoding: "utf8" });
  const path = answer.stdout?.trim() ?? "";
  return path.includes("/") && existsSync(path) ? path : null;
}

async function compile(directory: string, include: string): Promise<string> {
  const sources = readdirSync(join(projectRoot, "native")).filter((name) => name.endsWith(".cc"));
  const defines = ["-DNAPI_VERSION=8", "-D_GNU_SOURCE", "-DNODE_GYP_MODULE_NAME=hikyaku"];
  const common = ["-std=c++17", "-fPIC", "-fvisibility=hidden", `-I${include}`, ...defines, ...FLAGS];
  const object = (source: string): string => join(directory, `${source}.o`);
  await Promise.all(
    sources.map((source) => run("g++", [...common, "-c", join(projectRoot, "native", source), "-o", object(source)])),
  );
  const path = join(directory, "hikyaku.node");
  await run("g++", ["-shared", ...FLAGS, ...sources.map(object), "-o", path]);
  return path;
}

test("the addon's tests under the address and undefined-behaviour sanitizers", async (context) => {
  const include = headers();
  const libraries = [library("libasan.so"), library("libubsan.so")];
  if (loadNative().kind !== "addon" || include === null || libraries.includes(null)) {
    return context.skip("needs the addon, g++ with its sanitizers, and Node's headers");
  }
  const directory = mkdtempSync(join(tmpdir(), "hikyaku-"));
  context.after(() => rmSync(directory, { recursive: true }));
  const path = await compile(directory, include);
  const env = {
    ...process.env,
    HIKYAKU_ADDON: path,
    LD_PRELOAD: libraries.join(" "),
    ASAN_OPTIONS: "detect_leaks=0:abort_on_error=0:exitcode=99",
    UBSAN_OPTIONS: "print_stacktrace=1",
    // A child of a test run reports in the runner's own language otherwise.
    NODE_TEST_CONTEXT: "",
  };
  for (const file of ["addon.test.js", "threads.test.js", "../smtp/dot-decoder.test.js"]) {
    const { stdout, stderr } = await run(process.execPath, ["--test-reporter=tap", join(import.meta.dirname, file)], {
      env,
    }).catch((error: { stdout: string; stderr: string }) => error);
    assert.doesNotMatch(stderr, /Sanitizer|runtime error/, stderr.slice(0, 4000));
    assert.match(stdout, /^# fail 0$/m, `${stdout.slice(-4000)}\n${stderr.slice(0, 2000)}`);
    assert.doesNotMatch(stdout, /^# pass 0$/m);
    assert.doesNotMatch(stdout, /# skipped [1-9]/);
  }
});
