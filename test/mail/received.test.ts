import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { headerDate, protocolWord, receivedHeader, tracePrefix } from "../../src/mail/received.js";
import { HEAD_ROOM } from "../../src/smtp/content.js";

const ID = "0190163da1f27000800012ab34cd56ef";

test("received: as RFC 5321 has it, folded", () => {
  const prefix = tracePrefix({ helloName: "client.example", clientAddress: "192.0.2.1", hostname: "mx.example" });
  assert.equal(
    receivedHeader(prefix, "ESMTP", ID, "to@b.example", 1_764_000_191_999),
    "Received: from client.example ([192.0.2.1])\r\n\tby mx.example with ESMTP id " +
      `${ID}\r\n\tfor <to@b.example>;\r\n\tMon, 24 Nov 2025 16:03:11 +0000\r\n`,
  );
  assert.equal(
    receivedHeader(prefix, "SMTP", ID, null, 0),
    `Received: from client.example ([192.0.2.1])\r\n\tby mx.example with SMTP id ${ID};\r\n\tThu, 01 Jan 1970 00:00:00 +0000\r\n`,
  );
});

test("received: an IPv6 client and a literal as name", () => {
  const prefix = tracePrefix({ helloName: "[IPv6:2001:db8::2]", clientAddress: "2001:db8::1", hostname: "mx.example" });
  assert.ok(prefix.startsWith("Received: from [IPv6:2001:db8::2] ([IPv6:2001:db8::1])\r\n\tby "));
});

test("received: the word tells how a message came", () => {
  const of = (extended: boolean, tls: boolean, authenticated: boolean, smtpUtf8: boolean) =>
    protocolWord({ extended, tls, authenticated, smtpUtf8 });
  assert.equal(of(false, false, false, false), "SMTP");
  assert.equal(of(true, false, false, false), "ESMTP");
  assert.equal(of(true, true, false, false), "ESMTPS");
  assert.equal(of(true, false, true, false), "ESMTPA");
  assert.equal(of(true, true, true, false), "ESMTPSA");
  assert.equal(of(true, false, false, true), "UTF8SMTP");
  assert.equal(of(true, true, true, true), "UTF8SMTPSA");
});

test("received: the date is that of its second, also when an earlier one is asked for again", () => {
  assert.equal(headerDate(1_000), "Thu, 01 Jan 1970 00:00:01 +0000");
  assert.equal(headerDate(999), "Thu, 01 Jan 1970 00:00:00 +0000");
  assert.equal(headerDate(1_999), "Thu, 01 Jan 1970 00:00:01 +0000");
});

test("received: no claim of a client ends the line, a comment or the clause, and the header fits its room", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "binary", maxLength: 400 }),
      fc.string({ unit: "binary", maxLength: 64 }),
      (name, local) => {
        const prefix = tracePrefix({ helloName: name, clientAddress: "192.0.2.1", hostname: "m".repeat(255) });
        const header = receivedHeader(prefix, "UTF8SMTPSA", ID, `${local}@${"b".repeat(190)}`, 0);
        assert.match(header, /^Received: from [A-Za-z0-9.:_[\]?-]+ \(\[192\.0\.2\.1\]\)\r\n\tby m+ with /);
        const lines = header.slice(0, -2).split("\r\n");
        assert.equal(lines.length, 4);
        for (const line of lines) assert.ok(!/[\r\n\0]/.test(line) && line.length <= 998);
        assert.ok(Buffer.byteLength(header) <= HEAD_ROOM);
      },
    ),
    { numRuns: 500 },
  );
});
