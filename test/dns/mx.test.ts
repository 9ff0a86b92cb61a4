import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { hostAddresses } from "../../src/dns/addresses.js";
import { failure, type Lookup, type RecordType } from "../../src/dns/lookup.js";
import { explicitRoute, type Lookups, MAX_HOSTS, resolveRoute } from "../../src/dns/mx.js";
import type { Route } from "../../src/protocol/messages.js";

/** MX records as `preference exchange`, others as values. */
function found(type: RecordType, ...values: string[]): Lookup {
  const records = values.map((value) => {
    const [preference = "0", exchange = ""] = type === "MX" ? value.split(" ") : ["0", value];
    return { name: "x", type, value: exchange, preference: Number(preference), ttlMs: 5000 };
  });
  return { kind: "found", records, ttlMs: 5000, authentic: false };
}

const nodata: Lookup = { kind: "nodata", ttlMs: 1000, authentic: false };
const nxdomain: Lookup = { kind: "nxdomain", ttlMs: 2000, authentic: false };

/** Answers from a table by `TYPE name`; NXDOMAIN for all others. */
function table(answers: Readonly<Record<string, Lookup>>): Lookups & { readonly asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    async lookup(name, type) {
      asked.push(`${type} ${name}`);
      return answers[`${type} ${name}`] ?? nxdomain;
    },
  };
}

async function route(mx: Lookup, domain = "example.com", own: readonly string[] = ["mta.us.example"]): Promise<Route> {
  return resolveRoute({ lookup: async () => mx }, domain, own);
}

/** The hosts as `preference name:port`. */
function hostsOf(one: Route): readonly string[] {
  if (one.kind !== "hosts") return [one.kind];
  return one.hosts.map((host) => `${host.preference} ${host.name}${host.port === null ? "" : `:${host.port}`}`);
}

test("hosts by preference, then by name; the site, the key and the life", async () => {
  const one = await route(found("MX", "20 backup.example.com", "10 mx2.example.com", "10 mx1.example.com"));
  assert.deepEqual(hostsOf(one), ["10 mx1.example.com", "10 mx2.example.com", "20 backup.example.com"]);
  assert.deepEqual(one, {
    kind: "hosts",
    site: "(mx1|mx2|backup).example.com",
    key: "mx1.example.com|mx2.example.com,backup.example.com",
    hosts: one.kind === "hosts" ? one.hosts : [],
    explicit: false,
    sts: "none",
    secure: false,
    ttlMs: 5000,
  });
});

test("a domain without MX records is its own host; one whose lookup fails is not", async () => {
  const implicit = await route(nodata);
  assert.deepEqual([hostsOf(implicit), implicit.ttlMs], [["1 example.com"], 1000]);
  assert.deepEqual(await route(nxdomain), { kind: "no-such-domain", ttlMs: 2000 });
  const failed = await route(failure("dns.servfail", "server failure"));
  assert.deepEqual(failed, { kind: "failed", reason: "MX of example.com: server failure", ttlMs: 60_000 });
});

test("null MX: alone and only then", async () => {
  assert.deepEqual(await route(found("MX", "0 ")), { kind: "null-mx", ttlMs: 5000 });
  assert.deepEqual(await route(found("MX", "10 ")), { kind: "null-mx", ttlMs: 5000 });
  assert.deepEqual(hostsOf(await route(found("MX", "0 ", "10 mx.example.com"))), ["10 mx.example.com"]);
});

test("names that are none are left out; when none is left it is no route", async () => {
  const odd = found("MX", "1 192.0.2.1", "2 a_b.example.com", "3 x!y", "4 mx.example.com");
  assert.deepEqual(hostsOf(await route(odd)), ["2 a_b.example.com", "4 mx.example.com"]);
  const none = await route(found("MX", "1 192.0.2.1"));
  assert.deepEqual(none, { kind: "failed", reason: "no MX record of example.com names a host", ttlMs: 5000 });
});

