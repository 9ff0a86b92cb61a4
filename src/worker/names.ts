/**
 * Addresses of mail hosts, and their TLSA records, for the sessions of one worker.
 *
 * Runs on   a worker
 * Owns      the worker's resolver and its cache
 * When full the resolver's bounds: what is too much fails as `dns.busy`, which a plan sees as no address
 * On failure a host without addresses is left out of the plan; the plan's judge says what that means
 */
import { isIPv4 } from "node:net";
import { isDeepStrictEqual } from "node:util";
import type { Clock } from "../base/clock.js";
import type { DnsConfig, IpLookupStrategy } from "../config/compiled.js";
import { hostAddresses } from "../dns/addresses.js";
import { daneState } from "../dns/dane.js";
import { type Meter, threadMeter } from "../dns/meter.js";
import { openResolver, reopenResolver } from "../dns/open-resolver.js";
import type { Resolver } from "../dns/resolver.js";
import type { DaneState } from "../protocol/tls-policy.js";

const NO_DANE: DaneState = { kind: "none" };

/** See the file's header. */
export class Names {
  #resolver: Resolver;
  #config: DnsConfig;
  readonly #clock: Clock;
  readonly #meter: Meter;
  readonly #afterwards: () => void;

  /** @param afterwards called after each answer, which comes outside of the worker's turns. */
  constructor(
    config: DnsConfig,
    clock: Clock,
    counters: Float64Array,
    histograms: Float64Array,
    afterwards: () => void,
  ) {
    this.#clock = clock;
    this.#config = config;
    this.#meter = threadMeter(counters, histograms);
    this.#resolver = openResolver(config, clock, this.#meter);
    this.#afterwards = afterwards;
  }

  /**
   * A reload that changed something of DNS: other servers are asked as soon as the zone file has been read, and nothing that
   * others said is remembered. Rejects with the faults of the file; then all stays.
   */
  async reconfigure(config: DnsConfig): Promise<void> {
    if (isDeepStrictEqual(config, this.#config)) return;
    this.#config = config;
    const resolver = await reopenResolver(config, this.#clock, this.#meter);
    if (this.#config === config) this.#resolver = resolver;
  }

  /** Memory is scarce: forgets every answer. */
  tighten(tight: boolean): void {
    if (tight) this.#resolver.flush();
  }

  /**
   * Finds the addresses of a host and, with `danePort`, what DANE says of it; `done` is called once, with empty lists when
   * there are no addresses.
   */
  resolve(
    host: string,
    strategy: IpLookupStrategy,
    danePort: number | null,
    done: (v4: readonly string[], v6: readonly string[], dane: DaneState) => void,
  ): void {
    void this.#resolve(host, strategy, danePort).then(({ addresses, dane }) => {
      done(
        addresses.filter((address) => isIPv4(address)),
        addresses.filter((address) => !isIPv4(address)),
        dane,
      );
      this.#afterwards();
    });
  }

  /** What DANE says of a host whose address the operator wrote. */
  dane(host: string, port: number, done: (dane: DaneState) => void): void {
    void daneState(this.#resolver, host, port, null).then((dane) => {
      done(dane);
      this.#afterwards();
    });
  }

  async #resolve(host: string, strategy: IpLookupStrategy, danePort: number | null) {
    const found = await hostAddresses(this.#resolver, host, strategy);
    if (found.kind !== "found") return { addresses: [], dane: NO_DANE };
    const { addresses } = found;
    return { addresses, dane: danePort === null ? NO_DANE : await daneState(this.#resolver, host, danePort, found) };
  }
}
