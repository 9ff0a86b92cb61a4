/** Shared limits against a model: never above the limit, all or nothing, first come first served, nobody forgotten. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Claim, Leases } from "../../src/shaping/leases.js";

test("one lease of each claim, or of none", () => {
  const leases = new Leases<string>();
  const a = [{ name: "a", limit: 2 }];
  const both = [
    { name: "a", limit: 2 },
    { name: "b", limit: 1 },
  ];
  assert.equal(leases.take(both, "x"), null);
  assert.equal(leases.take(both, "y")?.name, "b");
  assert.equal(leases.used("a"), 1, "the refusal took nothing");
  assert.equal(leases.take(a, "y"), null);
  assert.equal(leases.take(a, "z")?.name, "a");
  leases.free(both);
  leases.free(a);
  assert.equal(leases.size, 0);
});

test("who waits is called in order, and a newcomer cannot pass", () => {
  const leases = new Leases<string>();
  const claim: Claim = { name: "a", limit: 1 };
  const called: string[] = [];
  const call = (who: string) => void called.push(who);
  assert.equal(leases.take([claim], "first"), null);
  for (const who of ["second", "third"]) {
    assert.equal(leases.take([claim], who), claim);
    leases.wait(claim, who);
  }
  leases.callNext([claim], call);
  assert.deepEqual(called, []);
  leases.free([claim]);
  leases.callNext([claim], call);
  assert.deepEqual(called, ["second"]);
  assert.equal(leases.take([claim], "newcomer"), claim, "the room is kept");
  leases.leave("a", "second");
  leases.callNext([claim], call);
  assert.deepEqual(called, ["second", "third"]);
  assert.equal(leases.take([claim], "third"), null);
  leases.free([claim]);
  assert.equal(leases.size, 0);
});

test("whatever happens, limits hold, and with room left nobody waits uncalled", () => {
  const names = ["a", "b", "c"];
  const step = fc.record({
    who: fc.integer({ min: 0, max: 7 }),
    what: fc.constantFrom("open", "open", "close", "leave"),
    of: fc.subarray(names, { minLength: 1 }),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 200 }), fc.integer({ min: 1, max: 3 }), (steps, limit) => {
      const leases = new Leases<number>();
      const held: (readonly Claim[])[] = [];
      const waitsFor = new Map<number, string>();
      const called = new Set<number>();
      const call = (who: number): void => {
        assert.ok(waitsFor.has(who), "only who waits is called");
        called.add(who);
      };
      const all = names.map((name) => ({ name, limit }));
      for (const { who, what, of } of steps) {
        const before = waitsFor.get(who);
        if (what === "open") {
          const claims = of.map((name) => ({ name, limit }));
          const refused = leases.take(claims, who);
          if (before !== undefined && before !== refused?.name) leases.leave(before, who);
          called.delete(who);
          waitsFor.delete(who);
          if (refused === null) held.push(claims);
          else {
            leases.wait(refused, who);
            waitsFor.set(who, refused.name);
          }
        } else if (what === "leave" && before !== undefined) {
          leases.leave(before, who);
          called.delete(who);
          waitsFor.delete(who);
        } else if (what === "close") {
          const claims = held.shift();
          if (claims !== undefined) leases.free(claims);
        }
        leases.callNext(all, call);
        for (const name of names) {
          const used = held.flat().filter((claim) => claim.name === name).length;
          assert.equal(leases.used(name), used);
          assert.ok(used <= limit);
          const of = [...waitsFor].filter(([, waits]) => waits === name).map(([waiting]) => waiting);
          const kept = of.filter((waiting) => called.has(waiting)).length;
          if (kept < of.length) assert.ok(used + kept >= limit, "somebody waits with room left");
        }
      }
    }),
    { numRuns: 500 },
  );
});
