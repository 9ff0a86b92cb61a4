import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { MetaValue } from "../../../src/worker/spool/envelope.js";
import {
  encodeRow,
  packCommon,
  patchRow,
  RowHeader,
  readEnvelope,
  readHeader,
  readQueue,
} from "../../../src/worker/spool/row-codec.js";
import { reception } from "./helpers.js";

// Without `__proto__`, which msgpackr writes as `__proto_` on purpose: see the test below.
const meta = fc
  .option(fc.dictionary(fc.string(), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 4 }), { nil: null })
  .filter((value) => !JSON.stringify(value).includes("__proto__"));
const word = fc.string({ unit: "grapheme", maxLength: 80 });

test("a key that would change an object's prototype is stored under another name and changes nothing", () => {
  const hostile = JSON.parse('{"__proto__":{"polluted":true},"x":1}') as { readonly [name: string]: MetaValue };
  const row = encodeRow("q", "r@x", packCommon("s@x", reception, hostile), 0, 1, 2, 3, 0, 0);
  const header = new RowHeader();
  assert.equal(readHeader(row, header), null);
  const stored = readEnvelope(row, header)?.meta;
  assert.equal(JSON.stringify(stored), '{"__proto_":{"polluted":true},"x":1}');
  assert.equal(Object.getPrototypeOf(stored), Object.prototype);
});

test("a row gives back what was put into it, also after it was patched", () => {
  fc.assert(
    fc.property(
      word,
      word,
      word,
      meta,
      fc.nat(0xffff),
      fc.maxSafeNat(),
      fc.nat(),
      fc.nat(),
      (queue, recipient, sender, data, flags, key, size, due) => {
        const value = JSON.parse(JSON.stringify(data)) as { readonly [name: string]: MetaValue } | null;
        const common = packCommon(sender, reception, value);
        const row = encodeRow(queue, recipient, common, flags, key, size, 77, 3, due);
        const header = new RowHeader();
        assert.equal(readHeader(row, header), null);
        assert.deepEqual(
          { ...header },
          {
            flags,
            dueMs: due,
            bodyKey: key,
            attempts: 3,
            size,
            bodyCrc: 77,
            queueBytes: Buffer.byteLength(queue),
            recipientBytes: Buffer.byteLength(recipient),
          },
        );
        assert.equal(readQueue(row, header), queue);
        const envelope = readEnvelope(row, header);
        assert.deepEqual(JSON.stringify(envelope?.meta), JSON.stringify(value));
        assert.deepEqual({ ...envelope, meta: null }, { sender, recipient, queue, reception, meta: null });

        patchRow(row, 9, due + 5);
        assert.equal(readHeader(row, header), null);
        assert.deepEqual([header.attempts, header.dueMs, header.bodyKey], [9, due + 5, key]);
        assert.equal(readQueue(row, header), queue);
      },
    ),
    { numRuns: 300 },
  );
});

test("a row with any bit turned is not taken", () => {
  const row = encodeRow("example.net", "a@example.net", packCommon("s@example.com", reception, null), 1, 5, 6, 7, 0, 0);
  const header = new RowHeader();
  for (let bit = 0; bit < row.length * 8; bit++) {
    const bad = Buffer.from(row);
    bad[bit >> 3]! ^= 1 << (bit & 7);
    assert.notEqual(readHeader(bad, header), null, `bit ${bit}`);
  }
  for (let length = 0; length < row.length; length++) {
    assert.notEqual(readHeader(row.subarray(0, length), header), null, `length ${length}`);
  }
});

test("a sound row whose packed part is of another shape has no envelope", () => {
  const header = new RowHeader();
  for (const common of [Buffer.from([0xc1]), Buffer.from([0x90]), Buffer.alloc(0), Buffer.from([0xc0])]) {
    const row = encodeRow("q", "r", common, 0, 1, 1, 1, 0, 0);
    assert.equal(readHeader(row, header), null);
    assert.equal(readEnvelope(row, header), null);
  }
});
