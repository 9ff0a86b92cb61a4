/**
 * Reading for delivery: `node dist/bench/micro/spool-read.js`. Microseconds per message.
 *
 *   recent       a message that was just stored, from memory
 *   lmdb         the same from LMDB: two reads, two checksums, unpacking
 *   lmdb, cold turn  with a new read snapshot each, as for mail of another worker's shard
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ShardIndex, SpoolKey } from "../../src/base/brands.js";
import { SystemClock } from "../../src/base/clock.js";
import { Shard } from "../../src/worker/spool/shard.js";

const COUNT = 2000;
const ROUNDS = 10;
const ignore = (): void => {};

for (const size of [1024, 10_240]) {
  for (const recentBytes of [64 << 20, 0]) {
    const spoolPath = mkdtempSync(join(tmpdir(), "hikyaku-bench-"));
    const spool = Shard.open({
      spoolPath,
      shard: 0 as ShardIndex,
      durability: "committed",
      clock: new SystemClock(),
      events: { onRemoved: ignore, onBatch: ignore, onWritten: ignore, onQuarantined: ignore, onFault: ignore },
      recentBytes,
      syncIntervalMs: 1000,
      check: true,
    });
    const keys: SpoolKey[] = [];
    await new Promise<void>((resolve) => {
      for (let i = 0; i < COUNT; i++) {
        const firstKey = spool.newKeys(1);
        keys.push(firstKey);
        const reception = {
          protocol: "ESMTP",
          ehlo: "client.example.com",
          receivedFrom: "192.0.2.77",
          receivedVia: "192.0.2.1:25",
          sessionId: "0123456789abcdef",
          durability: "committed" as const,
        };
        spool.storeTransaction(
          {
            firstKey,
            content: Buffer.alloc(size, 97),
            sender: "news@example.com",
            recipients: [{ recipient: "someone@example.net", queue: "example.net" }],
            reception,
            meta: null,
            flags: 0,
            dueMs: 0,
            forceFlush: false,
            hold: null,
            deferred: false,
          },
          { onStored: i === COUNT - 1 ? () => resolve() : ignore },
        );
      }
    });
    const time = (name: string, each: () => void): void => {
      for (const key of keys) spool.read(key);
      const start = performance.now();
      for (let round = 0; round < ROUNDS; round++) {
        for (const key of keys) {
          each();
          if (spool.read(key).kind !== "message") throw new Error("unreadable");
        }
      }
      const us = ((performance.now() - start) * 1000) / (COUNT * ROUNDS);
      console.log(name.padEnd(18), `${size} B`.padStart(8), `${us.toFixed(2)} µs`.padStart(10));
    };
    if (recentBytes > 0) time("recent", ignore);
    else {
      time("lmdb", ignore);
      time("lmdb, cold turn", () => spool.store.refresh());
    }
    await spool.close();
    rmSync(spoolPath, { recursive: true });
  }
}
