import { existsSync } from "node:fs";
import type { ShardIndex, SpoolKey } from "../../../src/base/brands.js";
import { SystemClock } from "../../../src/base/clock.js";
import { Shard } from "../../../src/worker/spool/shard.js";
import { gate, Heard, stored, transaction } from "./helpers.js";

/** A process with one shard that does what it is told line by line and prints one JSON line per answer. */
const spoolPath = process.argv[2]!;
const heard = new Heard();
const open = (): Shard =>
  Shard.open({
    spoolPath,
    shard: 0 as ShardIndex,
    durability: "flushed",
    clock: new SystemClock(),
    events: heard,
    recentBytes: 0,
    syncIntervalMs: 1000,
    check: true,
  });
const unhandled: string[] = [];
process.on("unhandledRejection", (error) => unhandled.push(String(error)));
const shard = open();
let lastKey = 0 as SpoolKey;

async function run(command: string): Promise<unknown> {
  if (command === "store") {
    const what = transaction(shard, "text ".repeat(300), ["a", "b"]);
    lastKey = what.firstKey;
    try {
      await stored(shard, what);
      return { stored: true };
    } catch (error) {
      return { stored: false, code: error instanceof Error && "code" in error ? error.code : null };
    }
  }
  if (command === "state") {
    shard.store.refresh();
    return {
      count: shard.count(),
      last: shard.read(lastKey).kind,
      fault: shard.fault?.code ?? null,
      unhandled,
      data: existsSync(spoolPath),
    };
  }
  if (command === "reopen") {
    await shard.reopen(gate());
    return { fault: shard.fault };
  }
  await shard.close();
  process.exit(0);
}

let rest = "";
process.stdin.setEncoding("utf8").on("data", (chunk: string) => {
  const lines = (rest + chunk).split("\n");
  rest = lines.pop()!;
  for (const line of lines) {
    void run(line).then((answer) => console.log(JSON.stringify(answer)));
  }
});
console.log(JSON.stringify({ ready: true }));
