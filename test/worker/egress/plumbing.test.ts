/** Whether an address is this machine's. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Plumbing } from "../../../src/worker/egress/plumbing.js";

test("the machine is asked for its addresses once a second at most", () => {
  let addresses = new Set(["192.0.2.1"]);
  const plumbing = new Plumbing(() => addresses);
  assert.equal(plumbing.has("192.0.2.1", 0), true);
  assert.equal(plumbing.has("192.0.2.2", 0), false);
  addresses = new Set(["192.0.2.2"]);
  assert.equal(plumbing.has("192.0.2.2", 999), false, "believed for a second");
  assert.equal(plumbing.has("192.0.2.2", 1000), true);
  assert.equal(plumbing.has("192.0.2.1", 1000), false);
});

test("the loopback address is this machine's", () => {
  assert.equal(new Plumbing().has("127.0.0.1", 0), true);
  assert.equal(new Plumbing().has("192.0.2.1", 0), false);
});
