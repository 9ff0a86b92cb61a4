import { isIP } from "node:net";
import { domainToASCII } from "node:url";
import type { MxListEntry } from "../config/compiled.js";
import { isHostName } from "../config/text-kinds.js";
import type { Route, RouteHost } from "../protocol/messages.js";
import type { StsState } from "../protocol/tls-policy.js";
import {
  canonicalName,
  type DnsRecord,
  FAILURE_TTL_MS,
  type Lookup,
  MAX_NEGATIVE_TTL_MS,
  type RecordType,
} from "./lookup.js";
import { siteName } from "./site-name.js";
import { type DomainPolicy, NO_POLICY } from "./sts-policies.js";
import { matchesPolicy } from "./sts-policy.js";

/** Whoever looks names up: a `Resolver`, or a table in a test. */
export interface Lookups {
  lookup(name: string, type: RecordType): Promise<Lookup>;
}

/** Most hosts of one route; of more, those of the best preferences are kept. */
export const MAX_HOSTS = 50;

/** Preference of the domain itself where it has no MX records. */
const IMPLICIT_PREFERENCE = 1;

/**
 * Finds where a domain's mail goes (RFC 5321 §5.1). `domain` may be a name, an address literal (`[192.0.2.1]`,
 * `[IPv6:2001:db8::1]`), and either with a port. `ownNames` are the names of this server: when one is among the hosts,
 * those at its preference and above it are left out. `policyOf` tells what a domain with hosts demands by MTA-STS: one that
 * enforces a policy loses the hosts that do not match. Never rejects.
 */
export async function resolveRoute(
  lookups: Lookups,
  domain: string,
  ownNames: readonly string[],
  policyOf: (name: string) => Promise<DomainPolicy> = async () => NO_POLICY,
): Promise<Route> {
  const target = parseTarget(domain);
  if (target === null) return { kind: "no-such-domain", ttlMs: MAX_NEGATIVE_TTL_MS };
  const { name, port } = target;
  if (target.literal) {
    const host = { preference: 0, name, address: name, port, unix: null };
    return hostRoute([host], { ttlMs: Number.POSITIVE_INFINITY, sts: "none", secure: false });
  }
  const answer = await lookups.lookup(name, "MX");
  switch (answer.kind) {
    case "found":
      return routeOf(answer.records, { name, port, ttlMs: answer.ttlMs, ownNames, secure: answer.authentic, policyOf });
    case "nodata": {
      // The one case in which the domain itself is the host; an error is no reason to try it (RFC 5321 §5.1).
      const { ttlMs, authentic: secure } = answer;
      return routeUnderPolicy([mxHost(name, IMPLICIT_PREFERENCE, port)], {
        name,
        port,
        ttlMs,
        ownNames,
        secure,
        policyOf,
      });
    }
    case "nxdomain":
      return { kind: "no-such-domain", ttlMs: answer.ttlMs };
    case "failed":
      return { kind: "failed", reason: `MX of ${name}: ${answer.reason}`, ttlMs: answer.ttlMs };
  }
}

interface Context {
  readonly name: string;
  readonly port: number | null;
  readonly ttlMs: number;
  readonly ownNames: readonly string[];
  readonly secure: boolean;
  readonly policyOf: (name: string) => Promise<DomainPolicy>;
}

async function routeOf(records: readonly DnsRecord[], context: Context): Promise<Route> {
  const { name, port, ttlMs, ownNames } = context;
  // RFC 7505 §3: a null MX is the only one; "." among others is a slip and means nothing.
  if (records.length === 1 && records[0]?.value === "") return { kind: "null-mx", ttlMs };
  const own = new Set(ownNames.map((one) => canonicalName(one)));
  const named = records.filter((record) => isHostName(record.value));
  const ownPreference = named.reduce(
    (least, record) => (own.has(record.value) ? Math.min(least, record.preference) : least),
    Number.POSITIVE_INFINITY,
  );
  const hosts = bestFirst(named.filter((record) => record.preference < ownPreference));
  if (hosts.length > 0) {
    const route = hosts.map((record) => mxHost(record.value, record.preference, port));
    return routeUnderPolicy(route, context);
  }
  const reason =
    named.length === 0 ? `no MX record of ${name} names a host` : `mail for ${name} loops back to this server`;
  return { kind: "failed", reason, ttlMs: Math.min(ttlMs, FAILURE_TTL_MS) };
}

