/** Messages that workers died of leave their shard without being taken apart again, once, and others keep their bodies. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import type { ShardIndex, SpoolKey } from "../../../src/base/brands.js";
import type { Depth, Sentence } from "../../../src/protocol/messages.js";
import type { Envelope } from "../../../src/worker/spool/envelope.js";
import { Heard, openShard, scratch, stored, transaction } from "./helpers.js";

function sentence(key: number, depth: Depth): Sentence {
  return { shard: 0 as ShardIndex, key: key as SpoolKey, reason: "it kills", depth, recorded: false };
}

/** Notes the envelopes too. */
class Listening extends Heard {
  readonly envelopes: (Envelope | null)[] = [];

  override onQuarantined(shard: ShardIndex, key: SpoolKey, reason: string, envelope: Envelope | null = null): void {
    super.onQuarantined(shard, key, reason);
    this.envelopes.push(envelope);
  }
}

function filesOf(path: string): string[] {
  return readdirSync(join(path, "quarantine")).sort();
}

test("row and body are moved, the removal is confirmed, and how much is read of it is as deep as is allowed", async (t) => {
  for (const depth of ["envelope", "header", "bytes"] as const) {
    const path = scratch(t);
    const events = new Listening();
    const { shard } = openShard(t, path, { events });
    const key = await stored(shard, transaction(shard, "deadly", ["a"]));
    const other = await stored(shard, transaction(shard, "sound", ["b"]));
    assert.equal(shard.sentenced.setAside(sentence(key, depth), 41), "gone");
    assert.equal(shard.count(), 2, "it leaves when its record is in the log");
    shard.commitNow();
    await events.when(() => events.removed.includes(41));
    assert.deepEqual(filesOf(path), [`000-${key}.eml`, `000-${key}.meta`]);
    assert.equal(readFileSync(join(path, "quarantine", `000-${key}.eml`), "utf8"), "deadly");
    assert.equal(events.envelopes[0]?.recipient ?? null, depth === "envelope" ? "a@example.net" : null);
    assert.deepEqual([shard.read(key).kind, shard.read(other).kind], ["missing", "message"]);
  }
});

test("asked for again, it is confirmed again, with one record; what was settled before has none", async (t) => {
  const events = new Listening();
  const { shard } = openShard(t, scratch(t), { events });
  const key = await stored(shard, transaction(shard, "deadly", ["a"]));
  shard.sentenced.setAside(sentence(key, "envelope"), 1);
  shard.sentenced.setAside(sentence(key, "envelope"), 2);
  assert.equal(shard.sentenced.setAside(sentence(key + 1000, "envelope"), 3), "missing");
  shard.commitNow();
  await events.when(() => events.removed.length === 2);
  shard.sentenced.setAside(sentence(key, "envelope"), 4);
  shard.commitNow();
  await events.when(() => events.removed.length === 3);
  assert.deepEqual(
    new Set(events.removed),
    new Set([2, 3, 4]),
    "a row has one token: the last one, while it is on its way",
  );
  assert.equal(events.quarantined.length, 1);
  assert.equal(shard.count(), 0);
});

test("while the quarantine cannot be written the message stays, and goes when it can", async (t) => {
  const path = scratch(t);
  const events = new Listening();
  const { shard } = openShard(t, path, { events });
  const key = await stored(shard, transaction(shard, "deadly", ["a"]));
  writeFileSync(join(path, "quarantine"), "in the way");
  assert.equal(shard.sentenced.setAside(sentence(key, "envelope"), 5), "stays");
  assert.equal(events.faults[0]?.code, "spool.unwritable");
  assert.equal(shard.read(key).kind, "message");
  rmSync(join(path, "quarantine"));
  assert.equal(shard.sentenced.setAside(sentence(key, "envelope"), 5), "gone");
  shard.commitNow();
  await events.when(() => events.removed.includes(5));
  assert.equal(shard.count(), 0);
});

test("a start moves the sentenced rows, tells the others, keeps shared bodies, and drops what the log knows to be settled", async (t) => {
  for (const depth of ["envelope", "header", "bytes"] as const) {
    const path = scratch(t);
    const first = openShard(t, path);
    const alone = await stored(first.shard, transaction(first.shard, "alone", ["a"]));
    const shared = await stored(first.shard, transaction(first.shard, "shared", ["b", "c", "d"]));
    const settled = await stored(first.shard, transaction(first.shard, "settled", ["e"]));
    const sound = await stored(first.shard, transaction(first.shard, "sound", ["f"]));
    await first.shard.close();
    const events = new Listening();
    const { shard } = openShard(t, path, { events });
    shard.sentenced.begin(
      [alone, shared, settled].map((key) => sentence(key, depth)),
      new Set([settled]),
      () => true,
    );
    const told: number[] = [];
    const begun: number[] = [];
    const replay = shard.replay({ onBegin: (key) => begun.push(key), onRow: (key) => told.push(key) }, 0);
    await replay.run(2);
    assert.deepEqual(told, [shared + 1, shared + 2, sound]);
    assert.deepEqual(begun, told, "what is sentenced is not taken apart");
    shard.commitNow();
    await events.when(() => shard.count() === 3);
    assert.deepEqual(
      events.quarantined.map(({ key }) => key),
      [alone, shared],
    );
    const name = (key: number, what: string): string => `000-${key}.${what}`;
    assert.deepEqual(filesOf(path), [
      name(alone, "eml"),
      name(alone, "meta"),
      name(shared, "eml"),
      name(shared, "meta"),
    ]);
    for (const key of [shared + 1, shared + 2]) {
      const found = shard.read(key as SpoolKey);
      assert.equal(found.kind === "message" ? String(found.content) : found.kind, "shared");
      shard.remove(key as SpoolKey, key);
    }
    await events.when(() => events.removed.length === 2 && shard.count() === 1);
    assert.equal(shard.store.body(shared), undefined, "the last one takes the body along");
    assert.equal(shard.store.body(alone), undefined);
  }
});

