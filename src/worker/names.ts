/**
 * Addresses of mail hosts for the sessions of one worker.
 *
 * Runs on   a worker
 * Owns      the worker's resolver and its cache
 * When full the resolver's bounds: what is too much fails as `dns.busy`, which a plan sees as no address
 * On failure a host without addresses is left out of the plan; the plan's judge says what that means
 */
import type { Clock } from "../base/clock.js";
import type { DnsConfig } from "../config/compiled.js";
import { networkExchange } from "../dns/exchange.js";
import type { RecordType } from "../dns/lookup.js";
import { Resolver } from "../dns/resolver.js";
import { SecureRandom } from "../dns/secure-random.js";
import { loadZone } from "../dns/static-zone.js";
import { systemServers } from "../dns/system-servers.js";
import type { Lookup } from "./egress/plan.js";

const NONE: readonly string[] = [];

/** See the file's header. */
export class Names {
  readonly #resolver: Resolver;
  readonly #afterwards: () => void;

  /** @param afterwards called after each answer, which comes outside of the worker's turns. */
  constructor(config: DnsConfig, clock: Clock, afterwards: () => void) {
    this.#afterwards = afterwards;
    this.#resolver = new Resolver({
      clock,
      random: new SecureRandom(),
      exchange: networkExchange,
      servers: config.servers.length > 0 ? config.servers : systemServers(),
      timeoutMs: config.timeoutMs,
      trustAuthentic: config.dnssec === "trust-ad",
      zone: config.hostsFile === null ? null : loadZone(config.hostsFile),
    });
  }

  /** Finds the addresses of a host; `done` is called once, with empty lists when there are none. */
  resolve(host: string, lookup: Lookup, done: (v4: readonly string[], v6: readonly string[]) => void): void {
    void this.#find(host, lookup).then(([v4, v6]) => {
      done(v4, v6);
      this.#afterwards();
    });
  }

  async #find(host: string, lookup: Lookup): Promise<[readonly string[], readonly string[]]> {
    if (lookup.first === "both") return Promise.all([this.#addresses(host, "A"), this.#addresses(host, "AAAA")]);
    const first = await this.#addresses(host, typeOf(lookup.first));
    const second =
      first.length === 0 && lookup.fallback !== null ? await this.#addresses(host, typeOf(lookup.fallback)) : NONE;
    return lookup.first === "v4" ? [first, second] : [second, first];
  }

  async #addresses(host: string, type: RecordType): Promise<readonly string[]> {
    const found = await this.#resolver.lookup(host, type);
    return found.kind === "found" ? found.records.map((record) => record.value) : NONE;
  }
}

function typeOf(family: "v4" | "v6"): RecordType {
  return family === "v4" ? "A" : "AAAA";
}
