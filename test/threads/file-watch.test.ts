/** Every way of putting a file in place is a change; nothing else is. */
import assert from "node:assert/strict";
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { FileWatch } from "../../src/threads/file-watch.js";
import { makeDir, removeDir, until } from "../support/server.js";

test("written, renamed over, swapped behind a link, gone, back: each is one change", async () => {
  const dir = makeDir();
  const [plain, link] = [join(dir, "plain"), join(dir, "link")];
  writeFileSync(plain, "1");
  for (const version of ["v1", "v2"]) {
    mkdirSync(join(dir, version));
    writeFileSync(join(dir, version, "file"), version);
  }
  symlinkSync("v1/file", link);
  let changes = 0;
  const readMs = Date.now() + 1000;
  const watch = new FileWatch([plain, link], readMs, () => void changes++);
  const seen = async (what: string): Promise<void> => {
    const before = changes;
    await until(() => changes > before, what);
    assert.equal(changes, before + 1, what);
  };
  try {
    await watch.follow([plain, link], readMs);
    const written = seen("a file that is written");
    writeFileSync(plain, "22");
    await written;
    const renamed = seen("a file that is renamed over it");
    writeFileSync(`${plain}~`, "22");
    renameSync(`${plain}~`, plain);
    await renamed;
    const swapped = seen("a link that is swapped");
    symlinkSync("v2/file", `${link}~`);
    renameSync(`${link}~`, link);
    await swapped;
    const gone = seen("a file that is gone");
    rmSync(plain);
    await gone;
    const back = seen("a file that is back");
    writeFileSync(plain, "4");
    await back;
  } finally {
    watch.stop();
    removeDir(dir);
  }
});

test("what was written after it was read, and before the watch began, is a change", async () => {
  const dir = makeDir();
  const file = join(dir, "file");
  writeFileSync(file, "1");
  let changes = 0;
  const watch = new FileWatch([file], Date.now() - 60_000, () => void changes++);
  await until(() => changes > 0, "the change");
  watch.stop();
  removeDir(dir);
});
