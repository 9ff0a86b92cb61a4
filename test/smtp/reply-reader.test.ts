import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { splitEnhancedCode } from "../../src/smtp/enhanced-code.js";
import {
  cutText,
  KEPT_LINE_BYTES,
  MAX_CONTENT_CHARS,
  MAX_LINE_BYTES,
  MAX_REPLY_LINES,
  type PeerReply,
  ReplyReader,
} from "../../src/smtp/reply-reader.js";

/** Reads all of `bytes`, cut into chunks of the given lengths in turn. */
function readAll(bytes: Buffer, cuts: readonly number[] = []): { replies: PeerReply[]; fault: string | null } {
  const reader = new ReplyReader();
  const replies: PeerReply[] = [];
  let from = 0;
  for (let i = 0; from < bytes.length && reader.fault === null; i++) {
    const to = cuts.length === 0 ? bytes.length : Math.min(bytes.length, from + (cuts[i % cuts.length] ?? 1));
    // Each chunk is a copy that is overwritten afterwards: the reader must not look at it again.
    const chunk = Buffer.concat([Buffer.from("##"), bytes.subarray(from, to), Buffer.from("\n299 stale\r\n")]);
    let at = 2;
    while (at < 2 + to - from && reader.fault === null) {
      at = reader.read(chunk, at, 2 + to - from);
      const reply = reader.take();
      if (reply !== null) replies.push(reply);
    }
    chunk.fill(0x23);
    from = to;
  }
  return { replies, fault: reader.fault };
}

function one(text: string): PeerReply {
  const { replies, fault } = readAll(Buffer.from(text));
  assert.equal(fault, null);
  assert.equal(replies.length, 1);
  return replies[0];
}

test("one line", () => {
  assert.deepEqual(one("250 2.1.5 Ok, fine\r\n"), {
    code: 250,
    enhanced: [2, 1, 5],
    content: "Ok, fine",
    lines: ["2.1.5 Ok, fine"],
  });
  assert.deepEqual(one("354\r\n"), { code: 354, enhanced: null, content: "", lines: [""] });
  assert.deepEqual(one("599 \r\n"), { code: 599, enhanced: null, content: "", lines: [""] });
});

test("several lines become one, with the enhanced code said once", () => {
  const reply = one("550-5.7.1 Not from\r\n550-5.7.1 this address,\r\n550-\r\n550 see policy 5.7.1\r\n");
  assert.deepEqual(reply.enhanced, [5, 7, 1]);
  assert.equal(reply.content, "Not from this address,  see policy 5.7.1");
  assert.equal(reply.lines.length, 4);
});

test("a bare LF ends a line too", () => {
  assert.equal(one("250-a\n250 b\n").content, "a b");
});

test("an enhanced code of another class is text", () => {
  const reply = one("450 5.1.1 odd\r\n");
  assert.equal(reply.enhanced, null);
  assert.equal(reply.content, "5.1.1 odd");
  assert.equal(splitEnhancedCode("2.0.0x", 250), null);
  assert.equal(splitEnhancedCode("2.0", 250), null);
  assert.deepEqual(splitEnhancedCode("4.7.650  later", 451), { enhanced: [4, 7, 650], rest: "later" });
  assert.deepEqual(splitEnhancedCode("2.0.0", 250), { enhanced: [2, 0, 0], rest: "" });
  assert.equal(splitEnhancedCode("3.0.0 go", 354), null);
});

test("what is no reply is a fault", () => {
  const bad = [
    "\r\n",
    "25\r\n",
    "25x ok\r\n",
    "150 wait\r\n",
    "600 x\r\n",
    "250_ok\r\n",
    "2500 ok\r\n",
    " 250 ok\r\n",
    "HTTP/1.1 400 Bad Request\r\n",
    "250-a\r\n251 b\r\n",
    "250-a\r\nb\r\n",
  ];
  for (const text of bad) assert.notEqual(readAll(Buffer.from(text)).fault, null, JSON.stringify(text));
});

