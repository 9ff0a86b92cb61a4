import assert from "node:assert/strict";
import { test } from "node:test";
import { ChunkMemory } from "../../../src/worker/egress/chunk-memory.js";

const HOURS = 3_600_000;

test("a peer that does not know BDAT gets none for six hours", () => {
  const memory = new ChunkMemory();
  assert.ok(memory.allows("a 25", 0));
  memory.refused("a 25", 1000);
  assert.ok(!memory.allows("a 25", 1000 + 6 * HOURS - 1));
  assert.ok(memory.allows("b 25", 1000));
  assert.ok(memory.allows("a 25", 1000 + 6 * HOURS));
});

test("a session that is lost over the first BDAT counts against it, over a later one it does not", () => {
  const memory = new ChunkMemory();
  memory.lost("a 25", 0);
  assert.ok(!memory.allows("a 25", 1));
  memory.worked("b 25");
  memory.lost("b 25", 0);
  assert.ok(memory.allows("b 25", 1));
  memory.refused("b 25", 0);
  assert.ok(!memory.allows("b 25", 1), "its own word counts always");
});

test("it holds 4096 peers; the oldest note goes first", () => {
  const memory = new ChunkMemory();
  for (let i = 0; i <= 4096; i++) memory.refused(`peer ${i}`, 0);
  assert.equal(memory.size, 4096);
  assert.ok(memory.allows("peer 0", 1));
  assert.ok(!memory.allows("peer 1", 1));
});
