import { NetworkSet } from "../../base/cidr.js";
import { type Random, shuffle } from "../../base/random.js";
import type { IpLookupStrategy, PathConfig } from "../../config/compiled.js";
import type { RouteHost } from "../../protocol/messages.js";
import type { DaneState } from "../../protocol/tls-policy.js";
import type { PlanProblem } from "./verdict.js";

/**
 * The connection plan of a session: which addresses are tried, and in which order. Names are resolved before; nothing
 * here asks anybody.
 */

/**
 * Most addresses of one plan. The rest is dropped after shuffling, so that over many sessions every address of a large
 * set gets its share. With a connect timeout of a minute this also bounds how long a session may be without success.
 */
export const MAX_PLAN_TARGETS = 20;

/** A route's host with what its name resolved to; lists are empty where nothing was asked, found or understood. */
export interface ResolvedHost {
  readonly host: RouteHost;
  readonly v4: readonly string[];
  readonly v6: readonly string[];
  readonly dane: DaneState;
}

/** One address to try. */
export interface PlanTarget {
  /** The host's name, for logs and TLS. */
  readonly name: string;
  /** Numeric; null with `unix`. */
  readonly address: string | null;
  /** 0 with `unix`. */
  readonly port: number;
  readonly unix: string | null;
  readonly dane: DaneState;
}

/** A plan, or why there is none. `prohibited` names the address. */
export type Plan =
  | { readonly kind: "plan"; readonly targets: readonly PlanTarget[] }
  | { readonly kind: Exclude<PlanProblem, "prohibited"> }
  | { readonly kind: "prohibited"; readonly address: string };

/** What a path says about plans, read once per path. */
export interface PlanRules {
  /** The operator wrote the hosts: their order is kept and none of them is prohibited. */
  readonly explicit: boolean;
  readonly prohibited: NetworkSet;
  readonly skip: NetworkSet;
  readonly lookup: IpLookupStrategy;
  /** The source's port, which wins over the hosts' own; null for none. */
  readonly sourcePort: number | null;
  readonly defaultPort: number;
  /** Family of the source's address: the other one cannot be reached from it. Null when the system chooses. */
  readonly sourceFamily: 4 | 6 | null;
}

/** Makes the rules of a path. The networks were checked with the configuration. */
export function planRules(
  config: Pick<PathConfig, "prohibitedHosts" | "skipHosts" | "ipLookupStrategy" | "smtpPort">,
  source: { readonly address: string | null; readonly remotePort: number | null },
  explicit: boolean,
): PlanRules {
  return {
    explicit,
    prohibited: new NetworkSet(config.prohibitedHosts),
    skip: new NetworkSet(config.skipHosts),
    lookup: config.ipLookupStrategy,
    sourcePort: source.remotePort,
    defaultPort: config.smtpPort,
    sourceFamily: source.address === null ? null : familyOf(source.address),
  };
}

function familyOf(address: string): 4 | 6 {
  return address.includes(":") ? 6 : 4;
}

/** Which records must be asked for, and whether the second kind only matters when the first finds nothing. */
export interface Lookup {
  readonly first: "v4" | "v6" | "both";
  readonly fallback: "v4" | "v6" | null;
}

/** What a strategy asks the name servers. */
export function lookupOf(strategy: IpLookupStrategy): Lookup {
  switch (strategy) {
    case "Ipv4AndIpv6":
      return { first: "both", fallback: null };
    case "Ipv4Only":
      return { first: "v4", fallback: null };
    case "Ipv6Only":
      return { first: "v6", fallback: null };
    case "Ipv4ThenIpv6":
      return { first: "v4", fallback: "v6" };
    case "Ipv6ThenIpv4":
      return { first: "v6", fallback: "v4" };
  }
}

/**
 * Makes a plan: hosts by preference, the addresses of one preference shuffled (unless the operator wrote the list), each
 * address and port once, at most {@link MAX_PLAN_TARGETS} of them.
 */
export function makePlan(hosts: readonly ResolvedHost[], rules: PlanRules, random: Random): Plan {
  const lookup = lookupOf(rules.lookup);
  const found = [...hosts]
    .sort((a, b) => a.host.preference - b.host.preference)
    .map((resolved) => ({ preference: resolved.host.preference, targets: targetsOf(resolved, lookup, rules) }));
  if (!rules.explicit) {
    for (const { targets } of found) {
      const bad = targets.find((target) => target.address !== null && rules.prohibited.has(target.address));
      if (bad?.address != null) return { kind: "prohibited", address: bad.address };
    }
  }
  let resolved = 0;
  const chosen: PlanTarget[] = [];
  const seen = new Set<string>();
  let i = 0;
  while (i < found.length && chosen.length < MAX_PLAN_TARGETS) {
    const { preference } = found[i];
    const tier: PlanTarget[] = [];
    for (; i < found.length && found[i].preference === preference; i++) {
      for (const target of found[i].targets) {
        resolved++;
        const key = target.unix ?? `${target.address} ${target.port}`;
        if (seen.has(key) || (target.address !== null && rules.skip.has(target.address))) continue;
        seen.add(key);
        tier.push(target);
      }
    }
    if (!rules.explicit) shuffle(random, tier);
    chosen.push(...tier.slice(0, MAX_PLAN_TARGETS - chosen.length));
  }
  if (chosen.length > 0) return { kind: "plan", targets: chosen };
  if (resolved > 0) return { kind: "skipped" };
  const sourceless = { ...rules, sourceFamily: null };
  return { kind: hosts.some((host) => targetsOf(host, lookup, sourceless).length > 0) ? "family" : "none" };
}

/** The targets of one host, in the order of its addresses. */
function targetsOf(resolved: ResolvedHost, lookup: Lookup, rules: PlanRules): PlanTarget[] {
  const { host } = resolved;
  if (host.unix !== null) return [{ name: host.name, address: null, port: 0, unix: host.unix, dane: resolved.dane }];
  const port = portOf(host, rules);
  const addresses = host.address === null ? pick(resolved, lookup) : [host.address];
  return addresses
    .filter((address) => rules.sourceFamily === null || familyOf(address) === rules.sourceFamily)
    .map((address) => ({ name: host.name, address, port, unix: null, dane: resolved.dane }));
}

/** The port of a host: the source's, else its own, else the path's (reference §15). */
export function portOf(host: RouteHost, rules: PlanRules): number {
  return rules.sourcePort ?? host.port ?? rules.defaultPort;
}

/** The addresses that a strategy uses. */
function pick(resolved: ResolvedHost, lookup: Lookup): readonly string[] {
  const of = (family: "v4" | "v6" | "both"): readonly string[] =>
    family === "both" ? [...resolved.v4, ...resolved.v6] : resolved[family];
  const first = of(lookup.first);
  return first.length > 0 || lookup.fallback === null ? first : of(lookup.fallback);
}
