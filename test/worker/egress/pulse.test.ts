/** Since when a session has been where it is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Pulse } from "../../../src/worker/egress/pulse.js";

const line = {};

test("progress in a phase is no new phase; a new line, phase or transaction is", () => {
  const pulse = new Pulse(line, "planning", 100);
  const since = (): number[] => [pulse.phaseSinceMs, pulse.movedMs];
  pulse.look(line, "planning", 0, 0, true, 200);
  assert.deepEqual(since(), [100, 100]);
  pulse.look(line, "dataDot", 0, 0, true, 300);
  assert.deepEqual(since(), [300, 300]);
  pulse.look(line, "dataDot", 5, 0, true, 400);
  assert.deepEqual(since(), [300, 400]);
  pulse.look(line, "dataDot", 5, 1, true, 500);
  assert.deepEqual(since(), [500, 500], "left and entered again between two looks");
  pulse.look({}, "dataDot", 5, 1, true, 600);
  assert.deepEqual(since(), [600, 600]);
});

test("standing still counts with a message in hand only; idling is not stuck, but seen", () => {
  const pulse = new Pulse(line, "ready", 0);
  assert.equal(pulse.look(line, "ready", 0, 0, false, 5000), 0);
  assert.equal(pulse.movedMs, 0);
  assert.equal(pulse.look(line, "ready", 0, 0, true, 6000), 1000);
  assert.equal(pulse.look(line, "ready", 1, 0, true, 7000), 0);
  assert.equal(pulse.look(line, "ready", 1, 0, true, 9000), 2000);
});
