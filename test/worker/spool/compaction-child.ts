import { writeSync } from "node:fs";
import type { ShardIndex, SpoolKey, WorkerIndex } from "../../../src/base/brands.js";
import { SystemClock } from "../../../src/base/clock.js";
import { messageOf } from "../../../src/base/fault.js";
import { Shard } from "../../../src/worker/spool/shard.js";
import { createSwapGate, SwapGate } from "../../../src/worker/spool/swap-gate.js";
import { gate, Heard, stored, transaction } from "./helpers.js";

/**
 * A process that fills a shard, removes most of it, and compacts it while it goes on storing and removing. It prints what
 * was acknowledged and what was removed as lines `+KEY` and `-KEY`, and how the compaction ended. HIKYAKU_FAULTS may order
 * that it fails, or kills the process, at some step.
 */
const heard = new Heard();
const shard = Shard.open({
  spoolPath: process.argv[2]!,
  shard: 0 as ShardIndex,
  durability: process.argv[3] === "committed" ? "committed" : "flushed",
  clock: new SystemClock(),
  events: heard,
  recentBytes: 0,
  syncIntervalMs: 1000,
  check: true,
});
// At once: what was said must be read also when the process is killed.
const say = (line: string): number => writeSync(1, `${line}\n`);
const pending = new Map<number, SpoolKey>();
let token = 0;
let removed = 0;
heard.onRemoved = (_shard, tokens) => {
  removed += tokens.length;
  for (const one of tokens) say(`-${pending.get(one)}`);
};

async function store(many: number): Promise<SpoolKey[]> {
  return Promise.all(
    Array.from({ length: many }, async (_, i) => {
      const key = await stored(shard, transaction(shard, `#${i}# ${"text ".repeat(i % 7 === 0 ? 3000 : 100)}`, ["a"]));
      say(`+${key}`);
      return key;
    }),
  );
}

function remove(key: SpoolKey): void {
  token++;
  pending.set(token, key);
  say(`~${key}`);
  shard.remove(key, token);
}

const first = await store(600);
for (const key of first.slice(0, 500)) remove(key);
await heard.when(() => removed === 500);
const [shared] = [await stored(shard, transaction(shard, "shared", ["a", "b", "c"]))];
say(`+${shared}`);

let over = false;
const traffic = (async (): Promise<void> => {
  for (let round = 0; !over && round < 1000; round++) {
    const keys = await store(8);
    for (const key of keys.slice(0, 5)) remove(key);
    const kept = keys[6]!;
    shard.reschedule(kept, 3, 4711);
    say(`=${kept}`);
  }
})().catch((error: unknown) => say(`traffic: ${messageOf(error)}`));
try {
  const done = await shard.compact(new SwapGate(createSwapGate(1), 0 as WorkerIndex));
  say(`compacted ${JSON.stringify(done)}`);
} catch (error) {
  say(`refused ${messageOf(error)}`);
}
over = true;
await traffic;
if (shard.fault !== null) {
  await shard.reopen(gate());
  say("reopened");
}
await store(3);
await shard.close();
say("closed");
