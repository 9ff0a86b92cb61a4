import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SeededRandom } from "../../src/base/random.js";
import { KeptInput, MAX_KEPT_OCTETS } from "../../src/smtp/kept-input.js";
import { Reply } from "../../src/smtp/reply.js";
import { ACCEPT } from "../../src/smtp/server-replies.js";
import { feedCut, Recorder, randomLengths } from "./server-harness.js";

const OPENING = "EHLO client.example\r\n";
const ENVELOPE = "MAIL FROM:<from@a.example>\r\nRCPT TO:<to@b.example>\r\nDATA\r\n";

/** A session that stands behind 354. */
function inContent(policy: "Deny" | "Fix" | "Allow"): Recorder {
  const host = new Recorder({ invalidLineEndings: policy });
  host.machine.greet();
  feedCut(host.machine, Buffer.from(OPENING), []);
  feedCut(host.machine, Buffer.from(ENVELOPE), []);
  assert.match(host.take(), /\r\n354 [^\n]*\r\n$/);
  return host;
}

/** Everything that somebody reads as the end of data, and we do not. */
const ODD_ENDS: readonly string[] = [
  "\n.\n",
  "\n.\r",
  "\n.\r\n",
  "\r.\r",
  "\r.\n",
  "\r.\r\n",
  "\r\n.\n",
  "\r\n.\r",
  "\r\n.\0\r\n",
  "\r\n\0.\r\n",
  "\r\n.\r\0\n",
  "\0\r\n.\n",
  "\r\0\n.\r\n",
  "\n\n.\r\n",
  "\r\r.\r\r",
  "\n\r.\n\r",
  "\n\r.\r\n",
  "\r\n.\r\r\n",
  "\r\n..\r\n",
  "\r\n. \r\n",
  "\r\n .\r\n",
  "\r\n.\t\r\n",
  "\r\n.\xa0\r\n",
  "\x85.\x85",
  "\r\n.\x85",
  "\x0b.\x0b",
  "\x0c.\x0c",
  "\x8d\x8a.\x8d\x8a",
  "\n.",
  "\r.",
];

for (const policy of ["Deny", "Fix", "Allow"] as const) {
  test(`server: no odd end of data begins a second transaction (${policy})`, () => {
    for (const odd of ODD_ENDS) {
      for (const lengths of [[], [1], [2, 1, 3]]) {
        const host = inContent(policy);
        const smuggled = "MAIL FROM:<smuggled@a.example>\r\nRCPT TO:<smuggled@b.example>\r\nDATA\r\nsmuggled\r\n";
        feedCut(host.machine, Buffer.from(`Subject: x\r\n\r\nhello${odd}${smuggled}.\r\n`, "latin1"), lengths);
        const name = JSON.stringify(odd);
        const out = host.take();
        assert.equal(out.split("\r\n").length - 1, 1, `${name}: one reply: ${out}`);
        const refused = out.startsWith("5");
        assert.equal(host.messages.length, refused ? 0 : 1, name);
        if (!refused) {
          assert.equal(host.messages[0]?.from, "from@a.example");
          assert.ok(host.messages[0]?.content.includes("MAIL FROM:<smuggled@a.example>"), name);
        }
        const doubtful = /\0/.test(odd) || (policy === "Deny" && /(?<!\r)\n|\r(?!\n)/.test(odd));
        assert.equal(refused, doubtful, name);
        // Refused for the whole, and nothing after it is run.
        assert.equal(host.closed, refused, name);
        host.checkRefusals();
      }
    }
  });
}

