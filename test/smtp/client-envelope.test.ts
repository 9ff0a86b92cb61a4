import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { NO_CAPABILITIES, parseCapabilities } from "../../src/smtp/client-capabilities.js";
import { addressKind, mailLine, rcptCommand } from "../../src/smtp/client-envelope.js";
import { message } from "./client-harness.js";

test("what an address is made of", () => {
  const rows: readonly [string, string][] = [
    ["", "ascii"],
    ["a@b.example", "ascii"],
    ["a+b=c%d@[IPv6:2001:db8::1]", "ascii"],
    ['"a b"@c.example', "ascii"],
    ['"a<b>c"@d.example', "ascii"],
    ['"a\\"> b"@c.example', "ascii"],
    ["j\u00f6@b.example", "utf8"],
    ['"j \u00f6"@b.example', "utf8"],
    ["a b@c.example", "unsafe"],
    ["a@b.example> SIZE=1", "unsafe"],
    ["a@b.example>", "unsafe"],
    ["<a@b.example", "unsafe"],
    ['"a" b@c.example', "unsafe"],
    ['"a\\" > b@c.example', "unsafe"],
    ['"a', "unsafe"],
    ["a\r\nDATA@b.example", "unsafe"],
    ['"a\n"@b.example', "unsafe"],
    ["a\u0000@b.example", "unsafe"],
    ["a\u0085@b.example", "unsafe"],
    ["a\u2028@b.example", "unsafe"],
    ["\u00f6 b@c.example", "unsafe"],
  ];
  for (const [address, kind] of rows) assert.equal(addressKind(address), kind, JSON.stringify(address));
});

test("an address that may be written stays inside its brackets and on its line", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("a", "@", ".", '"', "\\", "<", ">", " ", "\r", "\n", "\u00f6") }),
      (text) => {
        if (addressKind(text) === "unsafe") return;
        const inside = rcptCommand(text)
          .slice("RCPT TO:".length)
          .replace(/"(?:\\.|[^"\\])*"/g, "");
        assert.match(inside, /^<[^<> \r\n]*>$/);
      },
    ),
    { numRuns: 1000 },
  );
});

test("capabilities", () => {
  const peer = parseCapabilities([
    "mx PIPELINING",
    "size 100",
    "8BitMime",
    "SMTPUTF8 ",
    "AUTH=LOGIN PLAIN",
    "AUTH PLAIN",
    "?",
    "",
  ]);
  assert.equal(peer.pipelining, false, "the first line is a name, not an offer");
  assert.equal(peer.size && peer.eightBitMime && peer.smtpUtf8, true);
  assert.equal(peer.maxSize, 100);
  assert.deepEqual(
    [...peer.keywords],
    [
      ["SIZE", "100"],
      ["8BITMIME", ""],
      ["SMTPUTF8", ""],
      ["AUTH", "LOGIN PLAIN"],
    ],
  );
  for (const line of ["SIZE", "SIZE 0", "SIZE -5", "SIZE 12x", `SIZE ${"9".repeat(20)}`, `SIZE ${"9".repeat(21)}`]) {
    const odd = parseCapabilities(["mx", line]);
    assert.equal(odd.size, true, line);
    assert.equal(odd.maxSize, 0, line);
  }
});

test("parameters are said only when offered and needed", () => {
  const all = parseCapabilities(["mx", "SIZE", "8BITMIME", "SMTPUTF8"]);
  const heavy = message({ has8bit: true, needsUtf8: true });
  assert.equal(mailLine(heavy, 5, true, NO_CAPABILITIES), "MAIL FROM:<from@a.example>");
  assert.equal(mailLine(heavy, 5, true, all), "MAIL FROM:<from@a.example> SIZE=5 BODY=8BITMIME SMTPUTF8");
  assert.equal(mailLine(message({ sender: "" }), 5, false, all), "MAIL FROM:<> SIZE=5");
});
