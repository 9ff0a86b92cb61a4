import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../src/base/clock.js";
import { Fault } from "../../src/base/fault.js";
import { DEFAULT_LOAD, type LoadOptions } from "../../src/load/options.js";
import { Slot } from "../../src/load/slot.js";
import type { Connection, ConnectionHandler, Reactor } from "../../src/native/binding.js";

const OPTIONS: LoadOptions = { ...DEFAULT_LOAD, target: { host: "127.0.0.1", port: 25 } };

const nowhere: Connection = {
  handler: { onConnect() {}, onData() {}, onEnd() {}, onDrain() {}, onClose() {} },
  remoteAddress: "",
  remotePort: 0,
  localAddress: "",
  localPort: 0,
  pendingBytes: 0,
  writeText: () => true,
  writeBytes: () => true,
  pause() {},
  resume() {},
  end() {},
  destroy() {},
  detach: () => assert.fail("nobody asked for the socket"),
};

test("a connection that cannot be made is tried again after pauses that double, to five seconds; a message begins anew", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let attempts = 0;
  let handler: ConnectionHandler | null = null;
  const reactor: Reactor = {
    size: 0,
    listen: () => assert.fail("a generator does not listen"),
    connect: (_options, taken) => {
      attempts++;
      handler = taken;
      return nowhere;
    },
    relay: () => assert.fail("nothing is joined here"),
    requestTurn() {},
    close() {},
  };
  const slot = new Slot({
    options: OPTIONS,
    clock: new ManualClock(),
    reactor,
    wanted: true,
    take: () => null,
    settled() {},
    returned() {},
    up() {},
    secured() {},
    down() {},
    lost: () => true,
    closed() {},
  });
  /** The connection fails; how long it is until the next one is made. */
  const pauseAfterFailure = (): number => {
    const before = attempts;
    handler?.onClose(new Fault("socket.failed", "refused", { errno: "ECONNREFUSED" }));
    let ms = 0;
    for (; attempts === before && ms < 20_000; ms++) t.mock.timers.tick(1);
    return ms;
  };
  slot.open();
  const pauses = Array.from({ length: 9 }, pauseAfterFailure);
  assert.deepEqual(pauses, [50, 100, 200, 400, 800, 1600, 3200, 5000, 5000]);
  slot.settled({ number: 1, recipient: "u@d.example", head: "", body: Buffer.alloc(0), bytes: 0 }, 250);
  assert.equal(pauseAfterFailure(), 50);
  slot.finish();
});
