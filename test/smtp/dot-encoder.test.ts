import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { endOfData, endsLine, wireSize, withCrlfLineEnds, writeStuffed } from "../../src/smtp/dot-encoder.js";

/** What goes over the wire, and in how many pieces. */
function stuffed(content: Buffer): { bytes: Buffer; pieces: Uint8Array[] } {
  const pieces: Uint8Array[] = [];
  writeStuffed(content, { writeBytes: (bytes) => void pieces.push(bytes) });
  return { bytes: Buffer.concat(pieces), pieces };
}

/** The rule of RFC 5321 §4.5.2, in the plainest way. */
function reference(content: Buffer): string {
  return content
    .toString("latin1")
    .split("\r\n")
    .map((line) => (line.startsWith(".") ? `.${line}` : line))
    .join("\r\n");
}

/** Content made of what matters: line ends, dots, and runs of text long enough to part dense from sparse stretches. */
const tricky = fc
  .array(
    fc.oneof(
      { weight: 4, arbitrary: fc.constantFrom("\r\n", "\r\n.", ".", "..", "\r\n.\r\n", "a", "\r", "\n") },
      { weight: 1, arbitrary: fc.integer({ min: 1, max: 1500 }).map((length) => "x".repeat(length)) },
    ),
    { maxLength: 40 },
  )
  .map((parts) => Buffer.from(parts.join(""), "latin1"));

test("stuffing agrees with the plain rule", () => {
  fc.assert(
    fc.property(tricky, (content) => {
      assert.equal(stuffed(content).bytes.toString("latin1"), reference(content));
    }),
    { numRuns: 1000 },
  );
});

test("dense dots across the borders of the copied stretches", () => {
  for (let shift = 0; shift < 8; shift++) {
    // Once shifted before the first stretch, once inside of it, so that it ends on each byte of CR LF dot.
    for (const head of [`${"y".repeat(shift)}`, `.${"y".repeat(shift)}`]) {
      const content = Buffer.from(`${head}${"\r\n.".repeat(30_000)}tail`, "latin1");
      assert.equal(stuffed(content).bytes.toString("latin1"), reference(content));
    }
  }
});

test("a message of nothing but dots goes out in few pieces", () => {
  const { pieces } = stuffed(Buffer.from(".\r\n".repeat(200_000), "latin1"));
  // One copy for each 16 KiB, and the few bytes that lie between two copies.
  assert.ok(pieces.length <= 2 * Math.ceil(600_000 / 16_384), `${pieces.length} pieces`);
});

test("sparse dots are doubled without copying", () => {
  const line = `${"z".repeat(900)}\r\n`;
  const content = Buffer.from(`${line}.a\r\n${line}.b\r\n${line}`, "latin1");
  const { bytes, pieces } = stuffed(content);
  assert.equal(bytes.toString("latin1"), reference(content));
  assert.equal(pieces.length, 3);
  for (const piece of pieces) assert.equal(piece.buffer, content.buffer);
});

test("content without dot lines is one piece: itself", () => {
  const content = Buffer.from("a.b\r\nc.\r\n");
  assert.deepEqual(stuffed(content).pieces, [content]);
  assert.deepEqual(stuffed(Buffer.alloc(0)).pieces, []);
});

test("the end of data stands on a line of its own", () => {
  assert.equal(endOfData(Buffer.from("a\r\n")), ".\r\n");
  assert.equal(endOfData(Buffer.from("")), ".\r\n");
  assert.equal(endOfData(Buffer.from("\r\n")), ".\r\n");
  for (const text of ["a", "a\n", "\n", "a\r", "."]) assert.equal(endOfData(Buffer.from(text)), "\r\n.\r\n", text);
});

test("the size counts the line end that will be added, not dots", () => {
  assert.equal(wireSize(Buffer.from(".a\r\n")), 4);
  assert.equal(wireSize(Buffer.from("abc")), 5);
  assert.equal(wireSize(Buffer.alloc(0)), 0);
});

test("bare line ends become whole ones", () => {
  assert.equal(withCrlfLineEnds(Buffer.from("a\nb\rc\r\nd\r\r\n\n")).toString(), "a\r\nb\r\nc\r\nd\r\n\r\n\r\n");
  fc.assert(
    fc.property(tricky, (content) => {
      const whole = withCrlfLineEnds(content).toString("latin1");
      assert.equal(whole, content.toString("latin1").replace(/\r\n|\r|\n/g, "\r\n"));
    }),
  );
});

test("whatever the content, the peer finds exactly one end of data", () => {
  fc.assert(
    fc.property(tricky, (content) => {
      const whole = withCrlfLineEnds(content);
      const wire = `\r\n${stuffed(whole).bytes.toString("latin1")}${endOfData(whole)}`;
      assert.equal(wire.indexOf("\r\n.\r\n"), wire.length - 5);
      assert.doesNotMatch(wire, /\r[^\n]|[^\r]\n/);
      const received = wire.slice(2, -3).replace(/^\./gm, "");
      assert.equal(received, endsLine(whole) ? whole.toString("latin1") : `${whole.toString("latin1")}\r\n`);
    }),
  );
});
