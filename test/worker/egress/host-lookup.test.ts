import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { PathId } from "../../../src/base/brands.js";
import { ManualClock } from "../../../src/base/clock.js";
import { SeededRandom } from "../../../src/base/random.js";
import { PATH_DEFAULTS } from "../../../src/config/path-settings.js";
import { HISTOGRAM_DOUBLES } from "../../../src/protocol/histograms.js";
import type { RouteHost } from "../../../src/protocol/messages.js";
import { COUNTER_COUNT } from "../../../src/protocol/metrics.js";
import { type HostNames, lookUpHosts } from "../../../src/worker/egress/host-lookup.js";
import { EgressPath } from "../../../src/worker/egress/path.js";
import { makePlan, type ResolvedHost } from "../../../src/worker/egress/plan.js";
import { Names } from "../../../src/worker/names.js";

const HOSTS: readonly RouteHost[] = [
  { preference: 0, name: "mx.test", address: null, port: null, unix: null },
  { preference: 1, name: "fixed.test", address: "192.0.2.7", port: 2525, unix: null },
  { preference: 2, name: "192.0.2.8", address: "192.0.2.8", port: null, unix: null },
  { preference: 3, name: "/run/mx.sock", address: null, port: null, unix: "/run/mx.sock" },
  { preference: 4, name: "bare.test", address: null, port: null, unix: null },
];

function path(secure: boolean, enableDane: boolean, remotePort: number | null = null): EgressPath {
  const definition = {
    id: 1 as PathId,
    name: "p",
    site: "s",
    source: { name: "s", address: null, freeBind: false, ehloDomain: null, remotePort, proxy: null },
    pool: "pool",
    hosts: HOSTS,
    explicit: true,
    sts: "none" as const,
    secure,
    config: { ...PATH_DEFAULTS, enableDane },
  };
  return new EgressPath(definition, "host.example", new ManualClock());
}

const ZONE = `$ORIGIN test.
mx A 192.0.2.1
mx AAAA 2001:db8::1
_25._tcp.mx TLSA 3 1 1 ${"ab".repeat(32)}
_26._tcp.mx TLSA 2 1 1 ${"ab".repeat(32)}
_2525._tcp.fixed TLSA ( 1 1 1
  ${"ab".repeat(16)}
  ${"CD".repeat(16)} )
bare A 192.0.2.9
test. SOA ns.test. root.test. 1 2 3 4 5
`;

/** What the zone file says of the hosts of a path. */
async function found(of: EgressPath, secureFile = true): Promise<readonly ResolvedHost[]> {
  const dir = mkdtempSync(join(tmpdir(), "hikyaku-names-"));
  try {
    const hostsFile = join(dir, "hosts.zone");
    writeFileSync(hostsFile, ZONE);
    const limits = { maxConcurrent: 8, maxWaiting: 8, cacheEntries: 8, negativeTtlMs: 1000 };
    const config = { servers: [{ host: "127.0.0.1", port: 9 }], timeoutMs: 100, dnssec: "off" as const, ...limits };
    const [counters, histograms] = [new Float64Array(COUNTER_COUNT), new Float64Array(HISTOGRAM_DOUBLES)];
    const dns = { ...config, hostsFile, hostsFileDigest: null, hostsFileSecure: secureFile };
    const names = new Names(dns, new ManualClock(), counters, histograms, () => {});
    return await new Promise((resolve) => lookUpHosts(of, names, resolve));
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

function states(hosts: readonly ResolvedHost[]): string[] {
  return hosts.map(({ dane }) => (dane.kind === "usable" ? `usable ${dane.records[0]?.usage}` : dane.kind));
}

test("hosts of a secure set on a path with DANE get what their TLSA records say, and so do the plan's targets", async () => {
  const secure = path(true, true);
  const hosts = await found(secure);
  assert.deepEqual(states(hosts), ["usable 3", "unusable", "none", "none", "none"]);
  const plan = makePlan(hosts, secure.rules, new SeededRandom(1));
  assert.deepEqual(plan.kind === "plan" && plan.targets.map((target) => `${target.address} ${target.dane.kind}`), [
    "192.0.2.1 usable",
    "2001:db8::1 usable",
    "192.0.2.7 unusable",
    "192.0.2.8 none",
    "null none",
    "192.0.2.9 none",
  ]);
  assert.deepEqual(states(await found(path(true, true, 26))), ["usable 2", "none", "none", "none", "none"]);
});

test("nothing is asked where the set, the path or the file is not secure", async () => {
  const nothing = ["none", "none", "none", "none", "none"];
  assert.deepEqual(states(await found(path(false, true))), nothing);
  assert.deepEqual(states(await found(path(true, false))), nothing);
  assert.deepEqual(states(await found(path(true, true), false)), nothing);
});

test("answers in any order come out in the order of the path", () => {
  const waiting: (() => void)[] = [];
  const names: HostNames = {
    resolve: (host, _strategy, _port, done) => void waiting.push(() => done([host], [], { kind: "none" })),
    dane: (_host, _port, done) => void waiting.push(() => done({ kind: "unusable" })),
  };
  let hosts: readonly ResolvedHost[] | null = null;
  lookUpHosts(path(true, true), names, (all) => {
    hosts = all;
  });
  assert.equal(waiting.length, 3);
  for (const answer of waiting.reverse()) {
    assert.equal(hosts, null);
    answer();
  }
  assert.deepEqual(
    (hosts ?? []).map(({ host }: ResolvedHost) => host),
    HOSTS,
  );
});
