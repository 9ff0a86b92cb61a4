/** What comes and goes is told of, but what hovers around its limit does not fill the log. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Restless } from "../../src/threads/restless.js";

class Bench {
  nowMs = 0;
  readonly lines: string[] = [];
  readonly restless = new Restless<"disk" | "queue">(
    () => this.nowMs,
    (line) => this.lines.push(line),
  );

  /** A second passes, and then this is so. */
  second(isThere: boolean, name: "disk" | "queue" = "disk"): void {
    this.nowMs += 1000;
    this.restless.look(name, isThere ? `${name} full` : null, `${name} well`);
  }
}

test("each change is told once, of each condition apart", () => {
  const bench = new Bench();
  for (const isThere of [false, true, true, false, false]) bench.second(isThere);
  bench.second(true, "queue");
  assert.deepEqual(bench.lines, ["disk full", "disk well", "queue full"]);
});

test("what hovers is told three times, then that it hovers, and then only that it stayed away", () => {
  const bench = new Bench();
  for (let second = 0; second < 3600; second++) bench.second(second % 2 === 0);
  assert.deepEqual(bench.lines.slice(0, 6), Array.from({ length: 3 }, () => ["disk full", "disk well"]).flat());
  assert.match(bench.lines[6] ?? "", /^disk full; this comes and goes, /);
  assert.equal(bench.lines.length, 7);
  for (let second = 0; second < 58; second++) bench.second(false);
  bench.second(true);
  for (let second = 0; second < 60; second++) bench.second(false);
  assert.equal(bench.lines.length, 7, "it was there in between");
  bench.second(false);
  assert.deepEqual(bench.lines.slice(7), ["disk well"]);
  bench.second(true);
  assert.deepEqual(bench.lines.slice(8), ["disk full"], "and from here on it is like any");
});

test("what comes again after more than the window is never restless", () => {
  const bench = new Bench();
  for (let hour = 0; hour < 10; hour++) {
    bench.second(true);
    bench.nowMs += 100_000;
    bench.second(false);
  }
  assert.equal(bench.lines.length, 20);
  assert.ok(bench.lines.every((line) => !line.includes("comes and goes")));
});

test("whatever happens, beginnings and ends take turns, and an hour has a bounded number of lines", () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { minLength: 100, maxLength: 3600 }), (seconds) => {
      const bench = new Bench();
      for (const isThere of seconds) bench.second(isThere);
      for (const [at, line] of bench.lines.entries()) assert.equal(line.startsWith("disk full"), at % 2 === 0);
      const minutes = Math.ceil(seconds.length / 60);
      assert.ok(bench.lines.length <= 8 * (1 + minutes / 5) + 2 * minutes, `${bench.lines.length} lines`);
      for (let second = 0; second < 62; second++) bench.second(false);
      assert.equal(bench.lines.length % 2, 0, "what began is told to be over in the end");
    }),
    { numRuns: 50 },
  );
});
