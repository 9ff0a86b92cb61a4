import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { ShardIndex, SpoolKey, WorkerIndex } from "../../../src/base/brands.js";
import { SeededRandom } from "../../../src/base/random.js";
import { shardDirectory } from "../../../src/worker/spool/directories.js";
import { checkPages } from "../../../src/worker/spool/page-check.js";
import type { Shard } from "../../../src/worker/spool/shard.js";
import { ShardReader } from "../../../src/worker/spool/shard-reader.js";
import { createSwapGate, SwapGate } from "../../../src/worker/spool/swap-gate.js";
import { countBlockingSyncs } from "../../support/file-syncs.js";
import { type Heard, openShard, scratch, stored, transaction } from "./helpers.js";

const SHARD = 0 as ShardIndex;

function gate(): SwapGate {
  return new SwapGate(createSwapGate(1), 0 as WorkerIndex);
}

function textOf(key: number, bytes: number): string {
  return `#${key}#${"x".repeat(bytes)}`;
}

/** Stores messages of these sizes; each names its key. */
async function fill(shard: Shard, sizes: readonly number[]): Promise<SpoolKey[]> {
  return Promise.all(
    sizes.map((bytes) => {
      const what = transaction(shard, "", ["a"]);
      return stored(shard, { ...what, content: Buffer.from(textOf(what.firstKey, bytes)) });
    }),
  );
}

async function empty(shard: Shard, heard: Heard, keys: readonly SpoolKey[]): Promise<void> {
  for (const [i, key] of keys.entries()) shard.remove(key, i + 1);
  await heard.when(() => heard.removed.length === keys.length);
}

function assertReads(shard: Shard, key: SpoolKey): void {
  const found = shard.read(key);
  assert.equal(found.kind, "message", `${key}`);
  if (found.kind === "message") assert.ok(found.content.toString().startsWith(`#${key}#`));
}

test("a compaction gives free pages back, and everything is still there, also after the next start", async (t) => {
  const path = scratch(t);
  const file = join(shardDirectory(path, SHARD), "data.mdb");
  const { shard, heard } = openShard(t, path);
  const keys = await fill(
    shard,
    Array.from({ length: 400 }, (_, i) => (i % 10 === 0 ? 100_000 : 1000)),
  );
  const kept = keys.filter((_, i) => i % 20 === 0);
  await empty(
    shard,
    heard,
    keys.filter((_, i) => i % 20 !== 0),
  );
  const shared = await stored(shard, transaction(shard, "shared", ["a", "b"]));
  shard.store.refresh();
  const before = shard.store.usage();
  assert.equal(before.fileBytes, statSync(file).size);
  assert.ok(before.usedBytes < 3_000_000 && before.fileBytes > 4_000_000, JSON.stringify(before));

  const { beforeBytes, afterBytes, heldMs } = await shard.compact(gate());
  assert.equal(beforeBytes, before.fileBytes);
  assert.equal(afterBytes, statSync(file).size);
  assert.ok(afterBytes < 3_000_000, `${afterBytes}`);
  assert.ok(heldMs > 0 && heldMs < 5000);
  assert.deepEqual(readdirSync(shardDirectory(path, SHARD)).sort(), [".probe", "data.mdb", "format", "lock.mdb"]);
  assert.equal(checkPages(file).mended, 0);

  for (const key of kept) assertReads(shard, key);
  const [fresh] = await fill(shard, [50]);
  heard.removed.length = 0;
  await empty(shard, heard, [kept[0]!, shared]);
  assert.equal(shard.read((shared + 1) as SpoolKey).kind, "message", "the count of a shared body is kept");
  await shard.close();

  const again = openShard(t, path).shard;
  const seen: number[] = [];
  await again.replay({ onRow: (key) => seen.push(key) }, 0).run(100);
  assert.deepEqual(seen, [...kept.slice(1), shared + 1, fresh]);
  for (const key of [...kept.slice(1), fresh!]) assertReads(again, key);
});

test("the sync of the copy does not hold up the worker's thread; only the name is synced in place", async (t) => {
  const { shard } = openShard(t, scratch(t));
  await fill(shard, Array<number>(50).fill(10_000));
  const waited = countBlockingSyncs(t);
  await shard.compact(gate());
  assert.deepEqual(waited, { files: 0, directories: 1 });
});

