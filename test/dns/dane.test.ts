import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { hostAddresses } from "../../src/dns/addresses.js";
import { daneState } from "../../src/dns/dane.js";
import { failure, type Lookup, type RecordType } from "../../src/dns/lookup.js";
import type { Lookups } from "../../src/dns/mx.js";
import { daneOf, MAX_TLSA, readTlsa, usable } from "../../src/dns/tlsa.js";
import type { DaneState } from "../../src/protocol/tls-policy.js";

const SHA256 = "ab".repeat(32);
const SHA512 = "cd".repeat(64);

/** An answer with records; each is a value, or the name at the end of the aliases, `=`, and a value. */
function found(name: string, type: RecordType, authentic: boolean, ...values: readonly string[]): Lookup {
  const records = values.map((value) => ({ name, type, value, preference: 0, ttlMs: 5000 }));
  return { kind: "found", records, ttlMs: 5000, authentic };
}

function none(kind: "nodata" | "nxdomain", authentic: boolean): Lookup {
  return { kind, ttlMs: 1000, authentic };
}

const SERVFAIL = failure("dns.servfail", "server failure");

function printed(state: DaneState): string {
  if (state.kind !== "usable") return state.kind === "failed" ? `failed: ${state.reason}` : state.kind;
  return `${state.records.map((one) => `${one.usage}${one.selector}${one.matching}`)} for ${state.names}`;
}

test("what an answer to the TLSA question means", () => {
  const rows: readonly (readonly [string, Lookup, string])[] = [
    ["records", found("t", "TLSA", true, `3 1 1 ${SHA256}`, `2 0 2 ${SHA512}`), "311,202 for mx"],
    ["whole certificates", found("t", "TLSA", true, "3 0 0 30", "2 1 0 30"), "300,210 for mx"],
    ["records that nobody vouches for", found("t", "TLSA", false, `3 1 1 ${SHA256}`), "none"],
    ["no data, signed", none("nodata", true), "none"],
    ["no data, unsigned", none("nodata", false), "none"],
    ["no such name", none("nxdomain", true), "none"],
    ["failure", SERVFAIL, "failed: TLSA: server failure"],
    ["timeout", failure("dns.timeout", "no answer"), "failed: TLSA: no answer"],
    ["busy", failure("dns.busy", "too many"), "failed: TLSA: too many"],
    ["usages of public authorities", found("t", "TLSA", true, `0 0 1 ${SHA256}`, `1 1 1 ${SHA256}`), "unusable"],
    ["unknown usage", found("t", "TLSA", true, `4 1 1 ${SHA256}`, `255 1 1 ${SHA256}`), "unusable"],
    ["unknown selector", found("t", "TLSA", true, `3 2 1 ${SHA256}`), "unusable"],
    ["unknown matching type", found("t", "TLSA", true, `3 1 3 ${SHA256}`), "unusable"],
    ["digest too short", found("t", "TLSA", true, `3 1 1 ${SHA256.slice(2)}`), "unusable"],
    ["digest too long", found("t", "TLSA", true, `3 1 2 ${SHA512}ff`), "unusable"],
    ["no data in the record", found("t", "TLSA", true, "3 1 0 "), "unusable"],
    ["one usable among others", found("t", "TLSA", true, `1 1 1 ${SHA256}`, `3 1 1 ${SHA256}`, "junk"), "311 for mx"],
    ["the stronger digest alone", found("t", "TLSA", true, `3 1 1 ${SHA256}`, `3 1 2 ${SHA512}`), "312 for mx"],
    ["weaker of another kind", found("t", "TLSA", true, `2 1 1 ${SHA256}`, `3 1 2 ${SHA512}`), "211,312 for mx"],
  ];
  for (const [what, answer, expected] of rows) assert.equal(printed(daneOf(answer, ["mx"])), expected, what);
  const many = daneOf(found("t", "TLSA", true, ...Array.from({ length: 99 }, () => `3 1 1 ${SHA256}`)), ["mx"]);
  assert.equal(many.kind === "usable" && many.records.length, MAX_TLSA);
});

/** Asks from a table by `TYPE name`; says that others do not exist, in a signed zone. */
function table(answers: Readonly<Record<string, Lookup>>): Lookups & { readonly asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    async lookup(name, type) {
      asked.push(`${type} ${name}`);
      return answers[`${type} ${name}`] ?? none("nxdomain", true);
    },
  };
}

