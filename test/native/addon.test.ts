import { test } from "node:test";
import { addonRefusal, loadNative } from "../../src/native/load.js";
import { describeConnections } from "./connection-table.js";
import { describeDisk } from "./disk-table.js";
import { describeEnds } from "./end-table.js";
import { describeReactor } from "./reactor-table.js";
import { describeRelays } from "./relay-table.js";

const native = loadNative();
if (native.kind === "addon") {
  describeConnections(native);
  describeEnds(native);
  describeReactor(native);
  describeRelays(native);
  describeDisk(native);
} else {
  test("the addon", { skip: `not here: ${addonRefusal()}` }, () => {});
}
