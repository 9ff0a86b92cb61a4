/** Failures on order: what the file says is what fails, from the moment it says so until it no longer does. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { faultComplaints, faultOrder, faultsFile, orderedError, parseFaultOrders } from "../../src/base/failpoints.js";

test("lines are orders; others order nothing", () => {
  assert.deepEqual(parseFaultOrders("# no\n\nspool.commit error ENOSPC\nnonsense\n egress.send throw a b@c \n"), [
    { point: "spool.commit", action: "error", argument: "ENOSPC" },
    { point: "egress.send", action: "throw", argument: "a b@c" },
  ]);
});

test("a line that orders nothing is told with its number and what was expected; good ones are not", () => {
  const good = [
    "# a comment",
    "",
    "spool.commit error ENOSPC",
    "spool.commit error",
    "spool.commit stray EIO",
    "spool.compact kill renamed",
    "memory.used bytes 9e9",
    "scheduler.turn last 3000",
    "  egress.send throw a b@c ",
    "disk.free low",
  ];
  assert.deepEqual(faultComplaints(good.join("\n"), "faults"), []);
  const bad = [
    ...good,
    "spool.comit error EIO",
    "spool.commit fail",
    "memory.used bytes lots",
    "spool.compact kill rename",
  ];
  assert.deepEqual(
    faultComplaints([...bad, "Disk.Free low", "log.write error eio", "disk.free"].join("\n"), "faults").map((line) =>
      line.replace(/one of spool\.commit, .*/, "one of …"),
    ),
    [
      'faults:11: "spool.comit error EIO" orders nothing: no such place to fail, expected one of …',
      'faults:12: "spool.commit fail" orders nothing: expected spool.commit error ERRNO or spool.commit hang or spool.commit stray',
      'faults:13: "memory.used bytes lots" orders nothing: expected memory.used bytes NUMBER',
      'faults:14: "spool.compact kill rename" orders nothing: expected spool.compact kill begun|copied|held|synced|unlocked|renamed|adopted or spool.compact error begun|copied|held|synced|unlocked|renamed|adopted',
      'faults:15: "Disk.Free low" orders nothing: no such place to fail, expected one of …',
      'faults:16: "log.write error eio" orders nothing: expected log.write error ERRNO',
      'faults:17: "disk.free" orders nothing: expected disk.free low',
    ],
  );
  assert.equal(faultComplaints("nonsense\n".repeat(1000), "faults").length, 10);
});

test("without the variable nothing fails", () => {
  assert.equal(faultsFile(), null);
  assert.equal(faultOrder("spool.commit"), null);
  assert.equal(orderedError("spool.commit"), null);
});

test("an order is in force while it stands in the file", () => {
  const dir = mkdtempSync(join(tmpdir(), "hikyaku-faults-"));
  const file = join(dir, "orders");
  const module = new URL("../../src/base/failpoints.js", import.meta.url).href;
  const program = `
    import { rmSync, writeFileSync } from "node:fs";
    const { faultOrder, orderedError } = await import(${JSON.stringify(module)});
    const seen = [orderedError("spool.commit")];
    writeFileSync(process.env.HIKYAKU_FAULTS, "spool.commit error ENOSPC\\negress.send throw poison@\\n");
    seen.push(orderedError("spool.commit").code, faultOrder("egress.send", "a@b"), faultOrder("egress.send", "poison@b").action);
    rmSync(process.env.HIKYAKU_FAULTS);
    seen.push(orderedError("spool.commit"));
    console.log(JSON.stringify(seen));`;
  const run = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    encoding: "utf8",
    env: { ...process.env, HIKYAKU_FAULTS: file },
  });
  assert.deepEqual(JSON.parse(run.stdout), [null, "ENOSPC", null, "throw", null], run.stderr);
  rmSync(dir, { recursive: true });
});
