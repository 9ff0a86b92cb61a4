/** Threads have names of their own, by which `hikyaku bench`, `top -H` and `perf` tell them apart. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { loadConfig } from "../../src/config/load.js";
import { loadNative } from "../../src/native/load.js";
import { Server } from "../../src/server.js";
import { makeDir, removeDir, until, writeConfig } from "../support/server.js";

test("scheduler, workers, sink and disk threads are told apart by name", async (t) => {
  if (loadNative().kind !== "addon") return t.skip("names are given through the native addon");
  const dir = makeDir();
  const name = (): string => readFileSync("/proc/thread-self/comm", "latin1").trim();
  const own = name();
  const { config } = loadConfig(writeConfig(dir, {}));
  const threads = { ...config.threads, workers: 2 };
  const server = await Server.start(
    { ...config, threads, delivery: { ...config.delivery, mode: "sandbox" } },
    {
      notice: () => {},
      panic: (error) => {
        throw error;
      },
    },
  );
  try {
    assert.equal(name(), "hk-scheduler");
    const names = (): string[] =>
      readdirSync("/proc/self/task").map((id) => readFileSync(`/proc/self/task/${id}/comm`, "latin1").trim());
    // The workers' disk threads begin with their first commit.
    await until(() => names().includes("hk-disk"), "a disk thread");
    const all = names();
    for (const once of ["hk-scheduler", "hk-worker-0", "hk-worker-1", "hk-sink"]) {
      assert.ok(all.includes(once), `${once} is not among ${all.join(", ")}`);
    }
  } finally {
    await server.stop();
    loadNative().nameThread(own);
    removeDir(dir);
  }
});
