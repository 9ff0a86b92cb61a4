import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { nearest } from "../../src/config/nearest.js";

test("the nearest word", () => {
  const cases: readonly (readonly [string, readonly string[], string | null])[] = [
    ["hots", ["hat", "host"], "host"],
    ["durabilty", ["path", "durability"], "durability"],
    ["maxReady", ["max_age", "max_ready"], "max_ready"],
    ["MAX-READY", ["max_age", "max_ready"], "max_ready"],
    ["smtp", ["node", "dns", "smtp_listener"], "smtp_listener"],
    ["listener_of_http", ["log", "listen"], "listen"],
    ["x", [], null],
    ["", ["a", "bb"], "a"],
  ];
  for (const [word, known, expected] of cases) assert.equal(nearest(word, known), expected, word);
});

test("a known word is its own nearest, and long words are no work", () => {
  const words = fc.uniqueArray(fc.stringMatching(/^[a-z]{1,8}$/), { minLength: 1, maxLength: 8 });
  fc.assert(
    fc.property(words, fc.nat(), (known, at) => {
      const word = known[at % known.length] ?? "";
      assert.equal(nearest(word, known), word);
    }),
  );
  assert.equal(nearest("x".repeat(1_000_000), ["a", "xx"]), "xx");
});
