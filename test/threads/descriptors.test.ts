import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SharedState } from "../../src/protocol/layout/shared-state.js";
import { Counter } from "../../src/protocol/metrics.js";
import { clientRoom, sessionLimit } from "../../src/protocol/socket-limits.js";
import { httpConnections, shareDescriptors } from "../../src/threads/descriptors.js";

test("sockets, files in use, DNS and HTTP fit below the limit together", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 256 }), fc.integer({ min: 0, max: 1_000_000 }), (workers, above) => {
      const used = 32 + workers * 24;
      const limit = Math.ceil((used + (1 + workers) * 8 + 16 + 8) * 1.25) + above;
      const { sockets } = shareDescriptors(limit, used, 1 + workers);
      assert.ok(sockets >= 16);
      assert.ok(sockets + used + (1 + workers) * 8 + httpConnections(limit) <= limit);
    }),
  );
  assert.equal(shareDescriptors(Number.POSITIVE_INFINITY, 50, 3).sockets, Number.POSITIVE_INFINITY);
});

test("neither clients nor sessions take all sockets, and above the edge clients wait", () => {
  const shared = new SharedState(SharedState.allocate(3));
  const set = (clients: number, sockets: number): void => {
    shared.counters(1)[Counter.connectionsOpen] = clients;
    shared.counters(1)[Counter.sockets] = sockets - 10;
    shared.counters(2)[Counter.sockets] = 10;
  };
  set(5000, 9000);
  assert.equal(clientRoom(shared, 0), "served", "no limit is known");
  assert.equal(sessionLimit(shared, 1), Number.POSITIVE_INFINITY);
  shared.maxSockets = 160;
  for (const [clients, sockets, room, sessions] of [
    [0, 0, "served", 120],
    [120, 120, "served", 30],
    [121, 121, "refused", 29],
    [60, 150, "refused", 90],
    [60, 160, "waiting", 90],
    [150, 150, "refused", 1],
  ] as const) {
    set(clients, sockets);
    assert.equal(clientRoom(shared, 0), room, `${clients} clients, ${sockets} sockets`);
    assert.equal(sessionLimit(shared, 1), sessions, `${clients} clients`);
    assert.equal(sessionLimit(shared, 2), Math.max(1, Math.floor(sessions / 2)), "both ends are ours");
  }
  set(120, 120);
  assert.equal(clientRoom(shared, 1), "refused", "one more would be");
});
