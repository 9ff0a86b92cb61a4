/** Directories are made as Node's recursive mkdir makes them, but where there can be none that is an error and no loop. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { makeDirectories } from "../../src/base/make-directories.js";

test("what is missing is made, the topmost is told, the mode is the last one's", (t) => {
  const dir = mkdtempSync(join(tmpdir(), "hikyaku-directories-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  assert.equal(makeDirectories(join(dir, "a", "b", "c"), 0o700), join(dir, "a"));
  const mode = (...names: string[]): number => statSync(join(dir, ...names)).mode & 0o777;
  assert.equal(mode("a", "b", "c"), 0o700);
  assert.equal(mode("a", "b"), 0o777 & ~process.umask());
  assert.equal(makeDirectories(join(dir, "a", "b", "c")), undefined);
  assert.equal(makeDirectories(join(dir, "a", "b", "d")), join(dir, "a", "b", "d"));
  symlinkSync(join(dir, "a"), join(dir, "link"));
  assert.equal(makeDirectories(join(dir, "link", "e")), join(dir, "link", "e"));
  assert.ok(existsSync(join(dir, "a", "e")));
});

test("a file in the way, and a file system that takes none, are errors", (t) => {
  const dir = mkdtempSync(join(tmpdir(), "hikyaku-directories-"));
  t.after(() => rmSync(dir, { recursive: true, force: true }));
  mkdirSync(join(dir, "a"));
  writeFileSync(join(dir, "a", "file"), "");
  assert.throws(() => makeDirectories(join(dir, "a", "file")), { code: "EEXIST" });
  assert.throws(() => makeDirectories(join(dir, "a", "file", "b", "c")), { code: /^(EEXIST|ENOTDIR)$/ });
  if (!existsSync("/proc/self")) return t.skip("there is no /proc here");
  for (const path of ["/proc/hikyaku", "/proc/hikyaku/var/spool"]) {
    assert.throws(() => makeDirectories(path), {
      code: "ENOENT",
      message: "ENOENT: no directory can be made in /proc",
    });
  }
});
