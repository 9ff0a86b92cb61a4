import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeDir, removeDir, until, writeConfig } from "../support/server.js";
import { launch } from "./command.js";

test("SIGUSR1 opens no debugger on a server or a sink, and both go on", async () => {
  const dir = makeDir();
  const config = writeConfig(dir, {});
  for (const [command, ...args] of [
    ["start", "--config", config],
    ["sink", "--listen", "127.0.0.1:0"],
  ] as const) {
    const ready = join(dir, `${command}.json`);
    const launched = launch(command, ...args, "--ready-file", ready);
    await until(() => existsSync(ready) || launched.child.exitCode !== null, `the ${command}`);
    launched.child.kill("SIGUSR1");
    await until(() => /SIGUSR1|Debugger/.test(launched.err()), "what became of the signal");
    launched.child.kill("SIGTERM");
    const { code, err } = await launched.finished;
    assert.equal(code, 0);
    assert.match(err, /SIGUSR1: ignored/);
    assert.doesNotMatch(err, /Debugger listening/);
  }
  removeDir(dir);
});