test("our own preference and what stands above it are left out", async () => {
  const list = found("MX", "10 mx.example.com", "20 mta.us.example", "20 other.example", "30 last.example");
  assert.deepEqual(hostsOf(await route(list, "example.com", ["MTA.us.example."])), ["10 mx.example.com"]);
  assert.deepEqual(hostsOf(await route(list, "example.com", [])).length, 4);
  const loop = await route(found("MX", "10 mta.us.example", "20 other.example"));
  assert.deepEqual(loop, { kind: "failed", reason: "mail for example.com loops back to this server", ttlMs: 5000 });
});

test("a host listed twice is tried once, at its better place; very many are cut", async () => {
  assert.deepEqual(hostsOf(await route(found("MX", "10 a.example", "5 b.example", "1 a.example"))), [
    "1 a.example",
    "5 b.example",
  ]);
  const many = Array.from({ length: 200 }, (_, index) => `${200 - index} mx${index}.example`);
  const cut = await route(found("MX", ...many));
  assert.equal(hostsOf(cut).length, MAX_HOSTS);
  assert.equal(hostsOf(cut)[0], "1 mx199.example");
});

test("ports stay with the hosts and in the site", async () => {
  const lookups = table({ "MX example.com": found("MX", "1 a.mx.example", "1 b.mx.example") });
  const one = await resolveRoute(lookups, "Example.com:2025", []);
  assert.deepEqual(hostsOf(one), ["1 a.mx.example:2025", "1 b.mx.example:2025"]);
  assert.equal(one.kind === "hosts" && one.site, "(a|b).mx.example:2025");
  assert.equal(one.kind === "hosts" && one.key, "a.mx.example:2025|b.mx.example:2025");
});

test("address literals need no lookup", async () => {
  const cases: readonly (readonly [string, string, string, number | null])[] = [
    ["[192.0.2.1]", "192.0.2.1", "192.0.2.1", null],
    ["[192.0.2.1]:2025", "192.0.2.1:2025", "192.0.2.1", 2025],
    ["[IPv6:2001:DB8::1]", "2001:db8::1", "2001:db8::1", null],
    ["[2001:db8::1]:25", "[2001:db8::1]:25", "2001:db8::1", 25],
  ];
  for (const [domain, site, address, port] of cases) {
    const lookups = table({});
    const one = await resolveRoute(lookups, domain, []);
    assert.equal(one.kind === "hosts" && one.site, site, domain);
    assert.deepEqual(one.kind === "hosts" && one.hosts, [{ preference: 0, name: address, address, port, unix: null }]);
    assert.equal(one.ttlMs, Number.POSITIVE_INFINITY);
    assert.deepEqual(lookups.asked, []);
  }
});

test("what can be no domain does not exist, and nobody is asked", async () => {
  const lookups = table({});
  for (const domain of [
    "",
    ".",
    "a..b",
    "[192.0.2.256]",
    "[]",
    "[fe80::1%lo]",
    "example.com:0",
    "example.com:99999",
    "a b",
    "192.0.2.1",
    "[192.0.2.1",
    `${"a".repeat(64)}.example`,
  ]) {
    assert.equal((await resolveRoute(lookups, domain, [])).kind, "no-such-domain", domain);
  }
  assert.deepEqual(lookups.asked, []);
});

test("letters beyond ASCII are asked for in ASCII", async () => {
  const lookups = table({ "MX xn--bcher-kva.example": found("MX", "1 mx.example") });
  assert.deepEqual(hostsOf(await resolveRoute(lookups, "B\u00fccher.example", [])), ["1 mx.example"]);
  const sneaky = await resolveRoute(lookups, "\uff11\uff12\uff17.0.0.1", []);
  assert.equal(sneaky.kind, "no-such-domain");
});

test("routes that print alike have different keys; the same hosts have one", async () => {
  const keyOf = async (...mx: string[]) => {
    const one = await route(found("MX", ...mx));
    return one.kind === "hosts" ? one.key : assert.fail();
  };
  assert.notEqual(await keyOf("1 a.x.example", "1 b.y.example"), await keyOf("1 a.y.example", "1 b.x.example"));
  assert.notEqual(await keyOf("1 a.example", "1 b.example"), await keyOf("1 a.example", "2 b.example"));
  assert.equal(await keyOf("1 a.example", "2 b.example"), await keyOf("20 b.example", "10 A.example".toLowerCase()));
});

