import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { Lookup } from "../../src/dns/lookup.js";
import { resolveRoute } from "../../src/dns/mx.js";
import type { DomainPolicy } from "../../src/dns/sts-policies.js";
import { matchesPolicy, parseStsPolicy, type StsPolicy, stsId } from "../../src/dns/sts-policy.js";

test("the record: exactly one that begins with v=STSv1, with an id", () => {
  const rows: readonly (readonly [readonly string[], string | null])[] = [
    [["v=STSv1; id=20260101T000000;"], "20260101T000000"],
    [["v=STSv1;id=a"], "a"],
    [["v=STSv1 ; id=a ; "], "a"],
    [["v=STSv1; id=a; later.key=what!ever"], "a"],
    [["v=STSv1; later=1; id=a"], "a"],
    [["v=STSv1; id=a; id=b"], "a"],
    [["v=spf1 -all", "v=STSv1; id=a"], "a"],
    [["v=STSv1; id=a", "v=STSv1; id=a"], null],
    [["v=STSv1; id=a", "v=STSv1; broken"], null],
    [["v=STSv2; id=a"], null],
    [["V=STSv1; id=a"], null],
    [[" v=STSv1; id=a"], null],
    [["v=STSv1"], null],
    [["v=STSv1;"], null],
    [["v=STSv1; id="], null],
    [["v=STSv1; id=a-b"], null],
    [[`v=STSv1; id=${"a".repeat(32)}`], "a".repeat(32)],
    [[`v=STSv1; id=${"a".repeat(33)}`], null],
    [["v=STSv1; id=a;; "], null],
    [["v=STSv1; id = a"], null],
    [[], null],
  ];
  for (const [texts, expected] of rows) assert.equal(stsId(texts), expected, JSON.stringify(texts));
});

/** A policy as `mode age mx…`, or what is wrong. */
function read(text: string): string {
  const result = parseStsPolicy(text);
  if (result.kind === "invalid") return result.reason;
  const { mode, maxAgeMs, mx } = result.policy;
  return [mode, maxAgeMs / 1000, ...mx].join(" ");
}

test("the policy: what is required, what is ignored, and what is wrong", () => {
  const whole = "version: STSv1\nmode: enforce\nmx: mx.example\nmx: *.mail.example\nmax_age: 86400\n";
  const rows: readonly (readonly [string, string])[] = [
    [whole, "enforce 86400 mx.example *.mail.example"],
    [whole.replaceAll("\n", "\r\n"), "enforce 86400 mx.example *.mail.example"],
    [whole.trimEnd(), "enforce 86400 mx.example *.mail.example"],
    [whole.replace("mode: enforce", "mode:\ttesting  "), "testing 86400 mx.example *.mail.example"],
    [`${whole}later: something: else\n`, "enforce 86400 mx.example *.mail.example"],
    [`${whole}mode: none\nmax_age: 1\n`, "enforce 86400 mx.example *.mail.example"],
    [whole.replace("mx.example", "MX.Example."), "enforce 86400 mx.example *.mail.example"],
    [whole.replace("mx.example", "b\u00fccher.example"), "enforce 86400 xn--bcher-kva.example *.mail.example"],
    ["version: STSv1\nmode: none\nmax_age: 0", "none 0"],
    [whole.replace("86400", "31557600"), "enforce 31557600 mx.example *.mail.example"],
    [whole.replace("86400", "31557601"), "no max_age up to a year"],
    [whole.replace("86400", "-1"), "no max_age up to a year"],
    [whole.replace("86400", "1e3"), "no max_age up to a year"],
    [whole.replace("max_age", "age"), "no max_age up to a year"],
    [whole.replace("STSv1", "STSv2"), "no version STSv1"],
    [whole.replace("version", "Version"), "no version STSv1"],
    [whole.replace("enforce", "Enforce"), "no known mode"],
    [whole.replaceAll("mx:", "ms:"), "no host pattern"],
    [whole.replace("mx.example", "*"), '"*" is no host pattern'],
    [whole.replace("mx.example", "a.*.example"), '"a.*.example" is no host pattern'],
    [whole.replace("mx.example", ""), '"" is no host pattern'],
    [whole.replace("mode:", "mode"), 'a line is not of the form "key: value"'],
    ["<html>", 'a line is not of the form "key: value"'],
    ["", "no version STSv1"],
    [`${whole}${"mx: a.example\n".repeat(300)}`, "more than 200 host patterns"],
  ];
  for (const [text, expected] of rows) assert.equal(read(text), expected, JSON.stringify(text));
});

