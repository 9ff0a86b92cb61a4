import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { addressBytes, addressText } from "../../src/handshake/address-bytes.js";
import { crc32c } from "../../src/handshake/crc32c.js";
import { proxyHeader, V2_SIGNATURE } from "../../src/handshake/proxy-header.js";
import { type HeaderStep, ProxyHeaderReader } from "../../src/handshake/proxy-header-reader.js";

const ports = fc.integer({ min: 0, max: 65_535 });
const v4 = fc.ipV4().map((written) => ({ family: 4, written }));
const v6 = fc.ipV6().map((written) => ({ family: 6, written }));

/** The text that we print of an address. */
function printed(address: string): string {
  const bytes = addressBytes(address);
  assert.ok(bytes !== null);
  return addressText(bytes);
}

/** Feeds `bytes` cut at `cuts`, until the reader has decided; `end` counts from the beginning of all. */
function feedInPieces(bytes: Buffer, cuts: readonly number[]): HeaderStep {
  const reader = new ProxyHeaderReader();
  const places = [...new Set(cuts.map((cut) => cut % (bytes.length + 1)))].sort((a, b) => a - b);
  let start = 0;
  let step: HeaderStep = { kind: "more" };
  for (const place of [...places, bytes.length]) {
    // Each piece lies somewhere in a buffer that is used again, as the reactor's is.
    const arena = Buffer.concat([Buffer.from("xyz"), bytes.subarray(start, place)]);
    step = reader.feed(arena, 3, arena.length);
    if (step.kind === "done") return { ...step, end: step.end - 3 + start };
    if (step.kind === "bad") return step;
    arena.fill(0);
    start = place;
  }
  return step;
}

test("what is written is read, in pieces of any size, and ends where the next protocol begins", () => {
  const pair = fc.oneof(fc.tuple(v4, v4), fc.tuple(v6, v6)).filter(([a, b]) => {
    // An address that is IPv4 in other clothes is of the other family.
    const sizes = [a, b].map(({ written }) => addressBytes(written)?.length);
    return sizes[0] === sizes[1];
  });
  fc.assert(
    fc.property(
      pair,
      ports,
      ports,
      fc.constantFrom(1 as const, 2 as const),
      fc.array(fc.nat()),
      fc.uint8Array(),
      (addresses, from, to, version, cuts, rest) => {
        const source = { address: printed(addresses[0].written), port: from };
        const destination = { address: printed(addresses[1].written), port: to };
        const header = proxyHeader(version, source, destination);
        const step = feedInPieces(Buffer.concat([header, rest]), cuts);
        assert.deepEqual(step, { kind: "done", facts: { kind: "proxied", source, destination }, end: header.length });
      },
    ),
  );
});

test("headers byte by byte, as the specification shows them", () => {
  const v1 = proxyHeader(1, { address: "192.0.2.1", port: 0 }, { address: "198.51.100.2", port: 25 });
  assert.equal(Buffer.from(v1).toString(), "PROXY TCP4 192.0.2.1 198.51.100.2 0 25\r\n");
  const v2 = proxyHeader(2, { address: "2001:db8::1", port: 0 }, { address: "2001:db8::2", port: 25 });
  const expected =
    "0d0a0d0a000d0a515549540a2121002420010db800000000000000000000000120010db800000000000000000000000200000019";
  assert.equal(Buffer.from(v2).toString("hex"), expected);
  assert.throws(() => proxyHeader(2, { address: "::1", port: 0 }, { address: "192.0.2.1", port: 25 }));
});

test("version 1: what is no header, and what keeps the connection's own addresses", () => {
  const read = (text: string): HeaderStep => new ProxyHeaderReader().feed(Buffer.from(text, "latin1"), 0, text.length);
  for (const good of ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN whatever 1 2\r\n"]) {
    assert.deepEqual(read(`${good}EHLO x\r\n`), { kind: "done", facts: { kind: "own" }, end: good.length });
  }
  assert.equal(read("PROXY TCP6 2001:DB8::1 2001:db8::2 1 65535\r\n").kind, "done");
  for (const bad of [
    "PROXY TCP4 192.0.2.1 192.0.2.2 01 25\r\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
    "PROXY TCP4 192.0.2.1  192.0.2.2 1 25\r\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1 25 \r\n",
    "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
    "PROXY TCP4 192.0.2.01 192.0.2.2 1 25\r\n",
    "PROXY TCP6 192.0.2.1 192.0.2.2 1 25\r\n",
    "PROXY TCP4 ::1 ::2 1 25\r\n",
    "PROXY TCP5 192.0.2.1 192.0.2.2 1 25\r\n",
    "PROXYTCP4 192.0.2.1 192.0.2.2 1 25\r\n",
    "EHLO mx.example\r\n",
    `PROXY UNKNOWN ${"x".repeat(92)}\r\n`,
    `PROXY TCP4 ${"1".repeat(200)}`,
  ]) {
    assert.equal(read(bad).kind, "bad", bad);
  }
  assert.equal(read(`PROXY UNKNOWN ${"x".repeat(91)}\r\n`).kind, "done", "107 bytes are a header");
  assert.equal(read("PROXY TCP4 192.0").kind, "more");
});

