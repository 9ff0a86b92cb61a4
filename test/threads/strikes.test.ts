/** Strikes: counted over restarts, bounded, forgotten in time; a file that makes no sense is told and left out. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import fc from "fast-check";
import type { ShardIndex, SpoolKey } from "../../src/base/brands.js";
import { Work } from "../../src/protocol/layout/hands.js";
import { End, Strikes } from "../../src/threads/strikes.js";

const DAY_MS = 86_400_000;

class Bench {
  readonly path: string;
  readonly notices: string[] = [];
  nowMs = 1_800_000_000_000;

  constructor(t: TestContext | null) {
    const dir = mkdtempSync(join(tmpdir(), "hikyaku-strikes-"));
    this.path = join(dir, "strikes.json");
    t?.after(() => rmSync(dir, { recursive: true, force: true }));
  }

  open(): Strikes {
    return new Strikes(
      this.path,
      () => this.nowMs,
      (line) => this.notices.push(line),
    );
  }
}

function held(key: number, work = Work.sending, shard = 0) {
  return { shard: shard as ShardIndex, key: key as SpoolKey, work };
}

function sentence(strikes: Strikes, key: number, shard = 0) {
  return strikes.sentence(shard as ShardIndex, key as SpoolKey);
}

test("the second death is the sentence, also when a restart lies between", async (t) => {
  const bench = new Bench(t);
  const first = bench.open();
  assert.equal(first.strike(held(7)), 1);
  assert.equal(sentence(first, 7), null);
  await first.saved();
  const second = bench.open();
  assert.equal(second.size, 1);
  assert.equal(second.strike(held(7)), 2);
  assert.deepEqual(sentence(second, 7), {
    shard: 0,
    key: 7,
    reason: "2 times a worker died or hung with it in hand, last while sending it",
    depth: "envelope",
    recorded: false,
  });
  assert.equal(sentence(second, 7, 1), null, "another shard's message of that key is another one");
  await second.saved();
  const third = bench.open();
  assert.deepEqual(third.sentencesIn(0 as ShardIndex), [sentence(second, 7)]);
  third.gone(0 as ShardIndex, 7 as SpoolKey);
  await third.saved();
  assert.equal(existsSync(bench.path), false, "no strikes, no file");
  assert.deepEqual(bench.notices, []);
});

test("an end that may have come from outside weighs less: three are a sentence, or two and a death, over restarts too", async (t) => {
  const { death, unknown } = End;
  const cases: readonly [readonly End[], string | null][] = [
    [[unknown, unknown], null],
    [[death, unknown], null],
    [[unknown, death], null],
    [[unknown, unknown, unknown], "3 times the process ended with it in hand, last while sending it"],
    [[unknown, death, unknown], "once a worker died or hung and 2 times the process ended with it in hand"],
    [[death, unknown, death], "2 times a worker died or hung and once the process ended with it in hand"],
  ];
  const bench = new Bench(t);
  for (const [key, [ends, reason]] of cases.entries()) {
    let strikes = bench.open();
    const counts = { [death]: 0, [unknown]: 0 };
    for (const end of ends) {
      assert.equal(sentence(strikes, key), null);
      assert.equal(strikes.strike(held(key), end), ++counts[end], "each manner has a count of its own");
      await strikes.saved();
      strikes = bench.open();
    }
    const said = sentence(strikes, key)?.reason ?? null;
    if (reason === null) assert.equal(said, null);
    else assert.ok(said?.startsWith(reason), `${said}`);
  }
  assert.deepEqual(bench.notices, []);
});

test("a file of a version that counted deaths only is read on", async (t) => {
  const bench = new Bench(t);
  const strikes = bench.open();
  strikes.strike(held(1));
  await strikes.saved();
  const text = readFileSync(bench.path, "utf8");
  writeFileSync(bench.path, text.replace(',"unknown":0', ""));
  assert.notEqual(readFileSync(bench.path, "utf8"), text);
  const next = bench.open();
  assert.equal(next.strike(held(1), End.unknown), 1);
  assert.equal(sentence(next, 1), null);
  assert.equal(next.strike(held(1)), 2);
  assert.notEqual(sentence(next, 1), null);
  await next.saved();
  assert.deepEqual(bench.notices, []);
});

test("how deep an entry may be looked at follows from what workers died of, at any of its deaths", () => {
  const cases: readonly [Work, Work, string][] = [
    [Work.sending, Work.sending, "envelope"],
    [Work.sending, Work.reading, "header"],
    [Work.deciding, Work.sending, "header"],
    [Work.announcing, Work.sending, "bytes"],
    [Work.sending, Work.settingAside, "bytes"],
  ];
  for (const [first, second, depth] of cases) {
    const strikes = new Bench(null).open();
    strikes.strike(held(1, first));
    strikes.strike(held(1, second));
    assert.equal(sentence(strikes, 1)?.depth, depth, `${Work[first]}, ${Work[second]}`);
  }
});

test("a lone strike goes with an attempt that was survived, with the message, and after a day; a sentence does not", async (t) => {
  const bench = new Bench(t);
  const strikes = bench.open();
  for (const key of [1, 2, 3]) strikes.strike(held(key));
  strikes.strike(held(3));
  strikes.survived(0 as ShardIndex, 1 as SpoolKey);
  strikes.survived(0 as ShardIndex, 3 as SpoolKey);
  assert.equal(strikes.size, 2);
  assert.equal(strikes.strike(held(1)), 1, "it counts from the beginning");
  await strikes.saved();
  bench.nowMs += DAY_MS + 1;
  const next = bench.open();
  assert.equal(next.size, 1);
  assert.notEqual(sentence(next, 3), null);
});

test("what has its record keeps its sentence until it has left the spool, in this run only", async (t) => {
  const bench = new Bench(t);
  const strikes = bench.open();
  for (const key of [1, 1, 2, 2, 3]) strikes.strike(held(key));
  strikes.recorded(0 as ShardIndex, 1 as SpoolKey);
  strikes.recorded(0 as ShardIndex, 9 as SpoolKey);
  strikes.informed({ has: (_shard, key) => key === 2 });
  assert.deepEqual([sentence(strikes, 1)?.recorded, sentence(strikes, 2)?.recorded], [true, true]);
  assert.equal(strikes.strike(held(3)), 2);
  assert.equal(sentence(strikes, 3)?.recorded, false);
  strikes.gone(0 as ShardIndex, 1 as SpoolKey);
  assert.equal(sentence(strikes, 1), null);
  await strikes.saved();
  assert.equal(sentence(bench.open(), 2)?.recorded, false, "the next run asks the log");
});

test("with a thousand and more, the oldest lone ones go first", async (t) => {
  const bench = new Bench(t);
  const strikes = bench.open();
  strikes.strike(held(1));
  strikes.strike(held(1));
  for (let key = 2; key <= 1100; key++) {
    bench.nowMs++;
    strikes.strike(held(key));
  }
  assert.equal(strikes.size, 1024);
  assert.notEqual(sentence(strikes, 1), null);
  assert.equal(strikes.strike(held(2)), 1, "forgotten");
  assert.equal(strikes.strike(held(1100)), 2, "remembered");
  await strikes.saved();
  assert.equal(bench.open().size, 1024);
});

test("a torn file, one of another make, and one that cannot be read: none, and a notice", async (t) => {
  const bench = new Bench(t);
  const strikes = bench.open();
  strikes.strike(held(1));
  strikes.strike(held(1));
  await strikes.saved();
  const text = readFileSync(bench.path, "utf8");
  for (let cut = 0; cut < text.length; cut++) {
    writeFileSync(bench.path, text.slice(0, cut));
    assert.equal(bench.open().size, 0);
  }
  assert.equal(bench.notices.length, text.length);
  assert.match(bench.notices[5] ?? "", /strikes\.json is left out: .*; deaths in earlier runs do not count/);
  for (const wrong of [
    "{}",
    "[1]",
    "[null]",
    '[{"shard":0}]',
    text.replace('"key":1', '"key":1.5'),
    text.replace('"work":2', '"work":9'),
    text.replace('"unknown":0', '"unknown":-1'),
  ]) {
    bench.notices.length = 0;
    writeFileSync(bench.path, wrong);
    assert.deepEqual([bench.open().size, bench.notices.length], [0, 1], wrong);
  }
  rmSync(bench.path);
  mkdirSync(bench.path);
  bench.notices.length = 0;
  const unreadable = bench.open();
  assert.deepEqual([unreadable.size, bench.notices.length], [0, 1]);
  unreadable.strike(held(4));
  await unreadable.saved();
  assert.match(bench.notices[1] ?? "", /cannot be written/);
  assert.equal(unreadable.strike(held(4)), 2, "they count until the process ends");
});

test("whatever happens in whatever order, the file says what memory says, and the counts are the deaths", async () => {
  const act = fc.record({
    what: fc.constantFrom("death", "death", "unknown", "unknown", "survived", "gone", "reopen"),
    key: fc.integer({ min: 1, max: 4 }),
    shard: fc.integer({ min: 0, max: 1 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(act, { maxLength: 25 }), async (acts) => {
      const bench = new Bench(null);
      let strikes = bench.open();
      const model = new Map<string, { deaths: number; unknown: number }>();
      const isSentence = ({ deaths, unknown }: { deaths: number; unknown: number }): boolean =>
        deaths >= 2 || unknown >= 3 || (deaths === 1 && unknown === 2);
      for (const { what, key, shard } of acts) {
        const name = `${shard} ${key}`;
        const known = model.get(name) ?? { deaths: 0, unknown: 0 };
        if (what === "death") {
          known.deaths++;
          assert.equal(strikes.strike(held(key, Work.sending, shard), End.death), known.deaths);
          model.set(name, known);
        } else if (what === "unknown") {
          known.unknown++;
          assert.equal(strikes.strike(held(key, Work.sending, shard), End.unknown), known.unknown);
          model.set(name, known);
        } else if (what === "gone" || (what === "survived" && !isSentence(known))) {
          if (what === "gone") strikes.gone(shard as ShardIndex, key as SpoolKey);
          else strikes.survived(shard as ShardIndex, key as SpoolKey);
          model.delete(name);
        } else if (what === "reopen") {
          await strikes.saved();
          strikes = bench.open();
        } else strikes.survived(shard as ShardIndex, key as SpoolKey);
        assert.equal(strikes.size, model.size);
      }
      await strikes.saved();
      for (const [name, known] of model) {
        const [shard, key] = name.split(" ").map(Number) as [number, number];
        assert.equal(sentence(strikes, key, shard) !== null, isSentence(known));
      }
      assert.equal(bench.open().size, model.size);
      assert.deepEqual(bench.notices, []);
      rmSync(join(bench.path, ".."), { recursive: true });
    }),
    { numRuns: 60 },
  );
});
