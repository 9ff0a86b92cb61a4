import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { ManualClock } from "../../src/base/clock.js";
import { SeededRandom } from "../../src/base/random.js";
import { ProfileBehaviour } from "../../src/sink/behaviour.js";
import { DEFAULT_PROFILE, type SinkEnvelope, type SinkProfile } from "../../src/sink/options.js";
import { SinkMachine } from "../../src/sink/sink-machine.js";
import { SinkCounters } from "../../src/sink/stats.js";

interface Bench {
  readonly machine: SinkMachine;
  readonly counters: SinkCounters;
  readonly kept: { envelope: SinkEnvelope; content: string }[];
  /** Sends bytes and gives what is answered, the codes of the last lines only. */
  say(text: string): string;
}

function bench(changes: Partial<SinkProfile> = {}): Bench {
  const profile = { ...DEFAULT_PROFILE, ...changes };
  const counters = new SinkCounters();
  const kept: Bench["kept"] = [];
  const behaviour = new ProfileBehaviour(profile, new SeededRandom(profile.seed));
  const keep = (envelope: SinkEnvelope, content: Buffer) =>
    void kept.push({ envelope, content: content.toString("latin1") });
  const machine = new SinkMachine({ profile, behaviour, counters, clock: new ManualClock(), times: null, keep });
  const say = (text: string) => {
    const bytes = Buffer.from(text, "utf8");
    machine.receive(bytes, 0, bytes.length);
    return codes(machine.take());
  };
  return { machine, counters, kept, say };
}

function codes(replies: string): string {
  return [...replies.matchAll(/^(\d{3}) /gm)].map((match) => match[1]).join(" ");
}

/** Dialogues: what is sent in one piece, and the codes of the replies that leave together. */
const DIALOGUES: Record<string, { profile?: Partial<SinkProfile>; steps: [send: string, codes: string][] }> = {
  "command by command": {
    steps: [
      ["EHLO client.example\r\n", "250"],
      ["mail from:<a@b.example> BODY=8BITMIME\r\n", "250"],
      ["RCPT TO:<c@d.example>\r\n", "250"],
      ["DATA\r\n", "354"],
      ["Subject: x\r\n\r\nhello\r\n.\r\n", "250"],
      ["QUIT\r\n", "221"],
    ],
  },
  "a pipelined group, and content with the next group behind it": {
    steps: [
      ["EHLO c\r\n", "250"],
      ["MAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n", "250 250 354"],
      ["x\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n", "250 250 250 354"],
      [".\r\nQUIT\r\n", "250 221"],
      ["NOOP\r\n", ""],
    ],
  },
  "out of order": {
    steps: [
      ["MAIL FROM:<a@b.example>\r\n", "503"],
      ["EHLO c\r\nRCPT TO:<c@d.example>\r\nDATA\r\n", "250 503 503"],
      ["MAIL FROM:<a@b.example>\r\nMAIL FROM:<a@b.example>\r\nDATA\r\n", "250 503 503"],
      ["RSET\r\nRCPT TO:<c@d.example>\r\n", "250 503"],
    ],
  },
  "what it does not know": {
    steps: [
      ["EHLO c\r\nSTARTTLS\r\nNONSENSE\r\nVRFY x\r\nNOOP\r\nMAIL <a@b.example>\r\n", "250 502 500 252 250 501"],
      ["MAIL FROM:<a@b.example\r\n", "501"],
      ["MAIL FROM:<a@b.example> SIZE=99999999999\r\n", "552"],
      [`NOOP ${"x".repeat(3000)}\r\nNOOP\r\n`, "500 250"],
      ["NOOP\nNOOP\r\n", "500"],
    ],
  },
  "asked for by the recipient": {
    steps: [
      ["EHLO c\r\nMAIL FROM:<a@b.example>\r\n", "250 250"],
      ["RCPT TO:<451-x@d.example>\r\nRCPT TO:<552-x@d.example>\r\n", "451 552"],
      ["RCPT TO:<250-permfail@d.example>\r\nRCPT TO:<421-x@d.example>\r\n", "250 421"],
      ["RSET\r\n", ""],
    ],
  },
  "refused at the end of the data": {
    profile: { refuseAt: "data" },
    steps: [
      ["EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<553-x@d.example>\r\nDATA\r\n", "250 250 250 354"],
      ["x\r\n.\r\n", "553"],
      ["MAIL FROM:<a@b.example>\r\nRCPT TO:<x@d.example>\r\nDATA\r\n", "250 250 354"],
      ["x\r\n.\r\n", "250"],
    ],
  },
  "always closing": {
    profile: { closePercent: 100 },
    steps: [["EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@d.example>\r\n", "250 421"]],
  },
  "too large": {
    profile: { maxMessageSize: 10 },
    steps: [
      ["EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@d.example>\r\nDATA\r\n", "250 250 250 354"],
      ["12345678\r\n.\r\n", "250"],
      ["MAIL FROM:<a@b.example>\r\nRCPT TO:<x@d.example>\r\nDATA\r\n123456789\r\n.\r\n", "250 250 354 552"],
    ],
  },
};