/** The hosts that the domain's policy leaves, and what it demands of them. */
async function routeUnderPolicy(all: readonly RouteHost[], { name, ttlMs, secure, policyOf }: Context): Promise<Route> {
  const { state: sts, policy, ttlMs: policyTtlMs } = await policyOf(name);
  const allowed = sts !== "enforce" || policy === null ? all : all.filter((host) => matchesPolicy(policy, host.name));
  const life = Math.min(ttlMs, policyTtlMs);
  const hosts = allowed.slice(0, MAX_HOSTS);
  if (hosts.length > 0) return hostRoute(hosts, { ttlMs: life, sts, secure });
  const reason = `no MX host of ${name} matches its MTA-STS policy`;
  return { kind: "failed", reason, ttlMs: Math.min(life, FAILURE_TTL_MS) };
}

/** By preference, then by name; of a host that is listed twice, the better place. */
function bestFirst(records: readonly DnsRecord[]): DnsRecord[] {
  const sorted = [...records].sort((a, b) => a.preference - b.preference || compare(a.value, b.value));
  const seen = new Set<string>();
  return sorted.filter(({ value }) => !seen.has(value) && seen.add(value));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function mxHost(name: string, preference: number, port: number | null): RouteHost {
  return { preference, name, address: null, port, unix: null };
}

interface Security {
  readonly ttlMs: number;
  readonly sts: StsState;
  readonly secure: boolean;
}

function hostRoute(hosts: readonly RouteHost[], { ttlMs, sts, secure }: Security): Route {
  const literal = hosts[0]?.address ?? null;
  const site = literal === null ? siteName(hosts.map(printHost)) : printLiteral(literal, hosts[0]?.port ?? null);
  const key = securedKey(identity(hosts), sts, secure);
  return { kind: "hosts", site, key, hosts, explicit: false, sts, secure, ttlMs };
}

/** Mail under different demands does not share connections. A blank is part of no host's name. */
function securedKey(key: string, sts: StsState, secure: boolean): string {
  return `${key}${sts === "none" ? "" : ` sts=${sts}`}${secure ? " secure" : ""}`;
}

/** The hosts, `|` between equals and `,` between preferences: the numbers of the preferences do not matter. */
function identity(hosts: readonly RouteHost[]): string {
  let key = "";
  for (const [index, host] of hosts.entries()) {
    const before = hosts[index - 1];
    if (before !== undefined) key += before.preference === host.preference ? "|" : ",";
    key += host.address === null ? printHost(host) : `[${host.address}]:${host.port ?? ""}`;
  }
  return key;
}

function printHost(host: RouteHost): string {
  return host.port === null ? host.name : `${host.name}:${host.port}`;
}

function printLiteral(address: string, port: number | null): string {
  if (port === null) return address;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

interface Target {
  /** A domain name as it is asked for, or an address. */
  readonly name: string;
  readonly port: number | null;
  readonly literal: boolean;
}

/** Takes a queue's domain apart; null for what can be no domain. */
function parseTarget(domain: string): Target | null {
  const match = /^(\[[^\]]*\]|[^:[\]]*)(?::(\d{1,5}))?$/.exec(domain);
  if (match === null) return null;
  const host = match[1] ?? "";
  const port = match[2] === undefined ? null : Number(match[2]);
  if (port !== null && (port < 1 || port > 65_535)) return null;
  if (host.startsWith("[")) {
    const address = host.slice(1, -1).replace(/^IPv6:/i, "");
    return isIP(address) === 0 || address.includes("%") ? null : { name: address.toLowerCase(), port, literal: true };
  }
  const name = asciiName(host);
  return name === null ? null : { name, port, literal: false };
}

/** The name in ASCII (RFC 5891 §4): what is ASCII already is left as it is. */
function asciiName(host: string): string | null {
  const ascii = /^[\x00-\x7f]*$/.test(host) ? host : domainToASCII(host);
  const name = canonicalName(ascii);
  return name === null || isIP(name) !== 0 ? null : name;
}

/**
 * The route of a list of hosts that the operator wrote: in this order, under the name that shows the list. `secure`: the
 * operator vouches for it, as DNSSEC does for MX records.
 */
export function explicitRoute(entries: readonly MxListEntry[], secure = false): Route {
  const site = `mx_list:${entries.map((entry) => entry.written).join(",")}`;
  const hosts = entries.map((entry, index): RouteHost => {
    const { name, address, port, unix } = entry;
    return { preference: index, name, address, port, unix };
  });
  const key = hosts.map((host) => JSON.stringify([host.name, host.address, host.port, host.unix])).join();
  return {
    kind: "hosts",
    site,
    key: securedKey(`mx_list:${key}`, "none", secure),
    hosts,
    explicit: true,
    sts: "none",
    secure,
    ttlMs: Number.POSITIVE_INFINITY,
  };
}