/** A header of version 2 with this command, family and rest. */
function v2(command: number, family: number, rest: Uint8Array, length = rest.length): Buffer {
  return Buffer.concat([V2_SIGNATURE, Uint8Array.of(command, family, length >> 8, length & 0xff), rest]);
}

const ENDS = Uint8Array.of(192, 0, 2, 1, 198, 51, 100, 2, 0x1f, 0x90, 0, 25);

function readV2(command: number, family: number, rest: Uint8Array, length?: number): HeaderStep {
  const bytes = v2(command, family, rest, length);
  return new ProxyHeaderReader().feed(bytes, 0, bytes.length);
}

test("version 2: commands, families, lengths", () => {
  const own = (rest: Uint8Array): HeaderStep => ({ kind: "done", facts: { kind: "own" }, end: 16 + rest.length });
  assert.deepEqual(readV2(0x20, 0x00, new Uint8Array()), own(new Uint8Array()), "LOCAL");
  assert.deepEqual(readV2(0x20, 0x11, new Uint8Array(300)), own(new Uint8Array(300)), "LOCAL skips its length");
  assert.deepEqual(readV2(0x21, 0x00, new Uint8Array(7)).kind, "bad", "what follows no addresses are extras");
  assert.deepEqual(readV2(0x21, 0x00, new Uint8Array()), own(new Uint8Array()), "UNSPEC");
  assert.deepEqual(readV2(0x21, 0x31, new Uint8Array(216)), own(new Uint8Array(216)), "unix");
  assert.deepEqual(readV2(0x21, 0x12, ENDS), own(ENDS), "a datagram's addresses are not this connection's");
  const facts = {
    kind: "proxied",
    source: { address: "192.0.2.1", port: 8080 },
    destination: { address: "198.51.100.2", port: 25 },
  };
  assert.deepEqual(readV2(0x21, 0x11, ENDS), { kind: "done", facts, end: 28 });
  for (const [command, family, rest, length] of [
    [0x11, 0x11, ENDS, 12],
    [0x22, 0x11, ENDS, 12],
    [0x21, 0x41, ENDS, 12],
    [0x21, 0x13, ENDS, 12],
    [0x21, 0x21, ENDS, 12],
    [0x21, 0x11, ENDS.subarray(0, 11), 11],
    [0x21, 0x11, ENDS, 4097],
  ] as const) {
    assert.equal(readV2(command, family, rest, length).kind, "bad", `${command} ${family} ${length}`);
  }
  assert.equal(readV2(0x21, 0x11, ENDS.subarray(0, 5), 12).kind, "more");
});

test("version 2: extras are skipped, and their checksum is checked", () => {
  assert.equal(crc32c(Buffer.from("123456789")), 0xe3069283, "the polynomial's check value");
  const extra = Uint8Array.of(0x04, 0, 3, 1, 2, 3);
  const withSum = (sum: readonly number[]): Buffer => Buffer.from([...ENDS, ...extra, 0x03, 0, sum.length, ...sum]);
  const blank = v2(0x21, 0x11, withSum([0, 0, 0, 0]));
  const sum = Buffer.alloc(4);
  sum.writeUInt32BE(crc32c(blank));
  assert.equal(readV2(0x21, 0x11, withSum([...sum])).kind, "done");
  sum[2] = (sum[2] as number) ^ 1;
  assert.equal(readV2(0x21, 0x11, withSum([...sum])).kind, "bad");
  assert.equal(readV2(0x21, 0x11, withSum([1, 2])).kind, "bad");
  assert.equal(readV2(0x21, 0x11, Buffer.from([...ENDS, 0x04, 0, 9, 1])).kind, "bad", "cut off");
  assert.equal(readV2(0x21, 0x11, Buffer.from([...ENDS, 0x04, 0])).kind, "bad", "cut off");
});

test("nonsense never throws, and never makes the reader keep more than a header", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.boolean(), fc.array(fc.nat()), (noise, signed, cuts) => {
      const bytes = Buffer.concat([signed ? V2_SIGNATURE : Buffer.from("PROXY "), noise]);
      assert.ok(["more", "done", "bad"].includes(feedInPieces(bytes, cuts).kind));
    }),
  );
});

test("addresses: text to bytes to text", () => {
  for (const [written, expected] of [
    ["2001:0db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
    ["::", "::"],
    ["::1", "::1"],
    ["1::", "1::"],
    ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
    ["::ffff:192.0.2.1", "192.0.2.1"],
    ["255.0.255.1", "255.0.255.1"],
  ] as const) {
    assert.equal(printed(written), expected);
  }
  assert.equal(addressBytes("mx.example"), null);
  fc.assert(
    fc.property(fc.ipV6(), (written) => assert.deepEqual(addressBytes(printed(written)), addressBytes(written))),
  );
});
