import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import type { ShardIndex, SpoolKey } from "../../../src/base/brands.js";
import { randomInt, SeededRandom } from "../../../src/base/random.js";
import { shardDirectory } from "../../../src/worker/spool/directories.js";
import { checkPages } from "../../../src/worker/spool/page-check.js";
import { openShard, scratch, stored, transaction } from "./helpers.js";

const PAGE = 4096;

async function filled(t: TestContext): Promise<{ path: string; file: string; good: Buffer }> {
  const path = scratch(t);
  const { shard } = openShard(t, path);
  await Promise.all(
    Array.from({ length: 300 }, (_, i) => stored(shard, transaction(shard, "x".repeat((i % 5) * 700), ["a", "b"]))),
  );
  await shard.close();
  const file = join(shardDirectory(path, 0 as ShardIndex), "data.mdb");
  return { path, file, good: readFileSync(file) };
}

test("a sound file passes, with all of its entries", async (t) => {
  const { file } = await filled(t);
  const report = checkPages(file);
  assert.ok(report.entries >= 300 * 3, `${report.entries} entries`);
});

test("damaged meta pages, a cut file and a file of another kind are refused in words, and left alone", async (t) => {
  const { path, file, good } = await filled(t);
  const lay = (change: (bytes: Buffer) => Buffer | undefined): void => {
    const bytes = Buffer.from(good);
    writeFileSync(file, change(bytes) ?? bytes);
  };
  const cases: [string, RegExp, (bytes: Buffer) => Buffer | undefined][] = [
    ["first meta page", /no LMDB meta page 0/, (b) => void b.fill(0xff, 0, PAGE)],
    ["second meta page", /no LMDB meta page 1/, (b) => void b.fill(0, PAGE, 2 * PAGE)],
    ["another kind of file", /no LMDB meta page 0/, () => Buffer.alloc(70_000, 0x41)],
    ["a few bytes", /ends inside meta page 0/, () => Buffer.from("hello")],
    ["another data version", /data version 1/, (b) => void b.writeUInt32LE(1, 28)],
    ["cut in the middle", /cut short/, (b) => b.subarray(0, Math.floor(b.length / 2 / PAGE) * PAGE)],
  ];
  for (const [name, message, change] of cases) {
    lay(change);
    const laid = readFileSync(file);
    assert.throws(() => openShard(t, path), { code: "spool.damaged", message }, name);
    assert.deepEqual(readFileSync(file), laid, `${name}: the file is not touched`);
  }
  lay((b) => b);
  assert.equal(openShard(t, path).shard.count(), 600);
});

test("a file whose making was interrupted is begun anew; one that was in use, or is large, never", async (t) => {
  const { path, file, good } = await filled(t);
  const directory = join(file, "..");
  const pieces = Buffer.alloc(2 * PAGE, 0x41);
  writeFileSync(file, pieces);
  assert.throws(() => openShard(t, path), { code: "spool.damaged" });
  for (const mark of [join(directory, "format"), `${directory}.used`]) rmSync(mark);
  writeFileSync(file, Buffer.concat([pieces, good]));
  assert.throws(() => openShard(t, path), { code: "spool.damaged" }, "too large to be a beginning");
  writeFileSync(file, pieces);
  assert.equal(openShard(t, path).shard.count(), 0);
  assert.deepEqual(readFileSync(`${file}.unfinished`), pieces);
});

