/**
 * What the addon's own disk thread gains: how long a group of syncs takes while libuv's pool is busy with other work
 * (look-ups, compression, hashing), as in a server it always may be.
 *
 *     node dist/bench/micro/native-sync.js [syncs]
 */
import { pbkdf2 } from "node:crypto";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Native } from "../../src/native/binding.js";
import { loadNative } from "../../src/native/load.js";
import { StandIn } from "../../src/native/stand-in.js";

const hash = promisify(pbkdf2);
const syncs = Number(process.argv[2] ?? 100);
const directory = mkdtempSync(join(tmpdir(), "hikyaku-"));

/** Keeps the pool's four threads busy until told to stop; that resolves when they are idle again. */
function busyPool(): () => Promise<unknown> {
  let isStopped = false;
  const lanes = Array.from({ length: 8 }, async () => {
    while (!isStopped) await hash("", "", 10_000, 64, "sha512");
  });
  return () => {
    isStopped = true;
    return Promise.all(lanes);
  };
}

async function measure(native: Native): Promise<void> {
  const fd = openSync(join(directory, native.kind), "w");
  const medians: string[] = [];
  for (const isBusy of [false, true]) {
    const stop = isBusy ? busyPool() : async () => {};
    const times: number[] = [];
    for (let i = 0; i < syncs; i++) {
      writeSync(fd, "record\n");
      const startMs = performance.now();
      await Promise.all([native.sync(fd), native.sync(fd)]);
      times.push(performance.now() - startMs);
    }
    await stop();
    times.sort((a, b) => a - b);
    medians.push(`${(times[syncs >> 1] ?? 0).toFixed(2)} ms`);
  }
  closeSync(fd);
  console.log(`${native.kind.padEnd(9)} two groups of syncs, median: pool idle ${medians[0]}, pool busy ${medians[1]}`);
}

const addon = loadNative();
if (addon.kind === "addon") await measure(addon);
await measure(new StandIn());
rmSync(directory, { recursive: true });
