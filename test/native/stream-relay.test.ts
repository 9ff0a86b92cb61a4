import assert from "node:assert/strict";
import { once } from "node:events";
import { Duplex } from "node:stream";
import { test } from "node:test";
import { StreamRelay } from "../../src/native/stream-relay.js";

test("an end that is done with both ways may go while the other still takes what it said", async () => {
  let release: (() => void) | null = null;
  const written: string[] = [];
  const first = new Duplex({ allowHalfOpen: true, read() {}, write: (_chunk, _encoding, done) => done() });
  const second = new Duplex({
    allowHalfOpen: true,
    read() {},
    write(chunk: Buffer, _encoding, done) {
      written.push(chunk.toString());
      release = done;
    },
  });
  const ends: unknown[] = [];
  const start = { toFirst: new Uint8Array(), toSecond: new Uint8Array() };
  const relay = new StreamRelay(first, second, start, (fault) => ends.push(fault));
  second.push(null);
  first.push("last words");
  first.push(null);
  await once(first, "close");
  await new Promise(setImmediate);
  assert.deepEqual([second.destroyed, ends], [false, []]);
  assert.ok(release !== null);
  (release as () => void)();
  await once(second, "close");
  assert.deepEqual([written, ends, relay.toSecondBytes], [["last words"], [null], 10]);
});
