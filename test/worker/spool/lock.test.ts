import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { AddonNative } from "../../../src/native/addon.js";
import { addonPath, loadAddon } from "../../../src/native/addon-module.js";
import { loadNative } from "../../../src/native/load.js";
import { StandIn } from "../../../src/native/stand-in.js";
import { lockSpool, spoolOwner } from "../../../src/worker/spool/lock.js";
import { scratch } from "./helpers.js";

const native = loadNative();
const sides = native.kind === "addon" ? [native, new StandIn()] : [native];

for (const side of sides) {
  test(`${side.kind}: a spool in use names the process that uses it`, (t) => {
    const path = join(scratch(t), "spool");
    const release = lockSpool(side, path);
    assert.equal(statSync(path).mode & 0o777, 0o700);
    assert.equal(spoolOwner(path), process.pid);
    const locked = {
      code: "spool.locked",
      message: `the spool ${path} is used by another running server, process ${process.pid}`,
    };
    assert.throws(() => lockSpool(side, path), locked);
    release();
    assert.equal(spoolOwner(path), null);
    lockSpool(side, path)();
  });

  test(`${side.kind}: directories that were made in vain go again, and only those`, (t) => {
    const root = scratch(t);
    const path = join(root, "var", "spool");
    lockSpool(side, path)();
    assert.deepEqual(readdirSync(root), []);

    const release = lockSpool(side, path);
    writeFileSync(join(root, "var", "node-id"), "x");
    release();
    assert.deepEqual(readdirSync(join(root, "var")), ["node-id"], "what holds something stays");

    const used = lockSpool(side, path);
    mkdirSync(join(path, "shard-000"));
    used();
    assert.ok(existsSync(join(path, "shard-000")));
    const again = lockSpool(side, path);
    again();
    assert.ok(existsSync(join(path, "shard-000")));

    const empty = join(root, "empty");
    mkdirSync(empty);
    lockSpool(side, empty)();
    assert.ok(existsSync(empty), "what was there before stays, also empty");
  });
}

test("a text that names nobody who lives is not believed, though the lock is held", {
  skip: native.kind !== "addon",
}, (t) => {
  const path = join(scratch(t), "spool");
  const release = lockSpool(native, path);
  writeFileSync(join(path, "lock"), `${process.pid} 1\n`);
  assert.throws(() => lockSpool(native, path), { message: `the spool ${path} is used by another running server` });
  release();
});

test("a lock's file that goes between being opened and being locked is no lock", {
  skip: native.kind !== "addon",
}, (t) => {
  const path = join(scratch(t), "lock");
  const addon = loadAddon(addonPath());
  const lockedTooLate = (file: string): number => {
    const fd = addon.lock(file);
    rmSync(file);
    return fd;
  };
  const late = new AddonNative({ ...addon, onDisk: () => {}, lock: lockedTooLate });
  assert.equal(late.lockFile(path), null);
  assert.equal(existsSync(path), false);
});