test("an empty shard becomes an empty file; compacting twice is possible, at once is not", async (t) => {
  const path = scratch(t);
  const { shard, heard } = openShard(t, path);
  await empty(shard, heard, await fill(shard, Array<number>(200).fill(20_000)));
  const one = gate();
  const first = shard.compact(one);
  await assert.rejects(shard.compact(one), { code: "spool.compaction", message: "a compaction is under way" });
  const { beforeBytes, afterBytes } = await first;
  assert.ok(beforeBytes > 4_000_000 && afterBytes < 100_000, `${beforeBytes} ${afterBytes}`);
  await shard.compact(one);
  assert.equal(one.swaps, 2);
  const [key] = await fill(shard, [10]);
  assertReads(shard, key!);
});

test("a copy whose first change frees more pages than fit an entry of LMDB's list of free pages can be written", async (t) => {
  const { shard, heard } = openShard(t, scratch(t));
  const keys = await fill(shard, Array<number>(40).fill(200_000));
  const compacting = shard.compact(gate());
  await empty(shard, heard, keys);
  const { afterBytes } = await compacting;
  assert.ok(afterBytes > 40 * 200_000, "they were in the copy");
  assert.deepEqual([shard.count(), shard.store.bodyCount()], [0, 0]);
});

test("what is stored, removed and rescheduled during compactions is as it would be without them", async (t) => {
  for (const seed of [1, 2, 3]) {
    const path = scratch(t);
    const { shard, heard } = openShard(t, path, { durability: seed === 2 ? "committed" : "flushed" });
    const random = new SeededRandom(seed);
    const alive = new Map<SpoolKey, number>();
    let compactions = 0;
    let over = false;
    const compacting = (async (): Promise<void> => {
      while (!over) {
        await shard.compact(gate());
        compactions++;
      }
    })();
    for (let round = 0; round < 120; round++) {
      const sizes = Array.from({ length: 1 + Math.floor(random.next() * 20) }, () =>
        random.next() < 0.05 ? 200_000 : Math.floor(random.next() * 6000),
      );
      for (const key of await fill(shard, sizes)) alive.set(key, 0);
      const gone = [...alive.keys()].filter(() => random.next() < 0.4);
      heard.removed.length = 0;
      for (const key of gone) alive.delete(key);
      for (const key of alive.keys()) {
        if (random.next() > 0.05) continue;
        alive.set(key, round);
        shard.reschedule(key, round, round);
      }
      await empty(shard, heard, gone);
      if (random.next() < 0.2) for (const key of alive.keys()) assertReads(shard, key);
    }
    over = true;
    await compacting;
    assert.ok(compactions > 3, `${compactions} compactions`);
    await shard.close();
    const seen = new Map<number, number>();
    const again = openShard(t, path).shard;
    const replay = again.replay({ onRow: (key, _queue, _size, attempts) => seen.set(key, attempts) }, 0);
    await replay.run(1000);
    assert.deepEqual([...seen], [...alive]);
    assert.deepEqual([replay.quarantined, replay.orphans], [0, 0]);
    for (const key of alive.keys()) assertReads(again, key);
  }
});

test("a handle of another thread goes on reading the old file, and a new one reads the new file", async (t) => {
  const path = scratch(t);
  const { shard, heard } = openShard(t, path);
  const [old, gone] = await fill(shard, [5000, 5000]);
  const before = ShardReader.open(path, SHARD);
  t.after(() => before.close());
  await empty(shard, heard, [gone!]);
  const one = gate();
  await shard.compact(one);
  const [fresh] = await fill(shard, [5000]);
  assert.equal(before.read(old!).kind, "message");
  assert.equal(before.read(fresh!).kind, "missing");
  const after = one.opening(() => ShardReader.open(path, SHARD));
  assert.ok(after !== null);
  t.after(() => after.close());
  assert.deepEqual(
    [old, gone, fresh].map((key) => after.read(key!).kind),
    ["message", "missing", "message"],
  );
});

