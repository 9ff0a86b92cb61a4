import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ManualClock } from "../../src/base/clock.js";
import { SeededRandom } from "../../src/base/random.js";
import { DKIM_SIZED_HEADER, fillerText, MailMaker } from "../../src/load/mail.js";
import { DEFAULT_LOAD } from "../../src/load/options.js";
import { Pace } from "../../src/load/pace.js";

test("filler has the exact size, in lines that need no second dot", () => {
  fc.assert(
    fc.property(fc.nat({ max: 2000 }), (bytes) => {
      const text = fillerText(bytes);
      assert.equal(text.length, bytes === 1 ? 2 : bytes);
      const lines = text.split("\r\n");
      assert.equal(lines.pop(), "");
      for (const line of lines) assert.match(line, /^(?!\.)[ -~]{0,77}$/);
    }),
    { numRuns: 500 },
  );
});

test("messages: exact size, their own recipient and id, domains and sizes in proportion, repeated by the seed", () => {
  const options = {
    ...DEFAULT_LOAD,
    headers: ["X-Campaign: spring"],
    domains: [
      { name: "a.example", weight: 3 },
      { name: "much-longer.example", weight: 1 },
    ],
    sizes: [
      { bytes: 1024, weight: 1 },
      { bytes: 5000, weight: 1 },
    ],
  };
  const make = () => {
    const maker = new MailMaker(options, new SeededRandom(5), new ManualClock(Date.UTC(2026, 0, 2, 3, 4, 5)));
    return Array.from({ length: 1000 }, () => maker.next());
  };
  const mails = make();
  assert.deepEqual(make(), mails);
  const first = mails[0];
  assert.match(
    first?.head ?? "",
    /^From: <load@generator\.invalid>\r\nTo: <[a-z]{12}@[a-z.-]+>\r\nSubject: .*\r\nDate: Fri, 02 Jan 2026 03:04:05 \+0000\r\nMessage-ID: <0000000001\.[a-z]{8}@generator\.invalid>\r\nMIME-Version: 1\.0\r\nContent-Type: .*\r\nX-Campaign: spring\r\n\r\n$/,
  );
  for (const { head, body, bytes } of mails) assert.equal(head.length + body.length - 3, bytes);
  assert.deepEqual([...new Set(mails.map((mail) => mail.bytes))].sort(), [1024, 5000]);
  assert.equal(new Set(mails.map((mail) => mail.body)).size, 2);
  assert.equal(new Set(mails.map((mail) => mail.recipient)).size, 1000);
  const short = mails.filter((mail) => mail.recipient.endsWith("@a.example")).length;
  assert.ok(short > 690 && short < 810, `${short} of 1000 for a weight of 3 in 4`);
});

test("a pace is even, and catches up for one second only", () => {
  const pace = new Pace(100, 0);
  const taken = (now: number) => {
    let count = 0;
    while (pace.take(now)) count++;
    return count;
  };
  assert.equal(taken(0), 1);
  assert.equal(taken(50), 5);
  assert.equal(taken(50), 0);
  assert.equal(taken(60_000), 100);
});

test("numbered messages carry their number as local part", () => {
  const options = { ...DEFAULT_LOAD, times: "somewhere" };
  const maker = new MailMaker(options, new SeededRandom(5), new ManualClock());
  assert.deepEqual(
    [maker.next(), maker.next()].map(({ number, recipient }) => [number, recipient]),
    [
      [1, "n00000000001@example.com"],
      [2, "n00000000002@example.com"],
    ],
  );
});

test("a header of the size of a signature: folded, and as long as one of RSA-2048", () => {
  const lines = DKIM_SIZED_HEADER.split("\r\n");
  assert.ok(lines.length > 5);
  for (const line of lines) assert.match(line, /^[\t -~]{1,100}$/);
  for (const line of lines.slice(1)) assert.match(line, /^\t/);
  const signature = DKIM_SIZED_HEADER.split("; b=").at(-1)?.split("b=").at(-1)?.replace(/\s/g, "");
  assert.equal(Buffer.from(signature ?? "", "base64").length, 256);
});
