import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { ShardIndex, SpoolKey } from "../../../src/base/brands.js";
import { SystemClock } from "../../../src/base/clock.js";
import { shardDirectory } from "../../../src/worker/spool/directories.js";
import { LmdbStore } from "../../../src/worker/spool/lmdb-store.js";
import type { Shard } from "../../../src/worker/spool/shard.js";
import type { ShardOptions } from "../../../src/worker/spool/shard-options.js";
import type { ShardStore } from "../../../src/worker/spool/shard-store.js";
import { gate, openShard, scratch, stored, transaction } from "./helpers.js";

const LONG = { deferral: { maxBytes: 1 << 20, waitMs: 3_600_000 } };
const SHORT = { deferral: { maxBytes: 1 << 20, waitMs: 5 } };

function deferring(t: Parameters<typeof openShard>[0], path: string, more: Partial<ShardOptions> = LONG) {
  return openShard(t, path, { durability: "deferred", clock: new SystemClock(), syncIntervalMs: 3_600_000, ...more });
}

const inMemory = { deferred: true };

function contentOf(shard: Shard, key: SpoolKey): string {
  const found = shard.read(key);
  return found.kind === "message" ? String(found.content) : found.kind;
}

test("mail in memory is promised at once, read from there, and gone without the disk having heard of it", async (t) => {
  const { shard, heard } = deferring(t, scratch(t));
  let told = false;
  const what = transaction(shard, "fleeting", ["a", "b"], inMemory);
  shard.storeTransaction(what, {
    onStored: (fault) => {
      told = fault === null;
    },
  });
  assert.ok(told, "at once");
  const second = (what.firstKey + 1) as SpoolKey;
  assert.equal(contentOf(shard, what.firstKey), "fleeting");
  assert.equal(contentOf(shard, second), "fleeting");
  assert.equal(shard.deferred?.count, 2);
  shard.remove(what.firstKey, 7);
  shard.remove(second, 8);
  assert.deepEqual(heard.removed, [7, 8]);
  assert.equal(contentOf(shard, second), "missing");
  assert.deepEqual([shard.deferred?.count, shard.deferred?.bytes], [0, 0]);
  await new Promise(setImmediate);
  assert.deepEqual([heard.written, shard.count()], [[], 0]);
});

test("what nobody has in hand is stored after its time, what somebody has is not, until it comes back", async (t) => {
  const { shard, heard } = deferring(t, scratch(t), SHORT);
  const held = await stored(shard, transaction(shard, "held", ["a"], inMemory));
  shard.deferred?.taken(held);
  const idle = await stored(shard, transaction(shard, "idle", ["a"], inMemory));
  await heard.when(() => heard.batches > 0);
  assert.deepEqual(heard.written, [1]);
  assert.deepEqual([shard.deferred?.count, shard.count()], [1, 1]);
  assert.equal(contentOf(shard, idle), "idle");
  shard.deferred?.untaken(held);
  await heard.when(() => heard.batches > 1);
  assert.deepEqual([shard.deferred?.count, shard.deferred?.bytes, shard.count()], [0, 0, 2]);
  assert.equal(shard.deferred?.spilled, 2);
  shard.remove(held, 1);
  shard.remove(idle, 2);
  await heard.when(() => heard.removed.length === 2);
  assert.deepEqual(shard.store.bodyKeys(0, Number.MAX_SAFE_INTEGER), []);
});

test("a failed first attempt stores the message with its attempts, and the rest of its transaction with it", async (t) => {
  const path = scratch(t);
  const { shard, heard } = deferring(t, path);
  const first = await stored(shard, transaction(shard, "text", ["a", "b", "c"], inMemory));
  const second = (first + 1) as SpoolKey;
  const third = (first + 2) as SpoolKey;
  shard.remove(first, 1);
  shard.reschedule(second, 1, 99);
  await heard.when(() => heard.batches > 0);
  assert.equal(shard.count(), 2);
  assert.deepEqual(
    [second, third].map((key) => {
      const found = shard.read(key);
      return found.kind === "message" && [found.attempts, found.dueMs, String(found.content), found.envelope.recipient];
    }),
    [
      [1, 99, "text", "b@example.net"],
      [0, 0, "text", "c@example.net"],
    ],
  );
  shard.remove(second, 2);
  shard.remove(third, 3);
  await heard.when(() => heard.removed.length === 3);
  assert.deepEqual(shard.store.bodyKeys(0, Number.MAX_SAFE_INTEGER), [], "the shared body went with the last");
});

