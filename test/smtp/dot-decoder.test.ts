import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { BufferPool } from "../../src/base/buffer-pool.js";
import type { ScanContent } from "../../src/native/content-scan.js";
import { loadNative } from "../../src/native/load.js";
import { Content } from "../../src/smtp/content.js";
import { ContentFault, DotDecoder } from "../../src/smtp/dot-decoder.js";

interface Limits {
  readonly maxOctets?: number;
  readonly maxLineOctets?: number;
  readonly denyBare?: boolean;
  readonly scan?: ScanContent;
}

interface Decoded {
  readonly content: string;
  readonly rest: string;
  readonly done: boolean;
  readonly faults: number;
  readonly octets: number;
  readonly marks: string;
}

const pool = new BufferPool(1 << 20);

/** Decodes `input`, cut at the given lengths, each piece at another place of a buffer whose other bytes are traps. */
function decode(input: string, lengths: readonly number[], limits: Limits = {}): Decoded {
  const content = new Content(pool);
  const decoder = new DotDecoder({ maxOctets: 0, maxLineOctets: 998, denyBare: false, ...limits }, content);
  content.begin(0);
  decoder.begin();
  const bytes = Buffer.from(input, "latin1");
  let at = 0;
  for (let i = 0; at < bytes.length && !decoder.done; i++) {
    const length = lengths.length === 0 ? bytes.length : (lengths[i % lengths.length] as number);
    const piece = bytes.subarray(at, at + length);
    const offset = (i % 5) + 4;
    const arena = Buffer.alloc(piece.length + offset + 8, "\xff\0\r\n");
    piece.copy(arena, offset);
    at += decoder.decode(arena, offset, offset + piece.length) - offset;
  }
  const { has8bit, hasDotLines, wasRepaired, longestLine } = content;
  const decoded = {
    content: content.bytes().toString("latin1"),
    rest: input.slice(at),
    done: decoder.done,
    faults: decoder.faults,
    octets: decoder.octets,
    marks: decoder.faults === 0 ? JSON.stringify({ has8bit, hasDotLines, wasRepaired, longestLine }) : "",
  };
  content.clear();
  return decoded;
}

/**
 * The same by other means: the end is the first CRLF dot CRLF (or dot CRLF at the very beginning), dots go by a pattern,
 * and bare line ends are put right afterwards.
 */
function reference(input: string): { content: string; rest: string } | null {
  const framed = `\r\n${input}`;
  const end = framed.indexOf("\r\n.\r\n");
  if (end < 0) return null;
  const lines = framed
    .slice(0, end + 2)
    .replace(/\r\n\./g, "\r\n")
    .slice(2);
  return { content: lines.replace(/\r\n|\r|\n/g, "\r\n"), rest: framed.slice(end + 5) };
}

/** Content as a client sends it. */
function encode(content: string): string {
  return `${`\r\n${content}`.replace(/\r\n\./g, "\r\n..").slice(2)}.\r\n`;
}

const cuts = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 8 });
const pieces = fc.array(
  fc.constantFrom(
    "\r\n",
    "\r\n",
    "\r\n.",
    ".\r\n",
    "\r\n.\r\n",
    "\r",
    "\n",
    ".",
    "\0",
    "a",
    "hello there",
    "\xe9",
    "\t",
  ),
  { maxLength: 25 },
);

test("dot decoder: the addon's scan says what the script's says, also where lines are long and the cut is anywhere", (t) => {
  const { kind, scanContent } = loadNative();
  if (kind !== "addon") {
    t.skip("the addon is not built");
    return;
  }
  const line = fc.oneof(
    fc.string({ unit: fc.constantFrom("a", "b", ".", "\xe9", "\t"), maxLength: 120 }),
    fc.string({ unit: fc.constantFrom("a", "\r", "\n", "\0", "."), maxLength: 20 }),
  );
  const text = fc
    .array(line, { minLength: 30, maxLength: 120 })
    .map((lines) => `${lines.join("\r\n")}\r\n.\r\nRSET\r\n`);
  const large = fc.array(fc.integer({ min: 1, max: 5000 }), { maxLength: 4 });
  fc.assert(
    fc.property(text, large, fc.boolean(), (input, lengths, denyBare) => {
      // What is behind the end makes the run long enough for the addon.
      const whole = `${"x".repeat(30)}\r\n${input}${"NOOP\r\n".repeat(500)}`;
      assert.deepEqual(decode(whole, lengths, { denyBare, scan: scanContent }), decode(whole, [], { denyBare }));
    }),
    { numRuns: 400 },
  );
});

