/** The wall clock is set forward and back under a running server and before a restart. */
import { test } from "node:test";
import { untestable } from "../support/untestable.js";
import { clockRefusal, clockSteps } from "../torture/clock.js";

test("steps of the clock by weeks: nothing expires, retries keep their time, ids keep their order, also over restarts", async (t) => {
  const refusal = clockRefusal();
  if (refusal !== null) {
    untestable(t, `steps of the clock: ${refusal}`);
    return;
  }
  t.diagnostic(await clockSteps(11));
});
