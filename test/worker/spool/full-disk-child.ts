import type { ShardIndex, SpoolKey } from "../../../src/base/brands.js";
import { SystemClock } from "../../../src/base/clock.js";
import { errnoOf } from "../../../src/base/fault.js";
import { Shard } from "../../../src/worker/spool/shard.js";
import { gate, Heard, stored, transaction } from "./helpers.js";

/** Fills a small disk, then empties it again, and prints what happened as one JSON line. */
const heard = new Heard();
const unhandled: string[] = [];
process.on("unhandledRejection", (error) => unhandled.push(String(error)));
const shard = Shard.open({
  spoolPath: process.argv[2]!,
  shard: 0 as ShardIndex,
  durability: "flushed",
  clock: new SystemClock(),
  events: heard,
  recentBytes: 0,
  syncIntervalMs: 1000,
  check: true,
});
const keys: SpoolKey[] = [];
let refusal: unknown = null;
while (refusal === null) {
  try {
    keys.push(await stored(shard, transaction(shard, "x".repeat(3000), ["a"])));
  } catch (error) {
    refusal = error;
  }
}
const readable = keys.every((key) => shard.read(key).kind === "message");
// A removal needs a page or two as well: some tries may fail, none may lose anything.
for (const key of keys) shard.remove(key, 1);
let tries = 0;
while (heard.removed.length < keys.length && tries++ < 50) {
  if (shard.fault !== null) await shard.reopen(gate());
  const seen = heard.batches;
  await heard.when(() => heard.batches > seen || heard.removed.length === keys.length);
}
if (shard.fault !== null) await shard.reopen(gate());
const again = await stored(shard, transaction(shard, "x".repeat(3000), ["a"]));
const report = {
  filled: keys.length > 100,
  errno: errnoOf(refusal),
  readable,
  removed: heard.removed.length === keys.length,
  count: shard.count(),
  again: shard.read(again).kind,
  unhandled,
};
await shard.close();
console.log(JSON.stringify(report));