test("with any page zeroed, full of noise or from elsewhere, a shard is refused or is whole: never a crash, never a gap", async (t) => {
  const { path, file, good } = await filled(t);
  const random = new SeededRandom(7);
  const pages = good.length / PAGE;
  let refused = 0;
  for (let i = 0; i < 60; i++) {
    const at = randomInt(random, 2, pages - 1) * PAGE;
    const from = randomInt(random, 2, pages - 1) * PAGE;
    const bytes = Buffer.from(good);
    if (i % 3 === 0) bytes.fill(0, at, at + PAGE);
    else if (i % 3 === 1) for (let j = 0; j < PAGE; j++) bytes[at + j] = randomInt(random, 0, 255);
    else bytes.copyWithin(at, from, from + PAGE);
    writeFileSync(file, bytes);
    try {
      checkPages(file);
    } catch (error) {
      assert.equal(error instanceof Error && "code" in error && error.code, "spool.damaged");
      refused++;
      continue;
    }
    // The page was free, or a part of a large body, which its checksum guards.
    const { shard } = openShard(t, path);
    const keys: SpoolKey[] = [];
    await shard.replay({ onRow: (key) => keys.push(key) }, 0).run(1000);
    assert.equal(keys.length, 600);
    const broken = keys.filter((key) => shard.read(key).kind !== "message").length;
    assert.ok(broken <= 2, `${broken} messages lost to one page`);
    await shard.close();
  }
  assert.ok(refused > 10, `${refused} refused`);
});

test("a file that was written, emptied and written again for long still passes", async (t) => {
  const path = scratch(t);
  const file = join(shardDirectory(path, 0 as ShardIndex), "data.mdb");
  const random = new SeededRandom(11);
  const { shard, heard } = openShard(t, path);
  const live: SpoolKey[] = [];
  for (let round = 0; round < 120; round++) {
    for (let i = randomInt(random, 0, 60); i > 0; i--) {
      const what = transaction(shard, "x".repeat(randomInt(random, 0, 9) ** 4 * 3), ["a"]);
      shard.storeTransaction(what, { onStored: (fault) => (fault === null ? live.push(what.firstKey) : 0) });
    }
    for (let i = randomInt(random, 0, round % 20 === 19 ? live.length : 60); i > 0 && live.length > 0; i--) {
      shard.remove(live.splice(randomInt(random, 0, live.length - 1), 1)[0]!, 0);
    }
    const batches = heard.batches;
    shard.commitNow();
    await heard.when(() => heard.batches > batches || shard.count() === 0);
    // Nothing is being written between two batches.
    if (round % 4 === 0) checkPages(file);
  }
  await shard.close();
  assert.ok(checkPages(file).entries >= live.length);
});

test("an entry that is missing from a page is noticed by the tree's own count", async (t) => {
  const { file, good } = await filled(t);
  let leaf = 2 * PAGE;
  while (
    good.readUInt32LE(leaf) !== leaf / PAGE ||
    good.readUInt16LE(leaf + 18) !== 2 ||
    good.readUInt16LE(leaf + 20) < 8
  ) {
    leaf += PAGE;
  }
  const bytes = Buffer.from(good);
  bytes.writeUInt16LE(good.readUInt16LE(leaf + 20) - 2, leaf + 20);
  writeFileSync(file, bytes);
  assert.throws(() => checkPages(file), { code: "spool.damaged", message: /entries in .* where/ });
});

test("the damaged head of one large body is mended, so that only this message is lost", async (t) => {
  const path = scratch(t);
  const { shard } = openShard(t, path);
  const keys: SpoolKey[] = [];
  for (let i = 0; i < 8; i++) keys.push(await stored(shard, transaction(shard, `${i}`.repeat(9000), ["a"])));
  await shard.close();
  const file = join(shardDirectory(path, 0 as ShardIndex), "data.mdb");
  const bytes = readFileSync(file);
  const head = bytes.indexOf("4".repeat(100)) - 24;
  assert.equal(head % PAGE, 0);
  bytes.fill(0xee, head, head + 60);
  writeFileSync(file, bytes);
  assert.equal(checkPages(file).mended, 1);
  assert.equal(checkPages(file).mended, 0);
  const again = openShard(t, path);
  await again.shard.replay({ onRow() {} }, 0).run(10);
  assert.deepEqual(
    keys.filter((key) => again.shard.read(key).kind !== "message"),
    [keys[4]],
  );
  for (const key of keys) again.shard.remove(key, key);
  again.shard.commitNow();
  await again.heard.when(() => again.shard.count() === 0);
  assert.deepEqual(again.heard.faults, []);
  await again.shard.close();
  checkPages(file);
});