test("no text makes reading throw, and what is read is in bounds", () => {
  const noise = fc.string({
    unit: fc.constantFrom(..."mx:*. a1\r\n\u00fc", "version: STSv1\n", "mode: enforce\n", "max_age: 10\n", "mx: a.b\n"),
    maxLength: 40,
  });
  fc.assert(
    fc.property(noise, (text) => {
      const result = parseStsPolicy(text);
      if (result.kind === "policy") assert.ok(result.policy.mx.length > 0 && result.policy.maxAgeMs >= 0);
      stsId([text]);
    }),
    { numRuns: 1000 },
  );
});

function policy(...mx: readonly string[]): StsPolicy {
  return { mode: "enforce", maxAgeMs: 1000, mx };
}

test("a wildcard is one label, and nothing but one; case and a final dot do not count", () => {
  const rows: readonly (readonly [string, string, boolean])[] = [
    ["mx.example", "mx.example", true],
    ["mx.example", "MX.Example.", true],
    ["mx.example", "a.mx.example", false],
    ["mx.example", "example", false],
    ["*.example", "mx.example", true],
    ["*.example", "a.mx.example", false],
    ["*.example", "example", false],
    ["*.mx.example", "xmx.example", false],
    ["*.example", ".example", false],
    ["*.example", "*.example", true],
  ];
  for (const [pattern, host, expected] of rows) {
    assert.equal(matchesPolicy(policy(pattern), host), expected, `${pattern} ${host}`);
  }
  const label = fc.stringMatching(/^[a-z0-9]{1,5}$/);
  fc.assert(
    fc.property(
      fc.array(label, { minLength: 1, maxLength: 4 }),
      fc.array(label, { minLength: 1, maxLength: 4 }),
      (a, b) => {
        const expected = a.length === b.length + 1 && a.slice(1).join(".") === b.join(".");
        assert.equal(matchesPolicy(policy(`*.${b.join(".")}`), a.join(".")), expected);
      },
    ),
  );
});

test("enforcing takes hosts out of the route, which is another site then; testing does not; no host left is a failure", async () => {
  const records = ["10 mx1.good.example", "20 mx.evil.test", "30 mx2.good.example"].map((value) => {
    const [preference, exchange = ""] = value.split(" ");
    return { name: "d.example", type: "MX" as const, value: exchange, preference: Number(preference), ttlMs: 9000 };
  });
  const answer = async (): Promise<Lookup> => ({ kind: "found", records, ttlMs: 9000, authentic: true });
  const asked: string[] = [];
  const under = (one: DomainPolicy) =>
    resolveRoute({ lookup: answer }, "D.example:2525", [], async (name) => {
      asked.push(name);
      return one;
    });
  const enforced = await under({ state: "enforce", policy: policy("*.good.example"), ttlMs: 5000 });
  assert.deepEqual(
    enforced.kind === "hosts" && [enforced.site, enforced.key, enforced.sts, enforced.secure, enforced.ttlMs],
    [
      "(mx1|mx2).good.example:2525",
      "mx1.good.example:2525,mx2.good.example:2525 sts=enforce secure",
      "enforce",
      true,
      5000,
    ],
  );
  const testing = await under({ state: "testing", policy: policy("*.good.example"), ttlMs: 5000 });
  assert.equal(testing.kind === "hosts" && testing.hosts.length, 3);
  assert.ok(testing.kind === "hosts" && testing.key.endsWith(" sts=testing secure"));
  const alone = await under({ state: "enforce", policy: policy("other.example"), ttlMs: 5000 });
  assert.deepEqual(alone, {
    kind: "failed",
    reason: "no MX host of d.example matches its MTA-STS policy",
    ttlMs: 5000,
  });
  assert.deepEqual(new Set(asked), new Set(["d.example"]));
});

test("a domain without hosts is not asked for a policy; one that is its own host is", async () => {
  const policyOf = async (): Promise<DomainPolicy> => ({ state: "enforce", policy: policy("d.example"), ttlMs: 5000 });
  const never = async (): Promise<DomainPolicy> => assert.fail("asked");
  const gone = async (): Promise<Lookup> => ({ kind: "nxdomain", ttlMs: 1000, authentic: false });
  assert.equal((await resolveRoute({ lookup: gone }, "d.example", [], never)).kind, "no-such-domain");
  const bare = async (): Promise<Lookup> => ({ kind: "nodata", ttlMs: 9000, authentic: true });
  const own = await resolveRoute({ lookup: bare }, "d.example", [], policyOf);
  assert.deepEqual(own.kind === "hosts" && [own.key, own.secure], ["d.example sts=enforce secure", true]);
});
