import type { DnsConfig, ListenAddress, MtaStsConfig } from "./compiled.js";
import { choice, duration, flag, integer, type Kind, list } from "./kinds.js";
import { formatPath } from "./problems.js";
import { setting, table } from "./table.js";
import { filePath, network, socketAddress } from "./text-kinds.js";

const SECOND = 1000;
const MINUTE = 60_000;
const DAY = 86_400_000;

const dns = {
  servers: setting("servers", list(socketAddress({ defaultPort: 53, minPort: 1 }), { what: "name servers", max: 16 }), {
    fallback: [] as readonly ListenAddress[],
    fallbackText: "the system's",
    about: "Name servers that are asked, in turn.",
  }),
  timeout: setting("timeout", duration({ min: 50, max: 5 * MINUTE }), {
    fallback: 5 * SECOND,
    about: "Longest time for one question, all servers and retries together.",
  }),
  dnssec: setting("dnssec", choice<DnsConfig["dnssec"]>("off", "trust-ad"), {
    fallback: "off" as const,
    about: '"trust-ad" believes the AD bit of `servers`, which must then be named, and be on this machine.',
  }),
  maxConcurrent: setting("max_concurrent", integer({ min: 1, max: 4096 }), {
    fallback: 128,
    about: "Most look-ups under way at once, in each thread.",
  }),
  maxWaiting: setting("max_waiting", integer({ min: 0, max: 1_000_000 }), {
    fallback: 16_384,
    about: "Most look-ups that wait for their turn, in each thread; more fail, and are tried again later.",
  }),
  cacheEntries: setting("cache_entries", integer({ min: 1, max: 1_000_000 }), {
    fallback: 65_536,
    about: "Answers that are kept, in each thread.",
  }),
  negativeTtl: setting("negative_ttl", duration({ min: SECOND, max: DAY }), {
    fallback: 5 * MINUTE,
    about: "Longest time for which it is believed that a name or a record does not exist.",
  }),
  hostsFile: setting("hosts_file", filePath(), {
    fallback: null,
    about: "Static records in zone-file syntax, consulted first, for the names that it has; relative to this file.",
  }),
  hostsFileSecure: setting("hosts_file_secure", flag(), {
    fallback: false,
    about: "The records of `hosts_file` count as signed and validated, so that DANE holds for them.",
  }),
};

/** `[dns]`; the path as written. */
export const dnsTable: Kind<DnsConfig> = table(Object.values(dns), (reader) => {
  const servers = reader.get(dns.servers);
  const dnssec = reader.get(dns.dnssec);
  // The system's may be anywhere, and may change after we have looked.
  if (dnssec === "trust-ad" && servers.length === 0) {
    reader.check.error(reader.path(dns.dnssec), `"trust-ad" needs name servers on this machine, named in dns.servers`);
  }
  for (const [index, server] of dnssec === "trust-ad" ? servers.entries() : []) {
    if (server.host === "::1" || server.host.startsWith("127.")) continue;
    const why = `${formatPath(reader.path(dns.dnssec))} = "trust-ad" needs name servers on this machine`;
    reader.check.error([...reader.path(dns.servers), index], why);
  }
  return {
    servers,
    dnssec,
    timeoutMs: reader.get(dns.timeout),
    hostsFile: reader.get(dns.hostsFile),
    // What the file holds is looked at once its place is known.
    hostsFileDigest: null,
    hostsFileSecure: reader.get(dns.hostsFileSecure),
    maxConcurrent: reader.get(dns.maxConcurrent),
    maxWaiting: reader.get(dns.maxWaiting),
    cacheEntries: reader.get(dns.cacheEntries),
    negativeTtlMs: reader.get(dns.negativeTtl),
  };
});

const mtaSts = {
  enabled: setting("enabled", flag(), {
    fallback: true,
    about: "Policies of domains about TLS (MTA-STS) are looked up and obeyed.",
  }),
  timeout: setting("timeout", duration({ min: 100, max: MINUTE }), {
    fallback: 20 * SECOND,
    about: "Longest time for fetching one policy.",
  }),
  maxPolicies: setting("max_policies", integer({ min: 1, max: 1_000_000 }), {
    fallback: 20_000,
    about: "Policies that are kept; of more, those that have not been used for longest go.",
  }),
  caFile: setting("ca_file", filePath(), {
    fallback: null,
    about:
      "Certificates (PEM) of authorities that are trusted for policy hosts beside the public ones: for closed networks. Relative to this file.",
  }),
  allowedNetworks: setting("allowed_networks", list(network(), { what: "networks", max: 1000 }), {
    fallback: [] as readonly string[],
    about: "Private networks in which policy hosts may be, for closed networks; none otherwise.",
  }),
  port: setting("port", integer({ min: 1, max: 65_535 }), {
    fallback: 443,
    about: "Port of policy hosts; another one only makes sense in a closed network.",
  }),
};

/** `[mta_sts]`; the path as written. */
export const mtaStsTable: Kind<MtaStsConfig> = table(Object.values(mtaSts), (reader) => ({
  enabled: reader.get(mtaSts.enabled),
  timeoutMs: reader.get(mtaSts.timeout),
  maxPolicies: reader.get(mtaSts.maxPolicies),
  caFile: reader.get(mtaSts.caFile),
  allowedNetworks: reader.get(mtaSts.allowedNetworks),
  port: reader.get(mtaSts.port),
}));
