import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SeededRandom } from "../../../src/base/random.js";
import type { IpLookupStrategy } from "../../../src/config/compiled.js";
import type { RouteHost } from "../../../src/protocol/messages.js";
import type { DaneState } from "../../../src/protocol/tls-policy.js";
import {
  lookupOf,
  MAX_PLAN_TARGETS,
  makePlan,
  type Plan,
  type PlanTarget,
  planRules,
  type ResolvedHost,
} from "../../../src/worker/egress/plan.js";

const CONFIG = {
  prohibitedHosts: ["127.0.0.0/8", "0.0.0.0", "::1", "::"],
  skipHosts: [],
  ipLookupStrategy: "Ipv4AndIpv6",
  smtpPort: 25,
} as const;
const NONE: DaneState = { kind: "none" };
const SOURCE = { address: null, remotePort: null };
const MX = planRules(CONFIG, SOURCE, false);
const LISTED = planRules(CONFIG, SOURCE, true);

function host(
  preference: number,
  name: string,
  v4: string[],
  v6: string[] = [],
  more: Partial<RouteHost> = {},
  dane: DaneState = { kind: "none" },
): ResolvedHost {
  return { host: { preference, name, address: null, port: null, unix: null, ...more }, v4, v6, dane };
}

function targets(plan: Plan): readonly PlanTarget[] {
  assert.equal(plan.kind, "plan");
  return plan.kind === "plan" ? plan.targets : [];
}

function addresses(plan: Plan): (string | null)[] {
  return targets(plan).map((target) => target.address);
}

