import { test } from "node:test";
import { addonRefusal, loadNative } from "../../src/native/load.js";
import { describeDisk } from "./disk-table.js";
import { describeReactor } from "./reactor-table.js";

const native = loadNative();
if (native.kind === "addon") {
  describeReactor(native);
  describeDisk(native);
} else {
  test("the addon", { skip: `not here: ${addonRefusal()}` }, () => {});
}