test("server: garbage of any kind is answered or ends the session, and never throws", () => {
  const word = fc.constantFrom(
    "EHLO a",
    "HELO",
    "MAIL FROM:<a@b.example>",
    "MAIL FROM:<>",
    "RCPT TO:<c@d.example>",
    "RCPT TO:<bad@d.example>",
    "DATA",
    "RSET",
    "NOOP",
    "QUIT",
    ".",
    "",
    "..x",
    " SIZE=5",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r",
    "\n",
    "\0",
    "\xff",
    "\xc3\xa9",
    "GET /",
    "\x16",
    "Subject: x",
    "<",
    ">",
    "y".repeat(1500),
  );
  const input = fc.oneof(
    fc.array(word, { maxLength: 40 }).map((words) => words.join("")),
    fc.string({ unit: "binary", maxLength: 300 }),
  );
  fc.assert(
    fc.property(input, fc.boolean(), fc.boolean(), fc.integer(), (text, enforceGroups, deny, seed) => {
      const bytes = Buffer.from(text, "latin1");
      const random = new SeededRandom(seed);
      const outcomes = [[], [1], randomLengths(random, 9)].map((lengths) => {
        const host = new Recorder({ enforceGroups, maxMessageSize: 2000, invalidLineEndings: deny ? "Deny" : "Fix" });
        host.verdicts.set("rcpt bad@d.example", new Reply(550, [5, 1, 1], "No such user"));
        host.machine.greet();
        feedCut(host.machine, bytes, lengths);
        host.machine.peerEnded();
        host.checkRefusals();
        assert.ok(host.closed);
        return { out: host.take(), messages: host.messages, rejections: host.rejections };
      });
      // With groups enforced it matters what came together; without, nothing depends on how the input was cut.
      if (enforceGroups) return;
      assert.deepEqual(outcomes[1], outcomes[0]);
      assert.deepEqual(outcomes[2], outcomes[0]);
    }),
    { numRuns: 1500 },
  );
});

test("server: a conversation with late verdicts is the one with prompt verdicts", () => {
  const command = fc.constantFrom(
    ENVELOPE,
    "MAIL FROM:<from@a.example>\r\n",
    "RCPT TO:<to@b.example>\r\n",
    "RSET\r\n",
    "NOOP\r\n",
    "DATA\r\n",
    ".\r\n",
    "hello\r\n",
  );
  fc.assert(
    fc.property(fc.array(command, { maxLength: 25 }), fc.integer(), (commands, seed) => {
      const bytes = Buffer.from(OPENING + commands.join(""));
      const random = new SeededRandom(seed);
      const [prompt, late] = [false, true].map((isLate) => {
        const host = new Recorder({ enforceGroups: false });
        host.finishLater = isLate;
        if (isLate)
          for (const about of ["mail from@a.example", "rcpt to@b.example", "data"]) host.verdicts.set(about, null);
        host.machine.greet();
        const settle = (): void => {
          for (;;) {
            if (host.machine.phase === "deciding") host.machine.answer(ACCEPT);
            else if (host.machine.phase === "storing") host.machine.finish(ACCEPT);
            else return;
          }
        };
        const lengths = randomLengths(random, 60);
        for (let at = 0, i = 0; at < bytes.length; i++) {
          const length = lengths[i % lengths.length] as number;
          feedCut(host.machine, bytes.subarray(at, at + length), []);
          at += length;
          if (random.next() < 0.3) settle();
        }
        settle();
        return { out: host.take(), messages: host.messages };
      });
      assert.deepEqual(late, prompt);
    }),
    { numRuns: 500 },
  );
});

test("server: replies of one piece are written at once", () => {
  const host = new Recorder();
  host.machine.greet();
  feedCut(host.machine, Buffer.from(OPENING), []);
  const before = host.writes;
  feedCut(host.machine, Buffer.from("NOOP\r\n".repeat(1000)), []);
  assert.equal(host.writes - before, 1);
  assert.equal(host.take().split("250 2.0.0 OK\r\n").length, 1001);
  // The end of a message among them changes nothing, when it is stored at once.
  feedCut(host.machine, Buffer.from(ENVELOPE), []);
  host.take();
  feedCut(host.machine, Buffer.from("hello\r\n.\r\nNOOP\r\nNOOP\r\n"), []);
  assert.equal(host.writes - before, 3);
  assert.equal(host.take(), "250 2.0.0 OK\r\n".repeat(3));
});

