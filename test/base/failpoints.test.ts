/** Failures on order: what the file says is what fails, from the moment it says so until it no longer does. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { faultOrder, faultsFile, orderedError, parseFaultOrders } from "../../src/base/failpoints.js";

test("lines are orders; others order nothing", () => {
  assert.deepEqual(parseFaultOrders("# no\n\nspool.commit error ENOSPC\nnonsense\n egress.send throw a b@c \n"), [
    { point: "spool.commit", action: "error", argument: "ENOSPC" },
    { point: "egress.send", action: "throw", argument: "a b@c" },
  ]);
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