test("where TLSA records are looked for: signed zones, aliases, and what fails", async () => {
  const tlsaHere = { "TLSA _25._tcp.mx.test": found("t", "TLSA", true, `3 1 1 ${SHA256}`) };
  const tlsaEnd = { "TLSA _25._tcp.end.test": found("t", "TLSA", true, `2 1 1 ${SHA256}`) };
  const alias = (secure: boolean) => found("mx.test", "CNAME", secure, "end.test");
  const rows: readonly (readonly [string, Record<string, Lookup>, string])[] = [
    ["signed, no alias", { "A mx.test": found("mx.test", "A", true, "192.0.2.1"), ...tlsaHere }, "311 for mx.test"],
    ["signed, no records", { "A mx.test": found("mx.test", "A", true, "192.0.2.1") }, "none"],
    ["unsigned address", { "A mx.test": found("mx.test", "A", false, "192.0.2.1"), ...tlsaHere }, "none"],
    [
      "signed alias to a signed end",
      { "A mx.test": found("end.test", "A", true, "192.0.2.1"), ...tlsaHere, ...tlsaEnd },
      "211 for end.test,mx.test",
    ],
    [
      "signed alias to a signed end without records",
      { "A mx.test": found("end.test", "A", true, "192.0.2.1"), ...tlsaHere },
      "311 for mx.test",
    ],
    [
      "signed alias to an unsigned end",
      {
        "A mx.test": found("end.test", "A", false, "192.0.2.1"),
        "CNAME mx.test": alias(true),
        ...tlsaHere,
        ...tlsaEnd,
      },
      "311 for mx.test",
    ],
    [
      "unsigned alias",
      {
        "A mx.test": found("end.test", "A", false, "192.0.2.1"),
        "CNAME mx.test": alias(false),
        ...tlsaHere,
        ...tlsaEnd,
      },
      "none",
    ],
    [
      "alias that cannot be asked for",
      { "A mx.test": found("end.test", "A", false, "192.0.2.1"), "CNAME mx.test": SERVFAIL, ...tlsaHere },
      "failed: CNAME: server failure",
    ],
    [
      "failing records at the end of an alias",
      { "A mx.test": found("end.test", "A", true, "192.0.2.1"), "TLSA _25._tcp.end.test": SERVFAIL, ...tlsaHere },
      "failed: TLSA: server failure",
    ],
    [
      "one signed family of two",
      {
        "A mx.test": found("mx.test", "A", true, "192.0.2.1"),
        "AAAA mx.test": found("mx.test", "AAAA", false, "2001:db8::1"),
        ...tlsaHere,
      },
      "none",
    ],
  ];
  for (const [what, answers, expected] of rows) {
    const lookups = table(answers);
    const addresses = await hostAddresses(lookups, "mx.test", "Ipv4AndIpv6");
    assert.equal(addresses.kind, "found", what);
    if (addresses.kind !== "found") continue;
    assert.equal(printed(await daneState(lookups, "mx.test", 25, addresses)), expected, what);
    if (expected === "none" && what.startsWith("unsigned")) {
      assert.ok(!lookups.asked.some((one) => one.startsWith("TLSA")), "an unsigned zone is not asked for TLSA");
    }
  }
  const fixed = table({ "TLSA _2525._tcp.mx.test": found("t", "TLSA", true, `3 1 1 ${SHA256}`) });
  assert.equal(printed(await daneState(fixed, "mx.test", 2525, null)), "311 for mx.test");
});

test("whatever a record says, it is usable only as the RFC allows", () => {
  const number = fc.integer({ min: 0, max: 255 });
  const small = fc.oneof(fc.integer({ min: 0, max: 4 }), number);
  fc.assert(
    fc.property(small, small, small, fc.uint8Array({ maxLength: 70 }), (usage, selector, matching, data) => {
      const record = readTlsa(`${usage} ${selector} ${matching} ${Buffer.from(data).toString("hex")}`);
      if (record === null) {
        assert.equal(data.length, 0);
        return;
      }
      assert.deepEqual([...record.data], [...data]);
      const good = (usage === 2 || usage === 3) && selector <= 1 && matching <= 2;
      const length = matching === 1 ? 32 : matching === 2 ? 64 : data.length;
      assert.equal(usable(record), good && data.length === length);
    }),
  );
});
