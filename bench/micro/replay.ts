/**
 * The start of a full shard: `node dist/bench/micro/replay.js [messages] [bytes]` (default 1,000,000 of 200 bytes).
 * Fills a shard, opens it again (page check included), and scans it in turns of 2,000 rows. Seconds of each part, on the clock and of CPU.
 */
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ShardIndex } from "../../src/base/brands.js";
import { SystemClock } from "../../src/base/clock.js";
import { shardDirectory } from "../../src/worker/spool/directories.js";
import { LmdbStore } from "../../src/worker/spool/lmdb-store.js";
import { checkPages } from "../../src/worker/spool/page-check.js";
import { bodyChecksum, encodeRow, packCommon } from "../../src/worker/spool/row-codec.js";
import { Shard } from "../../src/worker/spool/shard.js";
import { WriteBatch } from "../../src/worker/spool/write-batch.js";

const total = Number(process.argv[2] ?? 1_000_000);
const bytes = Number(process.argv[3] ?? 200);
const spoolPath = mkdtempSync(join(tmpdir(), "hikyaku-bench-"));
const directory = shardDirectory(spoolPath, 0 as ShardIndex);
const body = Buffer.alloc(bytes, 97);
const crc = bodyChecksum(body);
const reception = {
  protocol: "ESMTP",
  ehlo: "client.example.com",
  receivedFrom: "192.0.2.77",
  receivedVia: "192.0.2.1:25",
  sessionId: "0123456789abcdef",
  durability: "flushed" as const,
};
const common = packCommon("news@example.com", reception, null);

let last = performance.now();
let cpu = process.cpuUsage();
function lap(name: string): void {
  const used = process.cpuUsage(cpu);
  const seconds = ((performance.now() - last) / 1000).toFixed(2);
  console.log(name.padEnd(28), `${seconds} s`.padStart(10), `${((used.user + used.system) / 1e6).toFixed(2)} s CPU`);
  last = performance.now();
  cpu = process.cpuUsage();
}

const { store } = LmdbStore.open(directory, false, true);
for (let at = 0; at < total; ) {
  const batch = new WriteBatch();
  for (let i = 0; i < 20_000 && at < total; i++, at++) {
    const key = 1e14 + at;
    const queue = `domain-${at % 1000}.example`;
    batch.bodyKeys.push(key);
    batch.bodies.push(body);
    batch.rowKeys.push(key);
    batch.rows.push(encodeRow(queue, `user${at}@${queue}`, common, 0, key, bytes, crc, 0, 0));
  }
  await new Promise((resolve) => store.commit(batch, resolve));
}
await store.close();
lap(`fill ${total} × ${bytes} B`);
const file = join(directory, "data.mdb");
console.log(`file: ${(statSync(file).size / 1e6).toFixed(0)} MB`);
last = performance.now();
cpu = process.cpuUsage();
const report = checkPages(file);
lap(`check ${report.pages} pages`);
const ignore = (): void => {};
const shard = Shard.open({
  spoolPath,
  shard: 0 as ShardIndex,
  durability: "flushed",
  clock: new SystemClock(),
  events: { onRemoved: ignore, onBatch: ignore, onWritten: ignore, onQuarantined: ignore, onFault: ignore },
  recentBytes: 0,
  syncIntervalMs: 1000,
  check: false,
});
lap("open");
let rows = 0;
let slowest = 0;
const replay = shard.replay({ onRow: () => rows++ }, 0);
for (let done = false; !done; ) {
  const start = performance.now();
  done = replay.step(2000);
  slowest = Math.max(slowest, performance.now() - start);
  await new Promise((resolve) => setImmediate(resolve));
}
lap(`scan ${rows} rows`);
console.log(`slowest turn of 2,000 rows: ${slowest.toFixed(1)} ms`);
await shard.close();
rmSync(spoolPath, { recursive: true });
