/** When failures suspend a source: at once, or after so many within a period. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { HealthRule, RollingCount } from "../../src/shaping/source-health.js";

test("failures within the period count, older ones do not; a suspension begins the count anew", () => {
  const rule = new HealthRule({ failures: 3, periodMs: 60_000, durationMs: 5000 });
  assert.equal(rule.failed(0), 0);
  assert.equal(rule.failed(1000), 0);
  assert.equal(rule.failed(62_000), 0, "the first two are too old");
  assert.equal(rule.failed(63_000), 0);
  assert.equal(rule.failed(64_000), 69_000);
  assert.equal(rule.failed(65_000), 0);
});

test("Immediate is one failure", () => {
  assert.equal(new HealthRule({ failures: 1, periodMs: 1000, durationMs: 7 }).failed(100), 107);
});

test("a rolling count is between the exact ones of the period and of 59 sixtieths of it", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 200 }), (gaps) => {
      const count = new RollingCount(60_000);
      const times: number[] = [];
      let nowMs = 1_800_000_000_000;
      for (const gap of gaps) {
        nowMs += gap;
        times.push(nowMs);
        const within = (periodMs: number) => times.filter((time) => time > nowMs - periodMs).length;
        const counted = count.add(nowMs);
        assert.ok(within(59_000) <= counted && counted <= within(60_000), `${counted}`);
      }
    }),
  );
});
