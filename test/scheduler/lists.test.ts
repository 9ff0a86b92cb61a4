import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Panic } from "../../src/base/assert.js";
import { Alarm, Alarms } from "../../src/scheduler/alarms.js";
import { Chain, Link } from "../../src/scheduler/links.js";
import { PriorityRing } from "../../src/scheduler/priority-ring.js";

test("a chain behaves like an array", () => {
  const command = fc.record({ what: fc.constantFrom("ensure", "leave", "rotate", "shift"), at: fc.nat(9) });
  fc.assert(
    fc.property(fc.array(command, { maxLength: 60 }), (commands) => {
      const links = Array.from({ length: 10 }, (_, at) => new Link(at));
      const chain = new Chain<number>();
      let model: number[] = [];
      for (const { what, at } of commands) {
        if (what === "ensure") {
          if (!model.includes(at)) model.push(at);
          chain.ensure(links[at]);
        } else if (what === "leave") {
          model = model.filter((other) => other !== at);
          links[at].leave();
        } else if (what === "rotate") {
          if (model.length > 1) model.push(model.shift() as number);
          chain.rotate();
        } else {
          assert.equal(chain.shift(), model.shift() ?? null);
        }
      }
      const found: number[] = [];
      for (let link = chain.first; link !== null; link = link.next) found.push(link.owner);
      assert.deepEqual([found, chain.length, chain.last?.owner], [model, model.length, model.at(-1)]);
      for (const link of links) assert.equal(link.linked, model.includes(link.owner));
    }),
    { numRuns: 200 },
  );
});

test("a link is in one chain at most", () => {
  const link = new Link("x");
  new Chain<string>().append(link);
  assert.throws(() => new Chain<string>().append(link), Panic);
  assert.throws(() => new Chain<string>().remove(link), Panic);
});

test("alarms ring in order of time, each once, at the earliest time that was asked for", () => {
  const command = fc.record({ what: fc.constantFrom("ring", "clear"), at: fc.nat(19), ms: fc.nat(1000) });
  fc.assert(
    fc.property(fc.array(command, { maxLength: 100 }), (commands) => {
      const alarms = new Alarms<number>();
      const all = Array.from({ length: 20 }, (_, at) => new Alarm(at));
      const model = new Map<number, number>();
      for (const { what, at, ms } of commands) {
        if (what === "clear") {
          alarms.clear(all[at]);
          model.delete(at);
        } else {
          alarms.ringBy(all[at], ms);
          model.set(at, Math.min(ms, model.get(at) ?? Number.POSITIVE_INFINITY));
        }
      }
      assert.equal(alarms.size, model.size);
      assert.equal(alarms.nextMs(), Math.min(Number.POSITIVE_INFINITY, ...model.values()));
      const rung: number[] = [];
      for (let now = 0; now <= 1000; now += 50) {
        for (let owner = alarms.ring(now); owner !== null; owner = alarms.ring(now)) {
          assert.ok((model.get(owner) as number) <= now);
          rung.push(model.get(owner) as number);
        }
        assert.ok(alarms.nextMs() > now);
      }
      assert.deepEqual(
        rung,
        [...model.values()].sort((a, b) => a - b),
      );
    }),
    { numRuns: 200 },
  );
});

test("a higher priority goes first, and a lower one never starves", () => {
  const ring = new PriorityRing<string>();
  assert.equal(ring.serve(), null);
  ring.add(new Link("low"), 0);
  ring.add(new Link("lowest"), -5);
  ring.add(new Link("high"), 9);
  const served = new Map<string, number>();
  for (let pick = 0; pick < 320; pick++) {
    const owner = ring.serve()?.first?.owner as string;
    served.set(owner, (served.get(owner) ?? 0) + 1);
  }
  assert.deepEqual(Object.fromEntries(served), { high: 300, low: 10, lowest: 10 });
  assert.equal(ring.length, 3);
});

test("with the higher classes empty the lower ones have everything", () => {
  const ring = new PriorityRing<string>();
  const high = new Link("high");
  ring.add(high, 1);
  ring.add(new Link("low"), 0);
  high.leave();
  for (let pick = 0; pick < 20; pick++) assert.equal(ring.serve()?.first?.owner, "low");
});
