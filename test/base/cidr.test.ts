import assert from "node:assert/strict";
import { isIP } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { NetworkSet, parseIp, parseNetwork } from "../../src/base/cidr.js";

test("an address is one that the system's own parser takes, and no other", () => {
  const odd = fc.stringMatching(/^[0-9a-f:.]{0,24}$/);
  fc.assert(
    fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), odd), (text) => {
      assert.equal(parseIp(text) !== null, isIP(text) !== 0, text);
    }),
    { numRuns: 2000 },
  );
});

test("addresses that are nearly right", () => {
  const texts = [
    "256.0.0.1",
    "1.2.3.999",
    "1.2.3",
    "1.2.3.4.5",
    "01.2.3.4",
    "1:2:3:4:5:6:7::8",
    "1:2:3:4:5:6:7:8",
    "::1::",
  ];
  for (const text of [
    ...texts,
    "1:2:3:4:5:6:7::",
    ":::",
    ":1",
    "1:",
    "::1.2.3.4",
    "::1.2.3.4:1",
    "1.2.3.4::",
    "::12345",
    "::g",
  ]) {
    assert.equal(parseIp(text) !== null, isIP(text) !== 0, text);
  }
});

test("words are in network order", () => {
  assert.deepEqual(parseIp("1.2.3.4")?.words, [0, 0, 0xffff, 0x01020304]);
  assert.deepEqual(parseIp("2001:db8::1:2")?.words, [0x20010db8, 0, 0, 0x00010002]);
  assert.deepEqual(parseIp("fe80::1%eth0")?.words, [0xfe800000, 0, 0, 1]);
});

test("networks are strict: no bits behind the prefix, no prefix too long, nothing else", () => {
  for (const good of ["10.0.0.0/8", "0.0.0.0/0", "::/0", "2001:db8::/32", "192.0.2.1", "192.0.2.1/32", "::1/128"]) {
    assert.notEqual(parseNetwork(good), null, good);
  }
  const bad = ["10.1.2.3/8", "2001:db8::1/32", "10.0.0.0/33", "::/129", "10.0.0.0/08", "10.0.0.0/", "/8", "", "host"];
  for (const text of [
    ...bad,
    "10.0.0.0/8/8",
    "010.0.0.0/8",
    "10.0.0/8",
    "fe80::1%eth0",
    "fe80::%1/64",
    "10.0.0.0/-1",
  ]) {
    assert.equal(parseNetwork(text), null, text);
  }
});

test("membership", () => {
  const rows: readonly [string, string, boolean][] = [
    ["10.0.0.0/8", "10.255.0.1", true],
    ["10.0.0.0/8", "11.0.0.1", false],
    ["128.0.0.0/1", "255.1.1.1", true],
    ["128.0.0.0/1", "127.255.255.255", false],
    ["0.0.0.0/0", "203.0.113.9", true],
    ["0.0.0.0/0", "2001:db8::1", false],
    ["::/0", "2001:db8::1", true],
    ["::/0", "203.0.113.9", false],
    ["2001:db8::/33", "2001:db8:7fff::1", true],
    ["2001:db8::/33", "2001:db8:8000::1", false],
    ["127.0.0.0/8", "::ffff:127.0.0.1", true],
    ["127.0.0.0/8", "::ffff:7f00:1", true],
    ["::ffff:10.0.0.0/104", "10.9.9.9", true],
    ["::1", "0:0:0:0:0:0:0:1", true],
    ["10.0.0.0/8", "not an address", false],
  ];
  for (const [network, address, inside] of rows) {
    assert.equal(new NetworkSet([network]).has(address), inside, `${address} in ${network}`);
  }
  assert.equal(new NetworkSet([]).has("10.0.0.1"), false);
  assert.equal(new NetworkSet(["::1", "10.0.0.0/8"]).has("10.0.0.1"), true);
});

test("membership of IPv4 agrees with arithmetic on the bits", () => {
  fc.assert(
    fc.property(fc.nat(0xffffffff), fc.nat(0xffffffff), fc.integer({ min: 0, max: 32 }), (a, b, bits) => {
      const dotted = (n: number): string => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255].join(".");
      const size = 2 ** (32 - bits);
      const base = Math.floor(a / size) * size;
      const inside = Math.floor(b / size) * size === base;
      assert.equal(new NetworkSet([`${dotted(base)}/${bits}`]).has(dotted(b)), inside);
    }),
    { numRuns: 500 },
  );
});
