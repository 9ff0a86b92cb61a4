import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ShardProgress } from "../../src/threads/shard-progress.js";

test("over any sequence of workers that die while loading, every stored row is announced exactly once", () => {
  const life = fc.record({
    // How many rows of the scan, and how many new ones, are announced before the worker dies; some new ones are stored
    // without being announced.
    loads: fc.nat(40),
    accepts: fc.nat(10),
    unannounced: fc.nat(5),
    interleave: fc.boolean(),
    // Workers that died before they had opened the shard: a disk that fails, no descriptors left.
    stillborn: fc.nat(2),
  });
  fc.assert(
    fc.property(fc.nat(60), fc.array(life, { minLength: 1, maxLength: 6 }), (initial, lives) => {
      const stored: number[] = [];
      for (let key = 1; key <= initial; key++) stored.push(key * 3);
      const told = new Map<number, number>();
      const progress = new ShardProgress();
      const tell = (key: number): void => {
        progress.announced(key);
        told.set(key, (told.get(key) ?? 0) + 1);
      };
      lives.push({ loads: 10_000, accepts: 0, unannounced: 0, interleave: false, stillborn: 0 });
      for (const { loads, accepts, unannounced, interleave, stillborn } of lives) {
        for (let n = 0; n < stillborn; n++) progress.lost();
        let last = stored.at(-1) ?? 0;
        progress.opened(last);
        const toLoad = stored.filter((key) => progress.ranges().some((r) => key > r.after && key <= r.through));
        const accept = (): void => {
          for (let n = 0; n < accepts; n++) {
            stored.push(++last);
            tell(last);
          }
        };
        if (interleave) accept();
        const loaded = toLoad.slice(0, loads);
        loaded.forEach(tell);
        if (loaded.length === toLoad.length) progress.loaded();
        if (!interleave) accept();
        for (let n = 0; n < unannounced; n++) stored.push(++last);
        progress.lost();
      }
      assert.deepEqual(
        [...told.keys()].sort((a, b) => a - b),
        stored,
      );
      assert.ok([...told.values()].every((times) => times === 1));
    }),
  );
});

test("a worker that dies before it has opened the shard leaves no second range behind: nothing is announced twice", () => {
  const progress = new ShardProgress();
  progress.lost();
  progress.opened(100);
  for (let key = 1; key <= 60; key++) progress.announced(key);
  progress.lost();
  progress.lost();
  progress.opened(120);
  assert.deepEqual(progress.ranges(), [
    { after: 60, through: 100 },
    { after: 100, through: 120 },
  ]);
});
