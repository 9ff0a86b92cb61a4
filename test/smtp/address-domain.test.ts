import assert from "node:assert/strict";
import { isIP } from "node:net";
import { test } from "node:test";
import fc from "fast-check";
import { canonicalDomain, canonicalLiteral, isIpv4, isIpv6 } from "../../src/smtp/domain.js";

test("domain: one form for all spellings", () => {
  assert.equal(canonicalDomain("Example.COM"), "example.com");
  assert.equal(canonicalDomain("b\u00fccher.Example"), "xn--bcher-kva.example");
  assert.equal(canonicalDomain("XN--BCHER-KVA.example"), "xn--bcher-kva.example");
  assert.equal(canonicalDomain("a-b.c_d.e1"), "a-b.c_d.e1");
  for (const text of [
    "",
    ".",
    "a.",
    "a b",
    "a@b",
    "1.2.3.4",
    "7",
    "a/b",
    "a%00b",
    "-a",
    "a-",
    "a.\u00fc.",
    "\u00fc:1",
    "\u2028",
  ]) {
    assert.equal(canonicalDomain(text), null, JSON.stringify(text));
  }
});

test("domain: what comes out is canonical itself", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: fc.constantFrom("a", "Z", "0", "-", "_", ".", "\u00fc", "\u3002", "\uff21", "\u00ad") }),
      (text) => {
        const domain = canonicalDomain(text);
        if (domain === null) return;
        assert.match(domain, /^[a-z0-9_.-]+$/);
        assert.equal(canonicalDomain(domain), domain);
      },
    ),
    { numRuns: 3000 },
  );
});

test("domain: addresses agree with the platform's parser", () => {
  const v4 = [
    "0.0.0.0",
    "255.255.255.255",
    "1.2.3",
    "1.2.3.4.5",
    "1.2.3.256",
    "01.2.3.4",
    "1.2.3.4 ",
    "a.b.c.d",
    "1..2.3",
    "",
  ];
  for (const text of v4) assert.equal(isIpv4(text), isIP(text) === 4, text);
  const unit = fc.constantFrom("::", ":", "1", "fffF", "12345", "1.2.3.4", "0", ".", "g");
  fc.assert(
    fc.property(fc.string({ unit, maxLength: 10 }), (text) => {
      assert.equal(isIpv6(text), isIP(text) === 6, text);
    }),
    { numRuns: 5000 },
  );
  for (const text of ["1:2:3:4::5:6:7:8", "1:2:3:4:5:6::1.2.3.4", ":::", "1::2::3"]) {
    assert.equal(isIpv6(text), false, text);
    assert.equal(isIP(text), 0, text);
  }
  for (const text of [
    "::",
    "::1",
    "1::",
    "1:2:3:4:5:6:7:8",
    "1:2:3:4:5:6:1.2.3.4",
    "::1.2.3.4",
    "1::8",
    "1:2:3:4:5:6:7::",
  ]) {
    assert.equal(isIpv6(text), true, text);
    assert.equal(isIP(text), 6, text);
  }
});

test("domain: literals", () => {
  assert.equal(canonicalLiteral("[192.0.2.1]"), "[192.0.2.1]");
  assert.equal(canonicalLiteral("[IPV6:2001:DB8::A]"), "[IPv6:2001:db8::a]");
  for (const text of ["", "[]", "192.0.2.1", "[192.0.2.1", "[1]", "[IPv6:1]", "[x:1]"])
    assert.equal(canonicalLiteral(text), null);
});