test("the fault quotes a little of the line, made printable", () => {
  const { fault } = readAll(Buffer.from(`SSH-2.0\u0007${"x".repeat(500)}\r\n`));
  assert.equal(fault, `not a reply: "SSH-2.0?${"x".repeat(72)}"`);
});

test("bytes that could end a field are made harmless", () => {
  const reply = one("550 a\rb\u0000c\td\u0085e\u2028f\u202eg\r\n");
  assert.equal(reply.content, "a?b?c d?e?f?g");
  const { replies } = readAll(Buffer.from([0x35, 0x35, 0x30, 0x20, 0xff, 0xc3, 0xa9, 0x0d, 0x0a]));
  assert.equal(replies[0].content, "\ufffd\u00e9");
});

test("limits: line, lines, reply; a little less is fine", () => {
  const longest = `250 ${"x".repeat(MAX_LINE_BYTES - 6)}\r\n`;
  assert.equal(longest.length, MAX_LINE_BYTES);
  assert.equal(one(longest).content.length, KEPT_LINE_BYTES);
  for (const cuts of [[], [1], [700]]) {
    const tooLong = Buffer.from(`250 ${"x".repeat(MAX_LINE_BYTES - 5)}\r\n`);
    assert.equal(readAll(tooLong, cuts).fault, "reply line too long");
    // No end of the line is waited for.
    assert.equal(readAll(Buffer.alloc(MAX_LINE_BYTES, "2"), cuts).fault, "reply line too long");
    assert.equal(readAll(Buffer.from("250-a\r\n".repeat(MAX_REPLY_LINES + 1)), cuts).fault, "reply of too many lines");
    const large = Buffer.from(`250-${"y".repeat(1000)}\r\n`.repeat(17));
    assert.equal(readAll(large, cuts).fault, "reply too large");
  }
  const many = `${"250-a\r\n".repeat(MAX_REPLY_LINES - 1)}250 a\r\n`;
  assert.equal(one(many).lines.length, MAX_REPLY_LINES);
  const wide = `${`550-${"z".repeat(500)}\r\n`.repeat(9)}550 end\r\n`;
  assert.equal(one(wide).content.length, MAX_CONTENT_CHARS);
});

test("the limits are counted anew for each reply", () => {
  const text = Buffer.from(`250 ${"x".repeat(900)}\r\n`.repeat(60));
  for (const cuts of [[], [1], [333]]) {
    const { replies, fault } = readAll(text, cuts);
    assert.equal(fault, null);
    assert.equal(replies.length, 60);
  }
});

test("a text is not cut inside a character", () => {
  assert.equal(cutText("ab\u{1f600}", 3), "ab");
  assert.equal(cutText("ab\u{1f600}", 4), "ab\u{1f600}");
});

const replyText = fc
  .tuple(
    fc.constantFrom(220, 250, 354, 421, 450, 550),
    fc.array(fc.stringMatching(/^[ -~\u00e9]{0,30}$/), { minLength: 1, maxLength: 4 }),
  )
  .map(([code, lines]) => lines.map((line, i) => `${code}${i === lines.length - 1 ? " " : "-"}${line}\r\n`).join(""));

test("chunks do not matter", () => {
  const cuts = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 });
  const garbage = fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(fc.array(replyText, { maxLength: 6 }), garbage, cuts, (texts, tail, lengths) => {
      const bytes = Buffer.concat([Buffer.from(texts.join("")), tail]);
      assert.deepEqual(readAll(bytes, lengths), readAll(bytes));
      assert.ok(readAll(bytes).replies.length >= texts.length);
    }),
    { numRuns: 400 },
  );
});

test("noise is never thrown at the caller and never leaves an unprintable character", () => {
  const noise = fc.array(
    fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      replyText.map((text) => Buffer.from(text)),
    ),
  );
  fc.assert(
    fc.property(noise, (parts) => {
      for (const reply of readAll(Buffer.concat(parts)).replies) {
        assert.doesNotMatch(reply.content, /[\u0000-\u001f\u007f-\u009f]/);
        assert.ok(reply.content.length <= MAX_CONTENT_CHARS);
      }
    }),
    { numRuns: 400 },
  );
});
