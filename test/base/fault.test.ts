import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { causeOf } from "../../src/base/fault.js";

test("the cause of a failed call does not repeat the path", () => {
  assert.throws(
    () => readFileSync("/nowhere/it's here"),
    (error) => causeOf(error) === "ENOENT: no such file or directory",
  );
  assert.equal(causeOf(new Error("wrong, open 'x'")), "wrong, open 'x'", "only a system call's");
});
