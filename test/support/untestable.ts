import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import type { TestContext } from "node:test";

/** What this machine cannot do for a test: the test is skipped, and says so; where everything must be tested it fails. */
export function untestable(t: TestContext, why: string): false {
  const text = `NOT TESTED: ${why}`;
  if (process.env["CI"] === "true") assert.fail(text);
  t.skip(text);
  return false;
}

/** Whether system calls can be made to fail here; a test for which they cannot returns at once. */
export function canTrace(t: TestContext): boolean {
  if (spawnSync("strace", ["-e", "trace=none", "true"]).status === 0) return true;
  return untestable(t, "failing system calls need strace and the right to trace processes on this machine");
}
