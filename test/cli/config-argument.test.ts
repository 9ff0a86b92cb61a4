import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeDir, removeDir } from "../support/server.js";
import { run } from "./command.js";

test("a configuration that cannot be read: which file, what is wrong with it, what to do", async () => {
  const dir = makeDir();
  const missing = join(dir, "missing.toml");
  const line = `the configuration ${missing} does not exist: name the file with --config FILE or in HIKYAKU_CONFIG`;
  const checked = await run("check", "--config", missing);
  assert.deepEqual(checked, { code: 1, out: "", err: `${line}\n` });
  const asJson = await run("check", "--config", missing, "--json");
  assert.equal(asJson.code, 1);
  assert.deepEqual(JSON.parse(asJson.out), { file: missing, good: false, unreadable: line, problems: [] });
  assert.deepEqual(await run("start", "--config", missing), { code: 78, out: "", err: `${line}\n` });
  assert.match(
    (await run("check", "--config", dir)).err,
    /^the configuration \S+ is a directory: name the file in it\n$/,
  );
  writeFileSync(missing, "");
  const below = await run("check", "--config", join(missing, "hikyaku.toml"));
  assert.match(below.err, /^the configuration \S+ does not exist: a part of that path is a file, not a directory\n$/);
  removeDir(dir);
});

test("tail of a type that does not exist is wrong usage", async () => {
  const tail = await run("tail", "--no-follow", "--dir", "/nowhere", "--type", "Delivery", "Foo");
  assert.equal(tail.code, 2);
  assert.equal(tail.out, "");
  assert.match(tail.err, /'Foo' is invalid\. No such type of record, nearest is \w+\. Known: Reception, Delivery, /);
});
