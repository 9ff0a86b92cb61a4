/** Leaving from chosen addresses, in a network namespace with many of them: see `binding-world.ts`, which runs inside. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { addonRefusal } from "../../../src/native/load.js";
import { untestable } from "../../support/untestable.js";

const world = new URL("./binding-world.js", import.meta.url).pathname;
const SCENES = ["addresses", "unplumbed", "free-bind", "thousands", "no ports left"];

for (const scene of SCENES) {
  test(`in a namespace of its own: ${scene}`, { timeout: 90_000 }, async (t) => {
    if (spawnSync("unshare", ["--net", "ip", "link", "set", "lo", "up"]).status !== 0) {
      return void untestable(t, "binding needs unshare, ip and the right to make a network namespace on this machine");
    }
    if (scene === "free-bind" && addonRefusal() !== null) {
      return void untestable(t, `an address that nobody has can be bound by the addon only: ${addonRefusal()}`);
    }
    const run = spawn("unshare", ["--net", process.execPath, world, scene], { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    run.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
    run.stderr.on("data", (chunk: Buffer) => (said += chunk.toString()));
    const [code] = (await once(run, "close")) as [number | null];
    assert.equal(code, 0, said);
    assert.match(said, /^done: /m, said);
    t.diagnostic(said.trim());
  });
}
