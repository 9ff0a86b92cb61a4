/** Memory that several use is used again only when the last of them is certainly done. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BufferPool, SMALLEST_BUFFER } from "../../src/base/buffer-pool.js";
import { Hold } from "../../src/base/hold.js";

test("the pool gets a buffer back with the end of its last use, once", () => {
  const pool = new BufferPool(1 << 20);
  const buffer = pool.take(20_000);
  const hold = new Hold(pool, buffer.subarray(100, 20_000));
  assert.equal(hold.bytes, 32 * 1024);
  hold.take();
  hold.take();
  hold.drop();
  assert.equal(pool.bytes, 0);
  hold.drop();
  assert.equal(pool.bytes, 32 * 1024);
  assert.throws(() => hold.drop());
  assert.equal(pool.take(20_000).buffer, buffer.buffer, "the same memory");
});

test("whatever the order of uses, no two holders that are not done have the same memory", () => {
  const step = fc.record({ holder: fc.nat(7), act: fc.constantFrom("take", "drop", "lose", "new") });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
      const pool = new BufferPool(64 * SMALLEST_BUFFER);
      const holders: ({ hold: Hold; memory: ArrayBufferLike; uses: number; lost: boolean } | null)[] =
        Array(8).fill(null);
      for (const { holder, act } of steps) {
        const held = holders[holder] ?? null;
        if (act === "new" && held === null) {
          const buffer = pool.take(1);
          for (const other of holders) assert.notEqual(other?.memory, buffer.buffer);
          const hold = new Hold(pool, buffer);
          hold.take();
          holders[holder] = { hold, memory: buffer.buffer, uses: 1, lost: false };
        } else if (act === "take" && held !== null) {
          held.hold.take();
          held.uses++;
        } else if (act === "lose" && held !== null) {
          held.lost = true;
        } else if (act === "drop" && held !== null && (held.uses > 1 || !held.lost)) {
          held.hold.drop();
          // A lost use is never ended, so the memory stays this holder's for good.
          if (--held.uses === 0) holders[holder] = null;
        }
      }
    }),
  );
});
