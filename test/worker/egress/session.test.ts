/** One delivery session against connections without a network. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SessionWorld } from "./session-harness.js";

/** Greets the session on a connection and lets it send. */
function serve(world: SessionWorld, n: number): void {
  const connection = world.connection(n);
  connection.handler.onConnect();
  connection.hear("220 mx ESMTP\r\n");
  connection.hear("250 mx\r\n");
}

for (const when of ["before it greets", "after it greeted"] as const) {
  test(`the late close of an address that refused does not touch the next one ${when}`, () => {
    const world = new SessionWorld(2);
    world.session.start();
    world.give();
    world.connection(0).handler.onConnect();
    world.connection(0).hear("554 go away\r\n");
    assert.equal(world.connection(0).closed, "ended");
    const late = (): void => world.connection(0).handler.onClose(null);
    if (when === "before it greets") {
      world.connection(1).handler.onConnect();
      late();
      world.connection(1).hear("220 mx ESMTP\r\n");
      world.connection(1).hear("250 mx\r\n");
    } else {
      serve(world, 1);
      late();
    }
    assert.deepEqual([world.connections.length, world.fates.length], [2, 0]);
    for (const reply of ["250 ok\r\n", "250 ok\r\n", "354 go on\r\n", "250 taken\r\n"]) world.connection(1).hear(reply);
    assert.deepEqual([world.fates[0]?.kind, world.ends[0]], ["delivered", "goes-on"]);
    assert.equal(world.session.phase, "serving");
  });
}

test("the late close of an address that took too long does not fail the next one", () => {
  const world = new SessionWorld(2, { connectTimeoutMs: 1000 });
  world.session.start();
  world.give();
  world.pass(5000, () => world.connections.length === 2);
  assert.equal(world.connection(0).closed, "destroyed");
  world.connection(0).handler.onClose(null);
  assert.deepEqual([world.connections.length, world.fates.length], [2, 0]);
  serve(world, 1);
  for (const reply of ["250 ok\r\n", "250 ok\r\n", "354 go on\r\n", "250 taken\r\n"]) world.connection(1).hear(reply);
  assert.equal(world.fates[0]?.kind, "delivered");
});

test("a peer that stops reading in the middle of the content is left after a minute", () => {
  const world = new SessionWorld(1, { dataDotTimeoutMs: 300_000 });
  world.session.start();
  world.give();
  serve(world, 0);
  for (const reply of ["250 ok\r\n", "250 ok\r\n"]) world.connection(0).hear(reply);
  world.connection(0).isStuck = true;
  world.connection(0).hear("354 go on\r\n");
  const waited = world.pass(400_000, () => world.fates.length > 0);
  assert.ok(waited >= 60_000 && waited <= 61_000, `it waited ${waited} ms`);
  const [fate] = world.fates;
  assert.ok(fate !== undefined && fate.kind === "transient" && /after 60s/.test(fate.response.content));
});
