import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { projectRoot } from "../support/root.js";

test("what is shipped names only what is shipped: the schema of the configuration, and the sink's profiles, too", () => {
  const manifest = JSON.parse(readFileSync(join(projectRoot, "package.json"), "utf8")) as { readonly files: string[] };
  for (const name of manifest.files) assert.ok(existsSync(join(projectRoot, name)), name);
  const toml = readFileSync(join(projectRoot, "hikyaku.toml"), "utf8");
  const schema = /^#:schema \.\/(\S+)$/m.exec(toml)?.[1] ?? "";
  assert.ok(existsSync(join(projectRoot, schema)), schema);
  assert.ok(manifest.files.includes(dirname(schema)), `${schema} is shipped`);
  // docs/reference/commands.md, `hikyaku sink --profile`.
  assert.ok(manifest.files.includes("profiles"));
});
