import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { bodyStart, countHops, fieldAt, fieldEnd, headerValue } from "../../src/mail/headers.js";

/** Runs a scan over text that lies in the middle of other bytes. */
function within<T>(text: string, scan: (buffer: Buffer, start: number, end: number) => T): T {
  const buffer = Buffer.from(`Received: before\r\n${text}Received: behind\r\n`);
  return scan(buffer, 18, buffer.length - 18);
}

const MESSAGE =
  "Received: from a\r\n\tby b\r\nSubject: one\r\n  two\r\nRECEIVED:x\r\nreceived \t: y\r\nX-Received: no\r\nTo: a@b\r\n\r\nReceived: body\r\n";

test("headers: hops are counted in the header section alone", () => {
  assert.equal(within(MESSAGE, countHops), 3);
  assert.equal(within("", countHops), 0);
  assert.equal(within("\r\nReceived: body\r\n", countHops), 0);
  assert.equal(within("Received", countHops), 0);
  assert.equal(within("Received:", countHops), 1);
  assert.equal(within("Received: a\n\nReceived: body\n", countHops), 1);
  assert.equal(within("Receivedx: a\r\n Received: folded\r\nReceive: c\r\n", countHops), 0);
  assert.equal(within("Received: 1\r\n".repeat(200), countHops), 200);
});

test("headers: the body begins behind the first empty line", () => {
  const at = within(MESSAGE, bodyStart) - 18;
  assert.equal(MESSAGE.slice(at), "Received: body\r\n");
  assert.equal(within("\r\nbody", bodyStart), 20);
  assert.equal(within("A: b\n\nbody", bodyStart), 24);
  assert.equal(within("A: b\r\n", bodyStart), 24);
  assert.equal(within("", bodyStart), 18);
});

test("headers: a value is unfolded, of the first field of its name, in any case", () => {
  const value = (text: string, name: string) =>
    within(text, (buffer, start, end) => headerValue(buffer, start, end, name));
  assert.equal(value(MESSAGE, "subject"), "one  two");
  assert.equal(value(MESSAGE, "received"), "from a\tby b");
  assert.equal(value(MESSAGE, "to"), "a@b");
  assert.equal(value(MESSAGE, "cc"), null);
  assert.equal(value("\r\nsubject: body\r\n", "subject"), null);
  assert.equal(value("Subject: gr\u00fc\u00dfe", "subject"), "gr\u00fc\u00dfe");
  assert.equal(value("Subject:", "subject"), "");
  assert.equal(value("X-Kumo-1: yes\r\n", "x-kumo-1"), "yes");
  assert.equal(value("X-KumoA1: no\r\n", "x-kumo-1"), null);
});

test("headers: a scan agrees with a reading by lines, and never leaves its bytes", () => {
  const piece = fc.constantFrom("Received:", "received :", "Subject: x", "\r\n", "\r\n", "\r\n ", "\n", "\r", "r", ":");
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
      const text = pieces.join("");
      const lines = text.split("\n").map((line, i, all) => (i < all.length - 1 ? line.replace(/\r$/, "") : line));
      const last = lines.findIndex((line, i) => line === "" && i < lines.length - 1);
      const section = last < 0 ? lines : lines.slice(0, last);
      assert.equal(within(text, countHops), section.filter((line) => /^received[ \t]*:/i.test(line)).length);
      assert.ok(within(text, bodyStart) <= 18 + text.length);
    }),
    { numRuns: 2000 },
  );
});

test("headers: a field is found in any case, in the header section alone, and taken with its folded lines", () => {
  const text = MESSAGE;
  const part = (name: string): string | null => {
    const buffer = Buffer.from(text);
    const at = fieldAt(buffer, 0, buffer.length, name);
    return at < 0 ? null : buffer.toString("latin1", at, fieldEnd(buffer, at, buffer.length));
  };
  assert.equal(part("subject"), "Subject: one\r\n  two\r\n");
  assert.equal(part("x-received"), "X-Received: no\r\n");
  assert.equal(part("received"), "Received: from a\r\n\tby b\r\n");
  assert.equal(part("x-other"), null);
  assert.equal(
    within("\r\nX-A: body\r\n", (buffer, start, end) => fieldAt(buffer, start, end, "x-a")),
    -1,
  );
  assert.equal(
    within("X-A", (buffer, start, end) => fieldAt(buffer, start, end, "x-a")),
    -1,
  );
});