test("server: kept input that must wait again is not copied again", () => {
  const kept = new KeptInput();
  assert.ok(kept.add(Buffer.from("xMAIL\r\nRCPT\r\n"), 1, 13));
  const { buffer, start, end } = kept;
  kept.lend();
  assert.ok(kept.add(buffer, start + 6, end));
  kept.takeBack();
  assert.equal(kept.buffer, buffer);
  assert.deepEqual([kept.start, kept.end, kept.octets], [6, 12, 6]);
  assert.ok(kept.add(Buffer.from("DATA\r\n"), 0, 6));
  assert.equal(kept.buffer.toString("latin1", kept.start, kept.end), "RCPT\r\nDATA\r\n");
});

test("server: input that waits pauses the connection, and too much of it ends the session", () => {
  const host = inContent("Deny");
  host.finishLater = true;
  feedCut(host.machine, Buffer.from(".\r\n"), []);
  assert.equal(host.machine.phase, "storing");
  const noops = Buffer.from("NOOP\r\n".repeat(1000));
  assert.equal(host.machine.paused, false);
  for (let i = 0; i < 3; i++) feedCut(host.machine, noops, []);
  assert.equal(host.machine.paused, true);
  host.machine.finish(ACCEPT);
  assert.equal(host.machine.paused, false);
  assert.equal(host.take().split("\r\n").length - 1, 3001);

  feedCut(host.machine, Buffer.from(ENVELOPE), []);
  feedCut(host.machine, Buffer.from(".\r\n"), []);
  host.take();
  const flood = Buffer.alloc(256 * 1024, "NOOP\r\n");
  let fed = 0;
  while (!host.closed) {
    feedCut(host.machine, flood, []);
    fed += flood.length;
  }
  assert.ok(fed > MAX_KEPT_OCTETS && fed < 2 * MAX_KEPT_OCTETS);
  assert.match(host.take(), /^421 4\.7\.0 /);
  // The host still holds the message; it is the last to let go.
  host.machine.finish(ACCEPT);
});

test("server: a refused message without end is not read for ever", () => {
  const host = new Recorder({ maxMessageSize: 1000 });
  host.machine.greet();
  feedCut(host.machine, Buffer.from(OPENING), []);
  feedCut(host.machine, Buffer.from(ENVELOPE), []);
  host.take();
  const chunk = Buffer.alloc(1 << 20, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcd\r\n");
  let fed = 0;
  while (!host.closed) {
    host.machine.feed(chunk, 0, chunk.length);
    fed += chunk.length;
    assert.ok(fed <= 65 << 20);
  }
  assert.match(host.take(), /^421 4\.7\.0 /);
  assert.ok(host.pool.bytes <= 1 << 20);
});

test("server: a message's buffer serves the next one, and stays the host's when the connection is lost", () => {
  const host = inContent("Deny");
  host.finishLater = true;
  const buffers: Buffer[] = [];
  host.onContent = (content) => {
    content.prepend("Received: x\r\n");
    buffers.push(content.buffer);
    assert.equal(content.bytes().toString(), "Received: x\r\nhello\r\n");
  };
  feedCut(host.machine, Buffer.from("hello\r\n.\r\n"), []);
  host.machine.finish(ACCEPT);
  feedCut(host.machine, Buffer.from(ENVELOPE), []);
  feedCut(host.machine, Buffer.from("hello\r\n.\r\n"), []);
  assert.equal(buffers[1], buffers[0]);
  host.machine.peerLost();
  assert.equal(host.pool.bytes, 0, "not given to anybody else yet");
  assert.equal(host.machine.transaction.recipients.length, 1);
  host.machine.finish(ACCEPT);
  assert.ok(host.pool.bytes > 0);
  assert.equal(host.closed, false, "the host is not called again");
});

test("server: calls that the host must not make are panics", () => {
  const host = new Recorder();
  assert.throws(() => host.machine.finish(ACCEPT));
  host.machine.greet();
  assert.throws(() => host.machine.greet());
  assert.throws(() => host.machine.answer(ACCEPT));
});
