import assert from "node:assert/strict";
import { test } from "node:test";
import { Undo } from "../../src/base/undo.js";

test("every step is run, last one first, whatever becomes of the others; the first failure is thrown at the end", async () => {
  const undo = new Undo();
  const ran: string[] = [];
  const step = (name: string, fails: boolean) => (): Promise<void> | undefined => {
    ran.push(name);
    return fails ? Promise.reject(new Error(name)) : undefined;
  };
  undo.push(async () => step("lock", false)());
  undo.push(async () => step("log", true)());
  undo.push(() => {
    ran.push("guard");
    throw new Error("guard");
  });
  undo.push(async () => step("http", false)());
  await assert.rejects(undo.run(), /^Error: guard$/);
  assert.deepEqual(ran, ["http", "guard", "log", "lock"]);
  await undo.run();
  assert.equal(ran.length, 4, "each step is run once");
});