test("what happens to a message while it is being stored happens to it afterwards", async (t) => {
  const { shard, heard } = deferring(t, scratch(t));
  const removed = await stored(shard, transaction(shard, "x", ["a"], inMemory));
  const tried = await stored(shard, transaction(shard, "y", ["a"], inMemory));
  shard.deferred?.save(removed);
  shard.deferred?.save(tried);
  shard.commitNow();
  shard.remove(removed, 5);
  shard.reschedule(tried, 2, 50);
  assert.deepEqual(heard.removed, []);
  await heard.when(() => heard.removed.includes(5) && shard.stats.commits === 2);
  const found = shard.read(tried);
  assert.deepEqual(found.kind === "message" && [found.attempts, found.dueMs], [2, 50]);
  assert.equal(shard.count(), 1);
});

test("the server's stop stores all; the next start finds it", async (t) => {
  const path = scratch(t);
  const { shard } = deferring(t, path);
  for (const name of ["a", "b", "c"]) await stored(shard, transaction(shard, name, [name], inMemory));
  await shard.close();
  assert.equal(shard.deferred?.count, 0);
  const { store } = LmdbStore.open(shardDirectory(path, 0 as ShardIndex), true, true);
  assert.equal(store.count(), 3);
  await store.close();
});

test("with its memory full nothing more is kept in memory only", async (t) => {
  const { shard } = deferring(t, scratch(t), { deferral: { maxBytes: 100_000, waitMs: 3_600_000 } });
  let kept = 0;
  while (shard.canDefer(10_000)) {
    await stored(shard, transaction(shard, "x".repeat(10_000), ["a"], inMemory));
    kept++;
  }
  assert.equal(kept, 9);
  assert.ok((shard.deferred?.bytes ?? 0) <= 100_000);
});

test("mail in memory is not announced before older mail that is being stored", async (t) => {
  const { shard } = deferring(t, scratch(t));
  const order: string[] = [];
  const note = (name: string) => ({ onStored: () => order.push(name) });
  shard.storeTransaction(transaction(shard, "1", ["a"], { forceFlush: true }), note("flushed"));
  shard.storeTransaction(transaction(shard, "2", ["a"], inMemory), note("second"));
  shard.commitNow();
  shard.storeTransaction(transaction(shard, "3", ["a"], inMemory), note("third"));
  assert.deepEqual(order, []);
  await stored(shard, transaction(shard, "4", ["a"]));
  shard.storeTransaction(transaction(shard, "5", ["a"], inMemory), note("last"));
  assert.deepEqual(order, ["flushed", "second", "third", "last"]);
  assert.equal(shard.stats.forcedFlushes, 1);
});

/** LMDB whose commits fail while `broken`. */
function breakable(path: string): { openStore: () => ShardStore; broken: { now: boolean } } {
  const broken = { now: false };
  const openStore = (): ShardStore => {
    const { store } = LmdbStore.open(shardDirectory(path, 0 as ShardIndex), false, true);
    const commit = store.commit.bind(store);
    store.commit = (batch, done) => {
      if (broken.now) setImmediate(done, Object.assign(new Error("Input/output error"), { code: "EIO" }));
      else commit(batch, done);
    };
    return store;
  };
  return { openStore, broken };
}

test("what cannot be stored stays in memory, can be delivered from there, and is stored when the shard is open again", async (t) => {
  const path = scratch(t);
  const { openStore, broken } = breakable(path);
  const { shard, heard } = deferring(t, path, { ...SHORT, openStore });
  broken.now = true;
  const kept = await stored(shard, transaction(shard, "kept", ["a"], inMemory));
  const delivered = await stored(shard, transaction(shard, "delivered", ["a"], inMemory));
  await heard.when(() => shard.fault !== null);
  assert.equal(contentOf(shard, kept), "kept");
  shard.remove(delivered, 3);
  assert.deepEqual(heard.removed, [3]);
  shard.reschedule(kept, 1, 77);
  broken.now = false;
  await shard.reopen(gate());
  await heard.when(() => shard.deferred?.count === 0 && shard.stats.commits > 0);
  const found = shard.read(kept);
  assert.deepEqual(found.kind === "message" && [found.attempts, found.dueMs], [1, 77]);
  assert.equal(shard.count(), 1);
});

