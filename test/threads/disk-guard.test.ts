/** When a disk counts as full, and when no more. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { FreeLimit } from "../../src/config/compiled.js";
import { loadConfig } from "../../src/config/load.js";
import { StandIn } from "../../src/native/stand-in.js";
import { DiskGuard } from "../../src/threads/disk-guard.js";
import { makeDir, removeDir, writeConfig } from "../support/server.js";

const MIB = 1_048_576;

function guard(t: TestContext, minFreeSpace: FreeLimit, minFreeInodes: FreeLimit) {
  const dir = makeDir();
  const { config } = loadConfig(writeConfig(dir, {}));
  removeDir(dir);
  const native = new StandIn();
  const space = { freeBytes: 1000 * MIB, totalBytes: 1000 * MIB, freeInodes: 1000, totalInodes: 1000 };
  t.mock.method(native, "freeSpace", () => Promise.resolve({ ...space }));
  const told: string[] = [];
  const limits = { ...config.spool, minFreeSpace, minFreeInodes };
  const guarded = new DiskGuard(native, limits, ["/spool"], (low) => told.push(low ?? "enough"));
  t.after(() => guarded.stop());
  return { guarded, space, told };
}

for (const [limit, written] of [
  [{ count: 100 * MIB }, "bytes"],
  [{ fraction: 0.1 }, "a share"],
] as const) {
  test(`low below the limit, written as ${written}; over a twentieth above it, not at the edge`, async (t) => {
    const { guarded, space, told } = guard(t, limit, { count: 0 });
    for (const mib of [100, 99, 100, 104, 99, 105, 104, 100, 99]) {
      space.freeBytes = mib * MIB;
      await guarded.look();
      told.push(`@${mib}`);
    }
    const low = "/spool has 99 MiB free, less than min_free_space";
    assert.equal(told.join(" "), `@100 ${low} @99 @100 @104 @99 enough @105 @104 @100 ${low} @99`);
  });
}

test("the same of inodes, but not where a file system has no number of them", async (t) => {
  const { guarded, space, told } = guard(t, { count: 0 }, { count: 100 });
  for (const inodes of [99, 104, 105]) {
    space.freeInodes = inodes;
    await guarded.look();
    told.push(`@${inodes}`);
  }
  assert.equal(told.join(" "), "/spool has 99 inodes free, fewer than min_free_inodes @99 @104 enough @105");
  space.freeInodes = space.totalInodes = 0;
  await guarded.look();
  assert.equal(told.length, 5);
});
