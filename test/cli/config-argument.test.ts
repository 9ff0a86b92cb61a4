import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeDir, removeDir } from "../support/server.js";
import { launch, run } from "./command.js";

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

test("a configuration without a listener for mail is good, with a warning", async (t) => {
  const dir = makeDir();
  t.after(() => removeDir(dir));
  const path = join(dir, "empty.toml");
  writeFileSync(path, "");
  const warning = "there is no [[smtp_listener]]: a server with this configuration takes no mail";
  const checked = await run("check", "--config", path);
  assert.deepEqual(checked, { code: 0, out: `${path}: good\n`, err: `${path}: warning: ${warning}\n` });
  const asJson = await run("check", "--config", path, "--json");
  assert.deepEqual([asJson.code, JSON.parse(asJson.out).problems[0].message], [0, warning]);
  writeFileSync(path, '[[smtp_listener]]\nlisten = "127.0.0.1:2025"\n');
  assert.deepEqual(await run("check", "--config", path), { code: 0, out: `${path}: good\n`, err: "" });
});

test("wrong usage names the command's help instead of printing it; a reader who has seen enough is no error", async () => {
  const wrong = await run("stop", "--nope");
  assert.deepEqual(wrong, { code: 2, out: "", err: "error: unknown option '--nope'\n(see hikyaku stop --help)\n" });
  assert.match((await run("--nope")).err, /^error: unknown option '--nope'\n\(see hikyaku --help\)\n$/);
  assert.match((await run("nope")).err, /^error: unknown command 'nope'\n\(see hikyaku --help\)\n$/);
  const unread = launch("bench", "--help");
  unread.child.stdout?.destroy();
  const { code, err } = await unread.finished;
  assert.deepEqual([code, err], [0, ""]);
});

test("tail of a type that does not exist is wrong usage", async () => {
  const tail = await run("tail", "--no-follow", "--dir", "/nowhere", "--type", "Delivery", "Foo");
  assert.equal(tail.code, 2);
  assert.equal(tail.out, "");
  assert.match(tail.err, /'Foo' is invalid\. No such type of record, nearest is \w+\. Known: Reception, Delivery, /);
});
