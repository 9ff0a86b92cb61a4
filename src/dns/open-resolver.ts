import type { Clock } from "../base/clock.js";
import type { DnsConfig } from "../config/compiled.js";
import { networkExchange } from "./exchange.js";
import type { Meter } from "./meter.js";
import { Resolver } from "./resolver.js";
import { SecureRandom } from "./secure-random.js";
import { loadZone, loadZoneInSteps, type StaticZone } from "./static-zone.js";
import { systemServers } from "./system-servers.js";

/**
 * The resolver that the configuration describes, over the network.
 * @throws {Fault} `config.unreadable` or `config.invalid` when `hosts_file` cannot be read or is wrong.
 */
export function openResolver(config: DnsConfig, clock: Clock, meter?: Meter): Resolver {
  const zone = config.hostsFile === null ? null : loadZone(config.hostsFile, config.hostsFileSecure);
  return resolverOf(config, zone, clock, meter);
}

/** The same for a thread that is at work: a large zone file is read in small steps. Rejects where the other throws. */
export async function reopenResolver(config: DnsConfig, clock: Clock, meter?: Meter): Promise<Resolver> {
  const { hostsFile, hostsFileSecure } = config;
  const zone = hostsFile === null ? null : await loadZoneInSteps(hostsFile, hostsFileSecure);
  return resolverOf(config, zone, clock, meter);
}

function resolverOf(config: DnsConfig, zone: StaticZone | null, clock: Clock, meter?: Meter): Resolver {
  return new Resolver({
    clock,
    random: new SecureRandom(),
    exchange: networkExchange,
    servers: config.servers.length === 0 ? systemServers() : config.servers,
    timeoutMs: config.timeoutMs,
    trustAuthentic: config.dnssec === "trust-ad",
    zone,
    maxConcurrent: config.maxConcurrent,
    maxWaiting: config.maxWaiting,
    cacheEntries: config.cacheEntries,
    negativeTtlMs: config.negativeTtlMs,
    ...(meter !== undefined && { meter }),
  });
}
