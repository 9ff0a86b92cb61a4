import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { ManualClock } from "../../src/base/clock.js";
import { Fault } from "../../src/base/fault.js";
import type { DnsConfig } from "../../src/config/compiled.js";
import type { RecordType } from "../../src/dns/lookup.js";
import { resolveRoute } from "../../src/dns/mx.js";
import { openResolver } from "../../src/dns/open-resolver.js";
import { loadZone, loadZoneInSteps, parseZone, type StaticZone } from "../../src/dns/static-zone.js";
import { parseResolvConf, systemServers } from "../../src/dns/system-servers.js";
import { parseZoneFile } from "../../src/dns/zone-file.js";

const ZONE = `; a closed network
$ORIGIN example.com.
$TTL 1h
@           IN  MX    10 mx1            ; relative
            IN  MX    20 mx2.other.test.
mx1         300 IN A  192.0.2.1
            IN 5m AAAA 2001:DB8::1
www         CNAME mx1
txt         TXT   "v=spf1 -all" "; not \\"a\\" comment"
deep.er     A     192.0.2.3
$ORIGIN test.
null        MX    0 .
*           A     192.0.2.99
*           MX    5 sink
host        A     192.0.2.5
$ORIGIN .
final.example. 60 SOA ns.final.example. root.final.example. (
                 1 3600 ; refresh
                 600 86400
                 30 )
in.final.example. A 192.0.2.7
deep.er.final.example. A 192.0.2.8
`;

function ask(zone: StaticZone, name: string, type: RecordType): string {
  const step = zone.lookup(name, type);
  if (step === null) return "outside";
  if (step.kind === "found") return step.records.map((one) => `${one.preference} ${one.value} ${one.ttlMs}`).join(", ");
  return step.kind === "alias" ? `-> ${step.target}` : step.kind;
}

test("records, names, lives, wildcards, and who has the last word", () => {
  const zone = parseZone(ZONE, "zone");
  const cases: readonly (readonly [string, RecordType, string])[] = [
    ["example.com", "MX", "10 mx1.example.com 3600000, 20 mx2.other.test 3600000"],
    ["example.com", "A", "nodata"],
    ["mx1.example.com", "A", "0 192.0.2.1 300000"],
    ["mx1.example.com", "AAAA", "0 2001:db8::1 300000"],
    ["www.example.com", "A", "-> mx1.example.com"],
    ["www.example.com", "CNAME", "0 mx1.example.com 3600000"],
    ["txt.example.com", "TXT", '0 v=spf1 -all; not "a" comment 3600000'],
    ["er.example.com", "A", "outside"],
    ["nowhere.example.com", "A", "outside"],
    ["null.test", "MX", "0  3600000"],
    ["null.test", "A", "nodata"],
    ["any.test", "A", "0 192.0.2.99 3600000"],
    ["a.b.any.test", "MX", "5 sink.test 3600000"],
    ["any.test", "AAAA", "nodata"],
    ["below.host.test", "A", "outside"],
    ["test", "A", "outside"],
    ["er.final.example", "MX", "nodata"],
    ["final.example", "MX", "nodata"],
    ["gone.final.example", "A", "nxdomain"],
    ["in.final.example", "MX", "nodata"],
    ["constructor", "A", "outside"],
  ];
  for (const [name, type, expected] of cases) assert.equal(ask(zone, name, type), expected, `${type} ${name}`);
  const gone = zone.lookup("gone.final.example", "A");
  assert.deepEqual(gone, { kind: "nxdomain", ttlMs: 30_000, authentic: false });
});

test("the address of a mail host says nothing about its domain, which is looked up outside", () => {
  const zone = parseZone("mx.example.com. A 127.0.0.1\n", "zone");
  assert.equal(ask(zone, "mx.example.com", "A"), "0 127.0.0.1 3600000");
  assert.equal(ask(zone, "mx.example.com", "AAAA"), "nodata");
  assert.equal(ask(zone, "example.com", "MX"), "outside");
  assert.equal(ask(zone, "com", "A"), "outside");
});

