import assert from "node:assert/strict";
import { test } from "node:test";
import { WriteWait } from "../../../src/worker/egress/write-wait.js";

test("a peer that takes a little now and then is waited for; one that takes nothing only so long", () => {
  const wait = new WriteWait();
  for (let ms = 0; ms < 600_000; ms += 59_000) {
    assert.equal(wait.exceeded(1_000_000 - ms, ms, 300_000), null);
    assert.equal(wait.exceeded(1_000_000 - ms, ms + 58_999, 300_000), null);
  }
  assert.equal(wait.exceeded(0, 700_000, 300_000), null);
  assert.equal(wait.exceeded(5, 900_000, 300_000), null, "the wait begins when there is something to send");
  assert.equal(wait.exceeded(5, 959_999, 300_000), null);
  assert.equal(wait.exceeded(5, 960_000, 300_000), 60_000);
  assert.equal(wait.exceeded(5, 905_000, 5_000), 5_000, "a shorter command time wins");
});
