/**
 * Addresses of mail hosts for the sessions of one worker.
 *
 * Runs on   a worker
 * Owns      the worker's resolver and its cache
 * When full the resolver's bounds: what is too much fails as `dns.busy`, which a plan sees as no address
 * On failure a host without addresses is left out of the plan; the plan's judge says what that means
 */
import { isIPv4 } from "node:net";
import type { Clock } from "../base/clock.js";
import type { DnsConfig, IpLookupStrategy } from "../config/compiled.js";
import { hostAddresses } from "../dns/addresses.js";
import { openResolver } from "../dns/open-resolver.js";
import type { Resolver } from "../dns/resolver.js";

/** See the file's header. */
export class Names {
  #resolver: Resolver;
  readonly #clock: Clock;
  readonly #afterwards: () => void;

  /** @param afterwards called after each answer, which comes outside of the worker's turns. */
  constructor(config: DnsConfig, clock: Clock, afterwards: () => void) {
    this.#clock = clock;
    this.#resolver = openResolver(config, clock);
    this.#afterwards = afterwards;
  }

  /** A reload: other servers are asked from now on, and nothing that others said is remembered. */
  reconfigure(config: DnsConfig): void {
    this.#resolver = openResolver(config, this.#clock);
  }

  /** Memory is scarce: forgets every answer. */
  tighten(tight: boolean): void {
    if (tight) this.#resolver.flush();
  }

  /** Finds the addresses of a host; `done` is called once, with empty lists when there are none. */
  resolve(
    host: string,
    strategy: IpLookupStrategy,
    done: (v4: readonly string[], v6: readonly string[]) => void,
  ): void {
    void hostAddresses(this.#resolver, host, strategy).then((found) => {
      const addresses = found.kind === "found" ? found.addresses : [];
      done(
        addresses.filter((address) => isIPv4(address)),
        addresses.filter((address) => !isIPv4(address)),
      );
      this.#afterwards();
    });
  }
}
