/** Files that a crash of the machine may leave, built from the recorded writes of a run. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { untestable } from "../support/untestable.js";
import { crashImages, traceRefusal } from "../torture/crash-images.js";
import { readTrace } from "../torture/write-trace.js";

test("whatever part of its writes the disk has: the shard opens, and everything promised is there, whole", async (t) => {
  const refusal = traceRefusal();
  if (refusal !== null) {
    untestable(t, `crash images: ${refusal}`);
    return;
  }
  t.diagnostic(await crashImages(31, 150));
});

test("what was being sent when the process was killed counts as sent", () => {
  const hex = (text: string): string =>
    [...Buffer.from(text)].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
  const send = `7 sendto(5<socket>, "${hex("250 2.0.0 OK ids=aa bb\r\n")}", 24, 0, NULL, 0`;
  assert.deepEqual(readTrace(`${send} <unfinished ...>) = ?\n${send}) = ?\n`, "data.mdb"), [
    { kind: "ack", ids: ["aa", "bb"] },
    { kind: "ack", ids: ["aa", "bb"] },
  ]);
});
