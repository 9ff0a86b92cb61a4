import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { untestable } from "../../support/untestable.js";
import { scratch } from "./helpers.js";

test("a full disk refuses mail, keeps what is there readable, and recovers by deliveries", async (t) => {
  const path = scratch(t);
  if (spawnSync("unshare", ["-m", "mount", "-t", "tmpfs", "-o", "size=4m", "none", path]).status !== 0) {
    untestable(t, "a full disk needs the right to mount a small file system on this machine");
    return;
  }
  const child = fileURLToPath(new URL("./full-disk-child.js", import.meta.url));
  const script = 'mount -t tmpfs -o size=4m none "$0" && exec "$1" "$2" "$0"';
  const args = ["-m", "sh", "-c", script, path, process.execPath, child];
  const run = spawn("unshare", args, { stdio: ["ignore", "pipe", "ignore"] });
  t.after(() => run.kill("SIGKILL"));
  let printed = "";
  run.stdout.setEncoding("utf8").on("data", (text: string) => {
    printed += text;
  });
  await once(run, "close");
  const last = printed.trim().split("\n").at(-1) ?? "";
  assert.deepEqual(JSON.parse(last), {
    filled: true,
    errno: "ENOSPC",
    readable: true,
    removed: true,
    count: 1,
    again: "message",
    unhandled: [],
  });
});
