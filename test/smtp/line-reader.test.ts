import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { LineEvent, LineReader, MAX_COMMAND_OCTETS, MAX_SKIPPED_OCTETS } from "../../src/smtp/line-reader.js";

/** Everything that a reader reports about `input`, cut at the given lengths. */
function events(input: string, lengths: readonly number[]): string[] {
  const reader = new LineReader();
  const seen: string[] = [];
  const bytes = Buffer.from(input, "latin1");
  let fed = 0;
  for (let i = 0; fed < bytes.length; i++) {
    const length = lengths.length === 0 ? bytes.length : (lengths[i % lengths.length] as number);
    const chunk = Buffer.concat([Buffer.from("\n"), bytes.subarray(fed, fed + length), Buffer.from("\n")]);
    fed += length;
    let at = 1;
    while (at < chunk.length - 1) {
      const event = reader.next(chunk, at, chunk.length - 1);
      if (event === LineEvent.line) {
        const marks = (reader.high ? "H" : "") + (reader.control ? "C" : "");
        seen.push(`${marks}:${reader.buffer.toString("latin1", reader.start, reader.end)}`);
      } else if (event === LineEvent.tooLong) {
        seen.push("too long");
      } else if (event !== LineEvent.more) {
        return [...seen, event === LineEvent.bare ? "bare" : "flood"];
      }
      at = reader.at;
    }
    chunk.fill(0);
  }
  return [...seen, reader.inLine ? "inside" : "between"];
}

test("line reader: lines, marks and ends", () => {
  assert.deepEqual(events("EHLO a\r\n\r\nNOOP \xe9\r\nX\0\r\nplain\r\nQUI", []), [
    ":EHLO a",
    ":",
    "H:NOOP \xe9",
    "C:X\0",
    ":plain",
    "inside",
  ]);
  assert.deepEqual(events("NOOP\n", []), ["bare"]);
  assert.deepEqual(events("NOOP\r\nRSET\rX\r\n", []), [":NOOP", "bare"]);
  assert.deepEqual(events("NOOP\r\r\n", []), ["bare"]);
  assert.deepEqual(events("\r", []), ["inside"]);
});

test("line reader: limits", () => {
  const most = "x".repeat(MAX_COMMAND_OCTETS - 2);
  assert.deepEqual(events(`${most}\r\nA\r\n`, []), [`:${most}`, ":A", "between"]);
  assert.deepEqual(events(`${most}x\r\nA\r\n`, []), ["too long", ":A", "between"]);
  const skipped = "x".repeat(MAX_SKIPPED_OCTETS - 2);
  assert.deepEqual(events(`${skipped}\r\nA\r\n`, []), ["too long", ":A", "between"]);
  assert.deepEqual(events(`${skipped}x\r\nA\r\n`, []), ["flood"]);
  assert.deepEqual(events("x".repeat(MAX_SKIPPED_OCTETS), []), ["flood"]);
});

test("line reader: reports the same however the input is cut", () => {
  const piece = fc.oneof(
    fc.constantFrom("\r\n", "\r\n", "\r\n", "NOOP", "\xe9", "\0", " ", "\r", "\n", "\x7f"),
    fc.constantFrom(2040, 2046, 2047, 16_000).map((length) => "y".repeat(length)),
  );
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 12 }),
      fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1 }),
      (pieces, cuts) => {
        const input = pieces.join("");
        const whole = events(input, []);
        assert.deepEqual(events(input, [1]), whole);
        assert.deepEqual(events(input, cuts), whole);
        assert.deepEqual(events(input, [3000]), whole);
      },
    ),
    { numRuns: 300 },
  );
});
