import assert from "node:assert/strict";
import { test } from "node:test";
import { StandIn } from "../../src/native/stand-in.js";
import { describeConnections } from "./connection-table.js";
import { describeDisk } from "./disk-table.js";
import { describeEnds } from "./end-table.js";
import { withWorld } from "./peer.js";
import { describeReactor } from "./reactor-table.js";
import { describeRelays } from "./relay-table.js";

const native = new StandIn();
describeConnections(native);
describeEnds(native);
describeReactor(native);
describeRelays(native);
describeDisk(native);

test("what only the addon can do is refused, not passed over", () =>
  withWorld(native, async (world) => {
    await world.listen("127.0.0.1");
    const wishes = [{ transparent: true }, { device: "lo" }, { mark: 1 }, { userTimeoutMs: 5000 }];
    for (const wish of wishes) {
      const fault = await world.connect(wish).closed.promise;
      assert.equal(fault?.errno, "ENOTSUP", JSON.stringify(wish));
    }
    const foreign = world.connect({ localAddress: "192.0.2.7", freeBind: true });
    assert.equal((await foreign.closed.promise)?.errno, "EADDRNOTAVAIL");
    const own = world.connect({ localAddress: "127.0.0.2", freeBind: true, userTimeoutMs: 0 });
    await own.connected.promise;
    assert.equal(own.connection.localAddress, "127.0.0.2");
  }));