test("better preferences first, shuffled inside one, and every order comes up", () => {
  const hosts = [
    host(20, "backup", ["192.0.2.9"]),
    host(10, "a", ["192.0.2.1", "192.0.2.2"]),
    host(10, "b", ["192.0.2.3"]),
  ];
  const random = new SeededRandom(1);
  const firsts = new Map<string | null, number>();
  for (let i = 0; i < 600; i++) {
    const plan = addresses(makePlan(hosts, MX, random));
    assert.equal(plan.at(-1), "192.0.2.9");
    assert.deepEqual(plan.slice(0, 3).sort(), ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    firsts.set(plan[0], (firsts.get(plan[0]) ?? 0) + 1);
  }
  for (const count of firsts.values()) assert.ok(count > 140 && count < 260, `${count} of 600`);
  assert.equal(firsts.size, 3);
});

test("a list of the operator keeps its order, fixed addresses and unix sockets included", () => {
  const hosts = [
    host(0, "z.example", ["192.0.2.8", "192.0.2.7"], [], { port: 2525 }),
    host(1, "127.0.0.1", [], [], { address: "127.0.0.1" }),
    host(2, "/run/mx.sock", [], [], { unix: "/run/mx.sock" }),
  ];
  for (let seed = 0; seed < 20; seed++) {
    assert.deepEqual(targets(makePlan(hosts, LISTED, new SeededRandom(seed))), [
      { name: "z.example", address: "192.0.2.8", port: 2525, unix: null, dane: NONE },
      { name: "z.example", address: "192.0.2.7", port: 2525, unix: null, dane: NONE },
      { name: "127.0.0.1", address: "127.0.0.1", port: 25, unix: null, dane: NONE },
      { name: "/run/mx.sock", address: null, port: 0, unix: "/run/mx.sock", dane: NONE },
    ]);
  }
});

test("the port: the source's, else the host's, else the path's", () => {
  const hosts = [host(10, "a", ["192.0.2.1"], [], { port: 2525 }), host(20, "b", ["192.0.2.2"])];
  const ports = (remotePort: number | null) =>
    targets(makePlan(hosts, planRules(CONFIG, { address: null, remotePort }, false), new SeededRandom(1))).map(
      (target) => target.port,
    );
  assert.deepEqual(ports(null), [2525, 25]);
  assert.deepEqual(ports(587), [587, 587]);
});

test("lookup strategies", () => {
  const both = [host(10, "a", ["192.0.2.1"], ["2001:db8::1"])];
  const only4 = [host(10, "a", ["192.0.2.1"])];
  const only6 = [host(10, "a", [], ["2001:db8::1"])];
  const rows: readonly [IpLookupStrategy, string, string, string][] = [
    ["Ipv4AndIpv6", "192.0.2.1,2001:db8::1", "192.0.2.1", "2001:db8::1"],
    ["Ipv4Only", "192.0.2.1", "192.0.2.1", "none"],
    ["Ipv6Only", "2001:db8::1", "none", "2001:db8::1"],
    ["Ipv4ThenIpv6", "192.0.2.1", "192.0.2.1", "2001:db8::1"],
    ["Ipv6ThenIpv4", "2001:db8::1", "192.0.2.1", "2001:db8::1"],
  ];
  for (const [ipLookupStrategy, ...expected] of rows) {
    const rules = planRules({ ...CONFIG, ipLookupStrategy }, SOURCE, true);
    const got = [both, only4, only6].map((hosts) => {
      const plan = makePlan(hosts, rules, new SeededRandom(1));
      return plan.kind === "plan" ? addresses(plan).join(",") : plan.kind;
    });
    assert.deepEqual(got, expected, ipLookupStrategy);
  }
  assert.deepEqual(lookupOf("Ipv6ThenIpv4"), { first: "v6", fallback: "v4" });
});

test("a source's address can only reach its own family", () => {
  const hosts = [host(10, "a", ["192.0.2.1"], ["2001:db8::1"])];
  const from = (address: string) => planRules(CONFIG, { address, remotePort: null }, false);
  assert.deepEqual(addresses(makePlan(hosts, from("198.51.100.1"), new SeededRandom(1))), ["192.0.2.1"]);
  assert.deepEqual(addresses(makePlan(hosts, from("2001:db8::5"), new SeededRandom(1))), ["2001:db8::1"]);
  const four = [host(10, "a", ["192.0.2.1"], [])];
  assert.deepEqual(makePlan(four, from("2001:db8::5"), new SeededRandom(1)), { kind: "family" });
  assert.deepEqual(makePlan([host(10, "a", [], [])], from("2001:db8::5"), new SeededRandom(1)), { kind: "none" });
});

test("one prohibited address condemns the plan, in whatever spelling, wherever it stands", () => {
  for (const bad of ["127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::", "::ffff:127.0.0.1", "0:0:0:0:0:0:0:1"]) {
    const v6 = bad.includes(":");
    const hosts = [host(10, "a", ["192.0.2.1"]), host(99, "b", v6 ? [] : [bad], v6 ? [bad] : [])];
    assert.deepEqual(makePlan(hosts, MX, new SeededRandom(1)), { kind: "prohibited", address: bad });
    assert.equal(makePlan(hosts, LISTED, new SeededRandom(1)).kind, "plan");
  }
});

test("prohibited counts even behind the bound and in skip_hosts", () => {
  const many = Array.from({ length: 100 }, (_, i) => `198.51.100.${i}`);
  const hosts = [host(10, "a", many), host(20, "b", ["127.0.0.1"])];
  assert.equal(makePlan(hosts, MX, new SeededRandom(1)).kind, "prohibited");
  const skipping = planRules({ ...CONFIG, skipHosts: ["127.0.0.1"] }, SOURCE, false);
  assert.equal(makePlan(hosts, skipping, new SeededRandom(1)).kind, "prohibited");
});

test("skip_hosts takes addresses out; nothing left is not nothing found", () => {
  const rules = planRules({ ...CONFIG, skipHosts: ["192.0.2.0/25"] }, SOURCE, false);
  const some = [host(10, "a", ["192.0.2.1", "192.0.2.200"])];
  assert.deepEqual(addresses(makePlan(some, rules, new SeededRandom(1))), ["192.0.2.200"]);
  assert.deepEqual(makePlan([host(10, "a", ["192.0.2.1"])], rules, new SeededRandom(1)), { kind: "skipped" });
  assert.deepEqual(makePlan([host(10, "a", [])], rules, new SeededRandom(1)), { kind: "none" });
  assert.deepEqual(makePlan([], rules, new SeededRandom(1)), { kind: "none" });
});

test("whatever the set, a plan is bounded, without repeats, and in order of preference", () => {
  const address = fc.integer({ min: 1, max: 60 }).map((n) => `203.0.113.${n}`);
  const set = fc.array(fc.tuple(fc.integer({ min: 0, max: 4 }), fc.array(address, { maxLength: 12 })), {
    maxLength: 12,
  });
  fc.assert(
    fc.property(set, fc.nat(), (tiers, seed) => {
      const hosts = tiers.map(([preference, v4], i) => host(preference, `mx${i}`, v4));
      const plan = makePlan(hosts, MX, new SeededRandom(seed));
      const best = new Map<string, number>();
      for (const [preference, v4] of tiers) {
        for (const one of v4) best.set(one, Math.min(best.get(one) ?? 99, preference));
      }
      if (best.size === 0) {
        assert.equal(plan.kind, "none");
        return;
      }
      const got = addresses(plan).map(String);
      assert.equal(got.length, Math.min(MAX_PLAN_TARGETS, best.size));
      assert.equal(new Set(got).size, got.length);
      const order = got.map((one) => best.get(one) ?? -1);
      assert.deepEqual(
        order,
        order.toSorted((a, b) => a - b),
      );
      // Nobody of a better preference is left out for somebody of a worse one.
      const worst = Math.max(...order);
      for (const [one, preference] of best) assert.ok(preference >= worst || got.includes(one));
    }),
    { numRuns: 400 },
  );
});

test("of a large set everybody gets a share", () => {
  const v4 = Array.from({ length: 50 }, (_, i) => `198.51.100.${i + 1}`);
  const random = new SeededRandom(7);
  const seen = new Set<string | null>();
  for (let i = 0; i < 30; i++) for (const one of addresses(makePlan([host(10, "a", v4)], MX, random))) seen.add(one);
  assert.equal(seen.size, 50);
});
