import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { EndOfData } from "../../src/sink/end-of-data.js";

/** Content of the bytes that matter, and a few others. */
const content = fc.array(fc.constantFrom("\r", "\n", ".", "\r\n", "\r\n.", "\r\n.\r", "x", "body of a line"), {
  maxLength: 12,
});

/** The oracle: the whole stream at once, the CRLF of the DATA line in front. */
function expected(stream: string): number {
  const at = `\r\n${stream}`.indexOf("\r\n.\r\n");
  return at < 0 ? -1 : at + 3;
}

test("the end is found wherever the chunks are cut, and in a dirty arena", () => {
  fc.assert(
    fc.property(content, fc.array(fc.nat({ max: 40 }), { maxLength: 8 }), (parts, cuts) => {
      const stream = parts.join("");
      const places = [...new Set(cuts.map((cut) => Math.min(cut, stream.length)))].sort((a, b) => a - b);
      const search = new EndOfData();
      let before = 0;
      let found = -1;
      for (const place of [...places, stream.length]) {
        // What lies around the chunk would complete an end if it were looked at.
        const arena = Buffer.from(`\r\n.\r\n${stream.slice(before, place)}\r\n.\r\n`, "latin1");
        const at = search.find(arena, 5, 5 + place - before);
        if (at >= 0) {
          found = before + at - 5;
          break;
        }
        before = place;
      }
      assert.equal(found, expected(stream));
    }),
    { numRuns: 2000 },
  );
});

test("an empty message, and a second one after it", () => {
  const search = new EndOfData();
  const bytes = Buffer.from(".\r\nQUIT\r\n");
  assert.equal(search.find(bytes, 0, bytes.length), 3);
  search.reset();
  assert.equal(search.find(Buffer.from("x.\r\n.\r"), 0, 6), -1);
  assert.equal(search.find(Buffer.from("\n"), 0, 1), 1);
});