test("mistakes are told with their line, all together", () => {
  const text =
    "$TTL soon\n$INCLUDE x\na A 1.2.3\nb AAAA 1.2.3.4\nc MX ten mx\nd MX 10 m..x\ne SRV 1 2 3 x\nf\n  TXT\ng..h A 192.0.2.1\ni SOA a b 1\n";
  assert.throws(
    () => parseZone(text, "hosts.zone"),
    (error) => {
      assert.ok(error instanceof Fault && error.code === "config.invalid");
      assert.deepEqual(error.message.split("\n"), [
        'hosts.zone:1: "soon" is no time to live',
        'hosts.zone:2: unknown directive "$INCLUDE", expected $ORIGIN or $TTL',
        'hosts.zone:3: "1.2.3" is no IPv4 address',
        'hosts.zone:4: "1.2.3.4" is no IPv6 address',
        'hosts.zone:5: "ten" is no preference',
        'hosts.zone:6: "m..x" is no domain name',
        'hosts.zone:7: unknown type "SRV", expected A, AAAA, MX, CNAME, TXT, TLSA or SOA',
        'hosts.zone:8: unknown type "", expected A, AAAA, MX, CNAME, TXT, TLSA or SOA',
        "hosts.zone:9: TXT without a text",
        'hosts.zone:10: "g..h" is no domain name',
        "hosts.zone:11: SOA wants two names and five numbers",
      ]);
      return true;
    },
  );
  assert.throws(() => parseZone("  A 192.0.2.1\n", "z"), /z:1: the first record has no name/);
  assert.throws(() => parseZone("a CNAME b\na A 192.0.2.1\n", "z"), /z: a has a CNAME and something else/);
});

test("no text makes the parser throw", () => {
  const noise = fc.string({
    unit: fc.constantFrom(...'a1.@$*() \t\n;"\\', "MX ", "A ", "$TTL ", "IN "),
    maxLength: 80,
  });
  fc.assert(
    fc.property(noise, (text) => {
      assert.ok(parseZoneFile(text).problems.length <= 20);
    }),
  );
});

test("the resolver of a configuration reads its zone file; a missing or wrong one is a fault", async () => {
  const directory = mkdtempSync(join(tmpdir(), "hikyaku-zone-"));
  try {
    const path = join(directory, "hosts.zone");
    writeFileSync(path, ZONE);
    const config = dnsConfig({ timeoutMs: 100, hostsFile: path });
    const resolver = openResolver(config, new ManualClock());
    const route = await resolveRoute(resolver, "example.com", []);
    assert.equal(route.kind === "hosts" && route.key, "mx1.example.com,mx2.other.test");
    assert.deepEqual(await resolveRoute(resolver, "null.test", []), { kind: "null-mx", ttlMs: 3_600_000 });
    const implicit = await resolveRoute(resolver, "host.test", []);
    assert.equal(implicit.kind === "hosts" && implicit.key, "host.test");
    assert.throws(
      () => loadZone(join(directory, "missing")),
      (error) => error instanceof Fault && error.code === "config.unreadable" && error.errno === "ENOENT",
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});

/** `[dns]` with its defaults, but for `changed`. */
function dnsConfig(changed: Partial<DnsConfig>): DnsConfig {
  return {
    servers: [],
    timeoutMs: 5000,
    dnssec: "off",
    hostsFile: null,
    hostsFileDigest: null,
    hostsFileSecure: false,
    maxConcurrent: 128,
    maxWaiting: 16_384,
    cacheEntries: 65_536,
    negativeTtlMs: 300_000,
    ...changed,
  };
}

test("the system's servers", () => {
  const text = "# comment\nnameserver 192.0.2.1\n nameserver\t2001:db8::1 # x\nnameserver bogus\nsearch example.com\n";
  assert.deepEqual(parseResolvConf(text), [
    { host: "192.0.2.1", port: 53 },
    { host: "2001:db8::1", port: 53 },
  ]);
  assert.equal(parseResolvConf("nameserver 192.0.2.1\n".repeat(9)).length, 3);
  assert.deepEqual(parseResolvConf(""), [{ host: "127.0.0.1", port: 53 }]);
  assert.deepEqual(systemServers("/nonexistent/resolv.conf"), [{ host: "127.0.0.1", port: 53 }]);
});

test("a large file is read in steps that keep its thread for a few milliseconds, and says the same", async () => {
  const directory = mkdtempSync(join(tmpdir(), "hikyaku-zone-"));
  try {
    const path = join(directory, "hosts.zone");
    const lines = Array.from({ length: 50_000 }, (_, i) => `d${i}.example. MX 10 mx.d${i}.example.\n`);
    writeFileSync(path, `${ZONE}${lines.join("")}`);
    let turns = 0;
    const ticking = setInterval(() => turns++, 1);
    const zone = await loadZoneInSteps(path).finally(() => clearInterval(ticking));
    assert.ok(turns > 10, `other work had ${turns} turns`);
    assert.equal(ask(zone, "d49999.example", "MX"), "10 mx.d49999.example 3600000");
    assert.equal(ask(zone, "in.final.example", "MX"), ask(loadZone(path), "in.final.example", "MX"));
    writeFileSync(path, "a.example. CNAME b.example.\na.example. A 192.0.2.1\n");
    await assert.rejects(loadZoneInSteps(path), /a\.example has a CNAME and something else/);
    await assert.rejects(loadZoneInSteps(`${path}.none`), { code: "config.unreadable", errno: "ENOENT" });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
});
