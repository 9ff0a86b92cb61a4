import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatReply, Reply } from "../../src/smtp/reply.js";
import * as replies from "../../src/smtp/server-replies.js";
import { contentRefusal } from "../../src/smtp/server-replies.js";

test("reply: one line, with and without an enhanced code", () => {
  assert.equal(new Reply(250, [2, 1, 5], "Recipient OK").wire, "250 2.1.5 Recipient OK\r\n");
  assert.equal(new Reply(354, null, "Go on").wire, "354 Go on\r\n");
});

test("reply: foreign text can neither end the line nor leave ASCII", () => {
  const reply = new Reply(550, [5, 7, 1], "no\r\n250 yes \u00e9\u010a\0");
  assert.equal(reply.text, "no??250 yes ???");
  assert.equal(reply.wire, "550 5.7.1 no??250 yes ???\r\n");
});

test("reply: many ids become many lines, none too long, none lost", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 60 }), (lengths) => {
      const text = `OK ids=${lengths.map((length) => "f".repeat(length)).join(" ")}`;
      const lines = formatReply(250, [2, 0, 0], text).slice(0, -2).split("\r\n");
      for (const [i, line] of lines.entries()) {
        assert.ok(line.length <= 510);
        assert.ok(line.startsWith(i === lines.length - 1 ? "250 2.0.0 " : "250-2.0.0 "));
      }
      const said = lines.map((line) => line.slice(10)).join(" ");
      assert.equal(said.replaceAll(" ", ""), text.replaceAll(" ", ""));
      if (lengths.every((length) => length < 400)) assert.equal(said, text);
    }),
    { numRuns: 200 },
  );
});

test("reply: every constant is one line, with a code of its class, or none where none belongs", () => {
  let seen = 0;
  for (const [name, reply] of Object.entries(replies)) {
    if (!(reply instanceof Reply)) continue;
    seen++;
    assert.ok(reply.wire.length <= 512 && reply.wire.indexOf("\r\n") === reply.wire.length - 2, name);
    if (reply.enhanced !== null) assert.equal(reply.enhanced[0], Math.floor(reply.code / 100), name);
    else assert.ok(["SPOKE_FIRST", "BAD_HELLO", "START_INPUT"].includes(name), name);
  }
  assert.ok(seen > 40);
});

test("reply: of several faults of a content the doubtful bytes are told first", () => {
  assert.equal(contentRefusal(0), null);
  assert.equal(contentRefusal(15), replies.BARE_IN_CONTENT);
  assert.equal(contentRefusal(14), replies.NUL_IN_CONTENT);
  assert.equal(contentRefusal(12), replies.TOO_BIG);
  assert.equal(contentRefusal(8), replies.CONTENT_LINE_TOO_LONG);
});