test("what has its record is moved and recorded no more, met or ordered; what the scheduler never knew is told when it has left", async (t) => {
  const path = scratch(t);
  const first = openShard(t, path);
  const met = await stored(first.shard, transaction(first.shard, "met", ["a"]));
  const unknown = await stored(first.shard, transaction(first.shard, "unknown", ["b"]));
  const ordered = await stored(first.shard, transaction(first.shard, "ordered", ["c"]));
  await first.shard.close();
  const events = new Listening();
  const { shard } = openShard(t, path, { events });
  const recorded = (key: number): Sentence => ({ ...sentence(key, "bytes"), recorded: true });
  shard.sentenced.begin([recorded(met), sentence(unknown, "bytes")], new Set(), (key) => key !== unknown);
  await shard.replay({ onRow() {} }, 0).run(10);
  assert.equal(shard.sentenced.setAside(recorded(ordered), 7), "gone");
  shard.commitNow();
  await events.when(() => shard.count() === 0 && events.removed.length === 2);
  assert.deepEqual(new Set(events.removed), new Set([-unknown, 7]));
  assert.deepEqual(
    events.quarantined.map(({ key }) => key),
    [unknown],
  );
  assert.deepEqual(filesOf(path), [`000-${unknown}.eml`, `000-${unknown}.meta`]);
});

test("a start that cannot write the quarantine leaves row and body where they are, and the next one moves them", async (t) => {
  const path = scratch(t);
  const first = openShard(t, path);
  const alone = await stored(first.shard, transaction(first.shard, "alone", ["a"]));
  const shared = await stored(first.shard, transaction(first.shard, "shared", ["b", "c"]));
  await first.shard.close();
  writeFileSync(join(path, "quarantine"), "in the way");
  const both = [alone, shared].map((key) => sentence(key, "header"));
  const second = openShard(t, path);
  second.shard.sentenced.begin(both, new Set(), () => true);
  const told: number[] = [];
  await second.shard.replay({ onRow: (key) => told.push(key) }, 0).run(10);
  assert.deepEqual(told, [shared + 1]);
  await second.shard.close();
  rmSync(join(path, "quarantine"));
  const events = new Listening();
  const third = openShard(t, path, { events });
  third.shard.sentenced.begin(both, new Set(), () => true);
  await third.shard.replay({ onRow() {} }, 0).run(10);
  assert.equal(readFileSync(join(path, "quarantine", `000-${alone}.eml`), "utf8"), "alone");
  assert.equal(readFileSync(join(path, "quarantine", `000-${shared}.eml`), "utf8"), "shared");
  assert.equal(third.shard.read((shared + 1) as SpoolKey).kind, "message");
});

test("one that is in memory only is stored first, and moved when that is asked for again", {
  timeout: 10_000,
}, async (t) => {
  const path = scratch(t);
  const events = new Listening();
  const deferral = { maxBytes: 1 << 20, waitMs: 60_000 };
  const { shard } = openShard(t, path, { events, durability: "deferred", deferral });
  const key = await stored(shard, transaction(shard, "deadly", ["a"], { deferred: true }));
  assert.equal(shard.deferred?.count, 1);
  assert.equal(shard.sentenced.setAside(sentence(key, "envelope"), 9), "stays");
  await events.when(() => shard.deferred?.count === 0);
  assert.equal(shard.sentenced.setAside(sentence(key, "envelope"), 9), "gone");
  shard.commitNow();
  await events.when(() => events.removed.includes(9));
  assert.deepEqual(filesOf(path), [`000-${key}.eml`, `000-${key}.meta`]);
});

test("a sentence that was forgotten for too many others does not bring a second record", async (t) => {
  const events = new Heard();
  const { shard } = openShard(t, scratch(t), { events });
  const key = await stored(shard, transaction(shard, "deadly", ["a"]));
  // Its worker died between record and removal; the strike has made room for others since.
  shard.sentenced.begin([], new Set([key]), () => true);
  assert.equal(shard.sentenced.setAside(sentence(key, "header"), 9), "gone");
  shard.commitNow();
  await events.when(() => events.removed.includes(9));
  assert.deepEqual([events.quarantined.length, shard.count()], [0, 0]);
});