for (const [name, dialogue] of Object.entries(DIALOGUES)) {
  test(`dialogue: ${name}`, () => {
    const { machine, say } = bench(dialogue.profile);
    machine.greet();
    assert.equal(codes(machine.take()), "220");
    for (const [send, expected] of dialogue.steps) assert.equal(say(send), expected, JSON.stringify(send));
  });
}

test("a dialogue says the same however it is cut", () => {
  const script =
    "EHLO c\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<x@d.example>\r\nRCPT TO:<550-x@d.example>\r\nDATA\r\n" +
    "Subject: x\r\n\r\n..dots\r\n.x\r\nend .\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<y@D.EXAMPLE>\r\nDATA\r\n.\r\nQUIT\r\n";
  const whole = bench();
  const expected = whole.say(script);
  assert.equal(expected, "250 250 250 550 354 250 250 250 354 250 221");
  assert.equal(whole.kept[0]?.content, "Subject: x\r\n\r\n.dots\r\nx\r\nend .\r\n");
  assert.deepEqual(whole.kept[1]?.envelope, { helo: "c", sender: "", recipients: ["y@D.EXAMPLE"] });
  fc.assert(
    fc.property(fc.array(fc.nat({ max: script.length }), { maxLength: 20 }), (cuts) => {
      const { say, kept, counters } = bench();
      const places = [...cuts, script.length].sort((a, b) => a - b);
      let before = 0;
      const answers: string[] = [];
      for (const place of places) {
        answers.push(say(script.slice(before, place)));
        before = place;
      }
      assert.equal(answers.filter((answer) => answer !== "").join(" "), expected);
      assert.deepEqual(kept, whole.kept);
      assert.deepEqual(counters.snapshot(), whole.counters.snapshot());
    }),
    { numRuns: 300 },
  );
});

test("percentages hold, repeat with their seed, and are counted by domain", () => {
  const run = (seed: number) => {
    const { say, counters } = bench({
      seed,
      fallback: { bounce: 10, defer: 5 },
      domains: { "good.example": { bounce: 0, defer: 0 } },
      bounceReplies: { "bad.example": [{ code: 571, text: "5.7.1 Not you" }] },
    });
    let answers = say("EHLO c\r\n");
    for (let i = 0; i < 2000; i++) {
      const domain = i % 4 === 0 ? "good.example" : "bad.example";
      answers += say(`MAIL FROM:<>\r\nRCPT TO:<u@${domain}>\r\nRSET\r\n`);
    }
    return { answers, stats: counters.snapshot() };
  };
  const first = run(7);
  assert.deepEqual(run(7), first);
  assert.notEqual(run(8).answers, first.answers);
  const { bounced, deferred } = first.stats.domains["bad.example"] ?? { bounced: 0, deferred: 0 };
  assert.ok(bounced > 110 && bounced < 190, `bounced ${bounced} of 1500, wanted about 150`);
  assert.ok(deferred > 45 && deferred < 105, `deferred ${deferred} of 1500, wanted about 75`);
  assert.equal(first.stats.codes["571"], bounced);
  assert.deepEqual(first.stats.domains["good.example"], { accepted: 0, bounced: 0, deferred: 0 });
});

test("a greeting that refuses", () => {
  const shut = bench({ greeting: 554 });
  shut.machine.greet();
  assert.equal(codes(shut.machine.take()), "554");
  assert.equal(shut.say("EHLO c\r\nQUIT\r\n"), "550 221");
  const away = bench({ greeting: 421 });
  away.machine.greet();
  assert.ok(away.machine.closing);
});