test("whatever is asked for, there is one answer and no exception", async () => {
  const kinds = fc.constantFrom<Lookup>(
    nodata,
    nxdomain,
    failure("dns.timeout", "x"),
    found("MX", "1 a.example", "2 "),
  );
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: "binary", maxLength: 80 }), kinds, async (domain, mx) => {
      assert.ok((await route(mx, domain)).ttlMs >= 0);
    }),
  );
});

test("explicit lists: the site shows them as written, their order is kept", () => {
  const entry = { address: null, port: null, unix: null };
  const one = explicitRoute([
    { ...entry, name: "smart.example", port: 26, written: "Smart.example:26" },
    { ...entry, name: "b.example", address: "192.0.2.1", written: "192.0.2.1" },
    { ...entry, name: "/run/x", unix: "/run/x", written: "unix:/run/x" },
  ]);
  assert.equal(one.kind === "hosts" && one.site, "mx_list:Smart.example:26,192.0.2.1,unix:/run/x");
  assert.equal(one.kind === "hosts" && one.explicit, true);
  assert.deepEqual(hostsOf(one), ["0 smart.example:26", "1 b.example", "2 /run/x"]);
  const other = explicitRoute([{ ...entry, name: "a.example", address: "192.0.2.1", written: "192.0.2.1" }]);
  const third = explicitRoute([{ ...entry, name: "b.example", address: "192.0.2.1", written: "192.0.2.1" }]);
  assert.ok(other.kind === "hosts" && third.kind === "hosts" && other.site === third.site && other.key !== third.key);
});

test("addresses of a host by strategy", async () => {
  const both = { "A h": found("A", "192.0.2.1", "192.0.2.1"), "AAAA h": found("AAAA", "2001:db8::1") };
  const only4 = { "A h": found("A", "192.0.2.1"), "AAAA h": nodata };
  const only6 = { "A h": nodata, "AAAA h": found("AAAA", "2001:db8::1") };
  const broken6 = { "A h": found("A", "192.0.2.1"), "AAAA h": failure("dns.servfail", "bad") };
  const broken4 = { "A h": failure("dns.servfail", "bad"), "AAAA h": nodata };
  const v4 = "192.0.2.1";
  const v6 = "2001:db8::1";
  const cases = [
    [both, "Ipv4AndIpv6", [v4, v6], ["A h", "AAAA h"]],
    [both, "Ipv4Only", [v4], ["A h"]],
    [both, "Ipv6Only", [v6], ["AAAA h"]],
    [both, "Ipv6ThenIpv4", [v6], ["AAAA h"]],
    [both, "Ipv4ThenIpv6", [v4], ["A h"]],
    [only4, "Ipv6ThenIpv4", [v4], ["AAAA h", "A h"]],
    [only6, "Ipv4ThenIpv6", [v6], ["A h", "AAAA h"]],
    [only4, "Ipv6Only", "none", ["AAAA h"]],
    [broken6, "Ipv4AndIpv6", [v4], ["A h", "AAAA h"]],
    [broken6, "Ipv6ThenIpv4", [v4], ["AAAA h", "A h"]],
    [broken4, "Ipv4AndIpv6", "failed", ["A h", "AAAA h"]],
    [broken4, "Ipv6Only", "none", ["AAAA h"]],
    [{}, "Ipv4AndIpv6", "none", ["A h", "AAAA h"]],
  ] as const;
  for (const [answers, strategy, expected, asked] of cases) {
    const lookups = table(answers);
    const result = await hostAddresses(lookups, "h", strategy);
    assert.deepEqual(result.kind === "found" ? result.addresses : result.kind, expected, strategy);
    assert.deepEqual(lookups.asked, asked, strategy);
  }
  const literal = table({});
  const direct = await hostAddresses(literal, "2001:db8::9", "Ipv4Only");
  assert.deepEqual([direct.kind === "found" && direct.addresses, literal.asked], [["2001:db8::9"], []]);
});

test("very many addresses are cut", async () => {
  const many = Array.from({ length: 100 }, (_, index) => `192.0.2.${index}`);
  const result = await hostAddresses(table({ "A h": found("A", ...many) }), "h", "Ipv4Only");
  assert.equal(result.kind === "found" && result.addresses.length, 32);
});
