import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { projectRoot } from "../support/root.js";
import { makeDir, removeDir } from "../support/server.js";

test("what was compiled of a source that is gone goes too, and nothing else", (t) => {
  const dir = makeDir();
  t.after(() => removeDir(dir));
  const files = [
    "src/a.ts",
    "test/deep/b.test.ts",
    "dist/.compiled",
    "dist/src/a.js",
    "dist/src/a.js.map",
    "dist/src/data.json",
    "dist/src/gone.js",
    "dist/src/gone.js.map",
    "dist/test/deep/b.test.js",
    "dist/test/deep/gone.test.js",
    "dist/test/empty/gone.test.js",
    "dist/elsewhere/c.js",
  ];
  for (const name of files) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), "");
  }
  const done = spawnSync(process.execPath, [join(projectRoot, "scripts", "remove-stale.mjs"), dir]);
  assert.equal(done.status, 0, String(done.stderr));
  const left = readdirSync(join(dir, "dist"), { recursive: true }).map(String);
  assert.deepEqual(left.filter((name) => /\.|empty/.test(name)).sort(), [
    ".compiled",
    "elsewhere/c.js",
    "src/a.js",
    "src/a.js.map",
    "src/data.json",
    "test/deep/b.test.js",
  ]);
});