test("a storage that failed unseen is not trusted: what was under way is refused and taken out again", async (t) => {
  const path = scratch(t);
  const { shard, heard } = openShard(t, path);
  const safe = await stored(shard, transaction(shard, "safe", ["a"]));
  const doubtful = transaction(shard, "doubtful", ["a"]);
  const outcome = stored(shard, doubtful);
  shard.commitNow();
  const behind = stored(shard, transaction(shard, "behind", ["a"]));
  const { Fault } = await import("../../../src/base/fault.js");
  shard.distrust(new Fault("spool.commit-failed", "spool failed unseen"));
  const [one, two] = await Promise.allSettled([outcome, behind]);
  assert.deepEqual([one.status, two.status], ["rejected", "rejected"]);
  assert.equal(shard.fault?.code, "spool.commit-failed");
  await shard.reopen(gate());
  await heard.when(() => shard.stats.removed > 0);
  assert.deepEqual([contentOf(shard, safe), contentOf(shard, doubtful.firstKey)], ["safe", "missing"]);
});

type Act =
  | { readonly kind: "add"; readonly recipients: number; readonly forced: boolean }
  | { readonly kind: "take" | "untake" | "remove" | "reschedule" | "save"; readonly which: number }
  | { readonly kind: "break" | "mend" | "wait" };

const acts: fc.Arbitrary<Act> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("add" as const),
      recipients: fc.integer({ min: 1, max: 3 }),
      forced: fc.boolean(),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({
      kind: fc.constantFrom(
        "take" as const,
        "untake" as const,
        "remove" as const,
        "reschedule" as const,
        "save" as const,
      ),
      which: fc.nat(50),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("break" as const, "mend" as const, "wait" as const) }) },
);

test("whatever comes in whatever order: what was promised and not removed is there in the end, and nothing else", async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(acts, { minLength: 1, maxLength: 40 }), async (plan) => {
      const path = scratch(t);
      const { openStore, broken } = breakable(path);
      const { shard, heard } = deferring(t, path, { deferral: { maxBytes: 8000, waitMs: 1 }, openStore });
      const alive = new Map<SpoolKey, number>();
      let removals = 0;
      const pick = (which: number): SpoolKey | undefined => [...alive.keys()][which % Math.max(1, alive.size)];
      for (const act of plan) {
        if (act.kind === "add") {
          const names = ["a", "b", "c"].slice(0, act.recipients);
          const deferred = !act.forced && shard.canDefer(10);
          const what = transaction(shard, "0123456789", names, { forceFlush: act.forced, deferred });
          const { recipients, firstKey } = what;
          shard.storeTransaction(what, {
            onStored: (fault) => {
              if (fault !== null) return;
              for (let i = 0; i < recipients.length; i++) alive.set((firstKey + i) as SpoolKey, 0);
            },
          });
        } else if (act.kind === "break") broken.now = true;
        else if (act.kind === "mend") {
          broken.now = false;
          if (shard.fault !== null) await shard.reopen(gate());
        } else if (act.kind === "wait") await new Promise((resolve) => setTimeout(resolve, 1));
        else if ("which" in act) {
          const key = pick(act.which);
          if (key === undefined) continue;
          if (act.kind === "take") shard.deferred?.taken(key);
          else if (act.kind === "untake") shard.deferred?.untaken(key);
          else if (act.kind === "save") shard.deferred?.save(key);
          else if (act.kind === "reschedule") {
            // The spool's part: a row that is not committed yet cannot be rescheduled, nor is it announced.
            alive.set(key, 1);
            shard.reschedule(key, 1, 5);
          } else {
            shard.remove(key, ++removals);
            alive.delete(key);
          }
        }
      }
      broken.now = false;
      // A commit under way may still fail of what was broken before.
      while (shard.fault !== null || !(await settled(shard))) await shard.reopen(gate());
      await shard.close();
      assert.equal(heard.removed.length, removals, "every removal was told once");
      const { store } = LmdbStore.open(shardDirectory(path, 0 as ShardIndex), true, true);
      const keys = store.rows(0, Number.MAX_SAFE_INTEGER, 1000).map(({ key }) => key);
      assert.deepEqual(
        keys,
        [...alive.keys()].sort((a, b) => a - b),
      );
      for (const key of store.bodyKeys(0, Number.MAX_SAFE_INTEGER)) {
        assert.ok(
          keys.some((row) => row >= key && row < key + 3),
          "no body without a row",
        );
      }
      await store.close();
    }),
    { numRuns: 60 },
  );
});

/** Whether a store goes through, so that nothing of before is under way. */
async function settled(shard: Shard): Promise<boolean> {
  const probe = transaction(shard, "probe", ["p"]);
  try {
    const key = await stored(shard, probe);
    shard.remove(key, 0);
    return true;
  } catch {
    return false;
  }
}
