/** The wall clock is set forward and back under a running server and before a restart. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { clockRefusal, clockSteps } from "../torture/clock.js";

test("steps of the clock by weeks: nothing expires, retries keep their time, ids keep their order, also over restarts", async (t) => {
  const refusal = clockRefusal();
  if (refusal !== null) {
    const why = `NOT TESTED: steps of the clock: ${refusal}`;
    if (process.env["CI"] === "true") assert.fail(why);
    t.diagnostic(why);
    return;
  }
  t.diagnostic(await clockSteps(11));
});