test("nobody opens a shard during a swap, a swap waits for openers, and a dead worker holds nobody up", async () => {
  const memory = createSwapGate(3);
  const [a, b] = [0, 1].map((index) => new SwapGate(memory, index as WorkerIndex)) as [SwapGate, SwapGate];
  const words = new Int32Array(memory);
  assert.equal(await a.swapping(() => b.opening(() => "opened")), null);
  assert.equal(
    b.opening(() => "opened"),
    "opened",
  );
  assert.deepEqual([a.swaps, b.swaps], [1, 1]);
  // Worker 2 dies while it opens: as if it were still at it.
  words[2 + 2] = 1;
  let swapped = false;
  const waiting = a.swapping(() => {
    swapped = true;
  });
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(swapped, false);
  SwapGate.forget(memory, 2 as WorkerIndex);
  await waiting;
  assert.equal(swapped, true);
  // Worker 1 dies while it swaps.
  words[0] = 2;
  assert.equal(
    a.opening(() => 1),
    null,
  );
  SwapGate.forget(memory, 1 as WorkerIndex);
  assert.equal(
    a.opening(() => 1),
    1,
  );
});

interface Ended {
  readonly signal: string | null;
  readonly lines: readonly string[];
}

async function runChild(path: string, order: string, durability: string): Promise<Ended> {
  const faults = join(path, "faults");
  writeFileSync(faults, `${order}\n`);
  const child = spawn(
    process.execPath,
    [new URL("./compaction-child.js", import.meta.url).pathname, join(path, "spool"), durability],
    { stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, HIKYAKU_FAULTS: faults } },
  );
  let out = "";
  child.stdout.on("data", (part: Buffer) => (out += part.toString("latin1")));
  const [, signal] = (await once(child, "close")) as [number | null, string | null];
  // The last line may be cut.
  return { signal, lines: out.split("\n").slice(0, -1) };
}

/** Everything acknowledged and not being removed is there and whole; everything whose removal was confirmed is gone. */
async function assertKept(t: TestContext, path: string, lines: readonly string[], order: string): Promise<void> {
  const keys = (mark: string): Set<number> =>
    new Set(lines.filter((line) => line.startsWith(mark)).map((line) => Number(line.slice(1))));
  const [stored, removing, removed] = ["+", "~", "-"].map(keys) as [Set<number>, Set<number>, Set<number>];
  assert.ok(stored.size > 600, order);
  assert.equal(existsSync(join(shardDirectory(path, SHARD), "data.mdb")), true);
  const { shard, heard } = openShard(t, path);
  const seen = new Set<number>();
  const replay = shard.replay({ onRow: (key) => seen.add(key) }, 0);
  await replay.run(1000);
  for (const key of stored) {
    if (removing.has(key)) continue;
    assert.ok(seen.has(key), `${order}: ${key} was acknowledged`);
    assert.equal(shard.read(key as SpoolKey).kind, "message", `${order}: ${key} is whole`);
  }
  for (const key of removed) assert.ok(!seen.has(key), `${order}: ${key} was removed`);
  assert.deepEqual([replay.quarantined, replay.orphans, heard.faults.length], [0, 0, 0], order);
  assert.equal(existsSync(join(shardDirectory(path, SHARD), "compact")), false, order);
}

const STEPS = ["begun", "copied", "held", "synced", "unlocked", "renamed", "adopted"];

for (const step of STEPS) {
  test(`kill -9 at the step "${step}" loses nothing and brings nothing back`, async (t) => {
    const path = scratch(t);
    const { signal, lines } = await runChild(path, `spool.compact kill ${step}`, "flushed");
    assert.equal(signal, "SIGKILL", lines.at(-1));
    await assertKept(t, join(path, "spool"), lines, step);
  });
}

test("a failure at any step is told, and the shard goes on with the file that it has", async (t) => {
  for (const [i, step] of STEPS.entries()) {
    const path = scratch(t);
    const { signal, lines } = await runChild(
      path,
      `spool.compact error ${step}`,
      i % 2 === 0 ? "flushed" : "committed",
    );
    assert.equal(signal, null);
    assert.equal(lines.at(-1), "closed", `${step}: ${lines.at(-1)}`);
    assert.ok(
      lines.some((line) => line.startsWith(`refused step "${step}" failed`)),
      step,
    );
    // Once the file was replaced the old one must not be written: the shard opens anew.
    assert.equal(lines.includes("reopened"), step === "renamed" || step === "adopted", step);
    await assertKept(t, join(path, "spool"), lines, step);
  }
});
