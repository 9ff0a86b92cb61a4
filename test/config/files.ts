import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { ConfigFault, type LoadedConfig, loadConfig } from "../../src/config/load.js";
import { formatProblems } from "../../src/config/problems.js";

/** Runs `use` in a directory that holds these files and is gone afterwards. */
export function withFiles<T>(files: Readonly<Record<string, string | Buffer>>, use: (directory: string) => T): T {
  const directory = mkdtempSync(join(tmpdir(), "hikyaku-config-"));
  try {
    for (const [name, content] of Object.entries(files)) {
      mkdirSync(dirname(join(directory, name)), { recursive: true });
      writeFileSync(join(directory, name), content);
    }
    return use(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Loads a good `hikyaku.toml`, with the other files beside it. */
export function load(
  toml: string,
  others: Readonly<Record<string, string>> = {},
  env: NodeJS.ProcessEnv = {},
): LoadedConfig {
  return withFiles({ "hikyaku.toml": toml, ...others }, (directory) =>
    loadConfig(join(directory, "hikyaku.toml"), env),
  );
}

/** The printed errors of a wrong `hikyaku.toml`, one a line, without the directory. */
export function errorsOf(
  toml: string | Buffer,
  others: Readonly<Record<string, string | Buffer>> = {},
  env: NodeJS.ProcessEnv = {},
): string[] {
  return withFiles({ "hikyaku.toml": toml, ...others }, (directory) => {
    try {
      loadConfig(join(directory, "hikyaku.toml"), env);
    } catch (error) {
      assert.ok(error instanceof ConfigFault);
      assert.equal(error.code, "config.invalid");
      return error.message.replaceAll(`${directory}/`, "").split("\n");
    }
    return assert.fail("the file was taken for good");
  });
}

/** The printed warnings of a good `hikyaku.toml`, one a line, without the directory. */
export function warningsOf(toml: string, others: Readonly<Record<string, string>> = {}): string[] {
  return withFiles({ "hikyaku.toml": toml, ...others }, (directory) => {
    const text = formatProblems(loadConfig(join(directory, "hikyaku.toml"), {}).warnings);
    return text === "" ? [] : text.replaceAll(`${directory}/`, "").split("\n");
  });
}