test("dot decoder: agrees with the reference on anything, however it is cut", () => {
  fc.assert(
    fc.property(pieces, cuts, (parts, lengths) => {
      const input = parts.join("");
      const whole = decode(input, []);
      const expected = reference(input);
      assert.equal(whole.done, expected !== null);
      if (expected !== null) {
        assert.equal(whole.rest, expected.rest);
        if (whole.faults === 0) assert.equal(whole.content, expected.content);
        const seen = input.slice(0, input.length - whole.rest.length);
        assert.equal((whole.faults & ContentFault.nul) !== 0, seen.includes("\0"));
        if (whole.faults === 0) {
          assert.equal(whole.marks.includes('"has8bit":true'), seen.includes("\xe9"));
          assert.equal(whole.marks.includes('"hasDotLines":true'), /(?:^|\r\n)\./.test(expected.content));
          const longest = Math.max(...expected.content.split("\r\n").map((line) => line.length));
          assert.ok(whole.marks.endsWith(`"longestLine":${longest}}`), whole.marks);
        }
      }
      for (const lengthsOf of [[1], [2, 3], lengths]) assert.deepEqual(decode(input, lengthsOf), whole);
    }),
    { numRuns: 3000 },
  );
});

test("dot decoder: gives back what was encoded", () => {
  const line = fc.string({ unit: fc.constantFrom(".", "a", " ", "\xe9", "x\t"), maxLength: 90 });
  fc.assert(
    fc.property(fc.array(line, { maxLength: 30 }), cuts, (lines, lengths) => {
      const content = lines.map((each) => `${each}\r\n`).join("");
      const decoded = decode(`${encode(content)}QUIT\r\n`, lengths);
      assert.equal(decoded.content, content);
      assert.equal(decoded.rest, "QUIT\r\n");
      assert.equal(decoded.octets, content.length);
    }),
    { numRuns: 500 },
  );
});

test("dot decoder: an event at every place of a word, at every alignment", () => {
  for (let before = 0; before < 24; before++) {
    for (const middle of ["\r\n", "\n", "\r", "\0", "\r\n..", "\xe9", "\t", "\r\n\r\n"]) {
      for (let first = 1; first < 6; first++) {
        const input = `${"a".repeat(before)}${middle}${"b".repeat(17)}\r\n.\r\n`;
        assert.deepEqual(decode(input, [first, 1000]), decode(input, [1]));
      }
    }
  }
});

test("dot decoder: with denial, any bare line end dooms the message and nothing is kept", () => {
  fc.assert(
    fc.property(pieces, cuts, (parts, lengths) => {
      const input = `${parts.join("")}\r\n.\r\n`;
      const decoded = decode(input, lengths, { denyBare: true });
      const expected = reference(input);
      assert.ok(expected !== null && decoded.done);
      assert.equal(decoded.rest, expected.rest);
      const seen = input.slice(0, input.length - decoded.rest.length);
      assert.equal((decoded.faults & ContentFault.bareLineEnd) !== 0, /(?<!\r)\n|\r(?!\n)/.test(seen));
      if (decoded.faults !== 0) assert.equal(decoded.content, "");
    }),
    { numRuns: 1000 },
  );
});

test("dot decoder: limits of size and line count what is kept, to the octet", () => {
  const fits = encode(`${"x".repeat(98)}\r\n..\r\n`);
  assert.equal(decode(fits, [7], { maxOctets: 104 }).faults, 0);
  assert.equal(decode(fits, [7], { maxOctets: 103 }).faults, ContentFault.tooBig);
  assert.equal(decode(fits, [7], { maxLineOctets: 98 }).faults, 0);
  assert.equal(decode(fits, [7], { maxLineOctets: 97 }).faults, ContentFault.longLine);
  assert.equal(decode(`.${"x".repeat(98)}\r\n.\r\n`, [1], { maxLineOctets: 98 }).faults, 0);
});

test("dot decoder: content too large or a line without end holds no memory", () => {
  const content = new Content(pool);
  for (const [text, maxOctets] of [
    ["0123456789abcdef\r\n".repeat(1000), 10_000],
    ["x".repeat(20_000), 0],
  ] as const) {
    const decoder = new DotDecoder({ maxOctets, maxLineOctets: 998, denyBare: true }, content);
    content.begin(0);
    decoder.begin();
    const chunk = Buffer.from(text);
    for (let i = 0; i < 50; i++) decoder.decode(chunk, 0, chunk.length);
    assert.equal(content.buffer.length, 0);
    assert.equal(decoder.octets, 50 * chunk.length);
    assert.ok(!decoder.done);
  }
});
