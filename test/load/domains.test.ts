import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../src/base/clock.js";
import { SeededRandom } from "../../src/base/random.js";
import { zipfDomains } from "../../src/load/domains.js";
import { MailMaker } from "../../src/load/mail.js";
import { DEFAULT_LOAD } from "../../src/load/options.js";

function drawn(count: number, exponent: number, mails: number): Map<string, number> {
  const options = { ...DEFAULT_LOAD, domains: zipfDomains(count, exponent) };
  const maker = new MailMaker(options, new SeededRandom(3), new ManualClock());
  const counts = new Map<string, number>();
  for (let i = 0; i < mails; i++) {
    const domain = maker.next().recipient.split("@")[1] ?? "";
    counts.set(domain, (counts.get(domain) ?? 0) + 1);
  }
  return counts;
}

test("weights fall with the rank as Zipf's law has it", () => {
  const counts = drawn(1000, 1, 20_000);
  // The harmonic number of 1000 is 7.485: ranks 1, 2 and 10 get 1/7.485 of the mail, a half and a tenth of that.
  for (const [rank, share] of [
    [1, 1 / 7.485],
    [2, 0.5 / 7.485],
    [10, 0.1 / 7.485],
  ] as const) {
    const expected = share * 20_000;
    const found = counts.get(`d${rank}.example`) ?? 0;
    assert.ok(Math.abs(found - expected) < 5 * Math.sqrt(expected), `rank ${rank}: ${found}, expected ${expected}`);
  }
  assert.ok(counts.size > 800);
});

test("an exponent of 0 makes all alike, and every domain comes", () => {
  const counts = drawn(10, 0, 10_000);
  assert.equal(counts.size, 10);
  for (const [domain, count] of counts) assert.ok(count > 850 && count < 1150, `${domain}: ${count}`);
});
