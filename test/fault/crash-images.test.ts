/** Files that a crash of the machine may leave, built from the recorded writes of a run. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { crashImages, traceRefusal } from "../torture/crash-images.js";

test("whatever part of its writes the disk has: the shard opens, and everything promised is there, whole", async (t) => {
  const refusal = traceRefusal();
  if (refusal !== null) {
    const why = `NOT TESTED: crash images: ${refusal}`;
    if (process.env["CI"] === "true") assert.fail(why);
    t.diagnostic(why);
    return;
  }
  t.diagnostic(await crashImages(31, 150));
});
