import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidArgumentError } from "commander";
import {
  durationArgument,
  listenArgument,
  percentArgument,
  rateArgument,
  recordKindArgument,
  sizesArgument,
  targetArgument,
  wholeArgument,
  wholeListArgument,
  zipfArgument,
} from "../../src/cli/arguments.js";

/** Readers, what they take for what, and what they refuse. */
const READERS: [read: (text: string) => unknown, good: Record<string, unknown>, bad: string[]][] = [
  [
    listenArgument,
    {
      "127.0.0.1:0": { host: "127.0.0.1", port: 0 },
      "2026": { host: "127.0.0.1", port: 2026 },
      "[::1]:25": { host: "::1", port: 25 },
    },
    ["", "localhost:25", "::1:25", "127.0.0.1", "127.0.0.1:65536", "127.0.0.1:x"],
  ],
  [
    targetArgument,
    { "mx.example:25": { host: "mx.example", port: 25 }, "192.0.2.1:25": { host: "192.0.2.1", port: 25 } },
    ["mx.example", "mx.example:0", "[mx.example]:25", "mx example:25"],
  ],
  [wholeArgument(1, 20_000), { "1": 1, "20,000": 20_000 }, ["", "0", "20001", "1.5", "x"]],
  [percentArgument, { "0": 0, "2.5%": 2.5, "100": 100 }, ["", "101", "-1", "%"]],
  [rateArgument, { "0.5": 0.5, "1_000": 1000 }, ["", "0", "-1", "fast"]],
  [durationArgument(1), { "20": 20, "1.5s": 1500 }, ["", "-1", "2 lightyears"]],
  [durationArgument(1000), { "20": 20_000, "500ms": 500 }, ["9d"]],
  [(text) => recordKindArgument(text), { Bounce: ["Bounce"], transientfailure: ["TransientFailure"] }, ["", "Foo"]],
  [
    (text) => sizesArgument(text)[0]?.bytes,
    { "1k": 1024, "2M": 2 * 1024 * 1024, "10KiB": 10_240, "2kB": 2000, "77": 77, mixed: 2048 },
    ["", "0", "2GiB", "k"],
  ],
  [zipfArgument, { "0": 0, "1.25": 1.25 }, ["", "-1", "11", "s"]],
  [
    wholeListArgument(1, 64),
    { "1,2,4": [1, 2, 4], "4, 1-3,2": [1, 2, 3, 4], "8": [8] },
    ["", "0", "1-65", "3-1", "1,,2"],
  ],
];

test("command-line values", () => {
  for (const [read, good, bad] of READERS) {
    for (const [text, value] of Object.entries(good)) assert.deepEqual(read(text), value, text);
    for (const text of bad) assert.throws(() => read(text), InvalidArgumentError, JSON.stringify(text));
  }
});

test("a type of record that does not exist is named with the nearest and with all that do; several add up", () => {
  assert.throws(
    () => recordKindArgument("Recption"),
    /^.*nearest is Reception\. Known: Reception, Delivery, Bounce, .*Rejection, Delayed\.$/,
  );
  assert.deepEqual(recordKindArgument("delayed", ["Bounce"]), ["Bounce", "Delayed"]);
});
