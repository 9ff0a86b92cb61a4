/**
 * Noting what a worker has in hand: `node dist/bench/micro/hands.js`. Nanoseconds per note and its wiping out.
 *
 *   memory   in shared memory
 *   mapped   in a mapped file, as a server with the addon does it
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ShardIndex, SpoolKey, WorkerIndex } from "../../src/base/brands.js";
import { loadNative } from "../../src/native/load.js";
import { HANDS_BYTES, Hand, Work } from "../../src/protocol/layout/hands.js";

const COUNT = 20_000_000;
const dir = mkdtempSync(join(tmpdir(), "hikyaku-bench-"));

function measure(what: string, memory: ArrayBuffer | SharedArrayBuffer): void {
  const hand = new Hand(memory, 3 as WorkerIndex);
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 5; round++) {
    const from = performance.now();
    for (let key = 1; key <= COUNT; key++) {
      hand.take(3 as ShardIndex, (key * 4096) as SpoolKey, Work.sending);
      hand.free();
    }
    best = Math.min(best, performance.now() - from);
  }
  console.log(`${what.padEnd(8)} ${((best * 1e6) / COUNT).toFixed(1)} ns`);
}

measure("memory", new SharedArrayBuffer(HANDS_BYTES));
const mapped = loadNative().mapFile(join(dir, "in-hand"), HANDS_BYTES);
if (mapped !== null) measure("mapped", mapped);
rmSync(dir, { recursive: true });
