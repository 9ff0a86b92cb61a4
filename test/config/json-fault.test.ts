import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { jsonFault } from "../../src/config/json-fault.js";

function accepts(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** The message and what stands where it points. */
function fault(text: string): string | null {
  const found = jsonFault(text);
  return found && `${JSON.stringify(text.slice(found.at, found.at + 3))} ${found.message}`;
}

test("the first fault is found, and said in our own words", () => {
  const cases: readonly (readonly [string, string | null])[] = [
    [' {"a": [1, -2.5e3, true, null, "\\u00e9\\n"], "b": {}, "c": []}\n', null],
    ["", '"" the text ends, expected a value'],
    ['{"a": 1,\n}', '"}" found "}", expected a key in quotes'],
    ['{"a": 1\n"b": 2}', '"\\"b\\"" found "\\"b\\"", expected "," or "}"'],
    ["[1, 2", '"" the text ends, expected "," or "]"'],
    ["[1, ]", '"]" found "]", expected a value'],
    ["{a: 1}", '"a: " found "a", expected a key in quotes or "}"'],
    ['{"a" 1}', '"1}" found "1", expected ":"'],
    ["[01]", '"01]" found "01", expected a value or "]"'],
    ["{} x", '"x" found "x", expected the end of the text'],
    ['["open\n"]', '"\\"op" a string that has no end on its line, or a wrong escape in it'],
    ['["\\x"]', '"\\"\\\\x" a string that has no end on its line, or a wrong escape in it'],
    ["[1 // two\n]", '"// " found "/", expected "," or "]"'],
  ];
  for (const [text, expected] of cases) assert.equal(fault(text), expected, text);
});

test("it agrees with the parser on every text, and its place is inside", () => {
  const unit = fc.constantFrom(...'{}[]:," \n\t\\1-0.eEa', '"a"', '"\\u00', "true", "null", '":', "ü", "\u0001", "😀");
  const check = (text: string): void => {
    const found = jsonFault(text);
    assert.equal(found === null, accepts(text), text);
    assert.ok(found === null || (found.at <= text.length && !found.message.includes("\n")));
  };
  fc.assert(fc.property(fc.string({ unit, maxLength: 12 }), check), { numRuns: 3000 });
  fc.assert(
    fc.property(fc.json(), fc.nat(), (text, cut) => {
      check(text);
      check(text.slice(0, cut % (text.length + 1)));
    }),
  );
});

test("a file of the largest size is no trouble", () => {
  const size = 2 * 1024 * 1024;
  assert.equal(jsonFault(`"${"a".repeat(size)}"`), null);
  assert.equal(jsonFault(`"${"a".repeat(size)}`)?.at, 0);
  assert.equal(jsonFault(" ".repeat(size))?.at, size);
  assert.equal(jsonFault("[".repeat(size))?.at, size);
});
