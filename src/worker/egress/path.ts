import type { Clock } from "../../base/clock.js";
import type { PathConfig, ProxyConfig } from "../../config/compiled.js";
import type { ConnectOptions } from "../../native/binding.js";
import type { PathDefinition, RouteHost } from "../../protocol/messages.js";
import type { StsState } from "../../protocol/tls-policy.js";
import { type PlanRules, type PlanTarget, planRules } from "./plan.js";
import { Plumbing } from "./plumbing.js";

const PROXY_GRACE_MS = 1000;

/** An egress path as a worker uses it: the scheduler's definition with what is derived from it once. */
export class EgressPath {
  /** Ready queue name. */
  readonly name: string;
  readonly site: string;
  readonly source: string;
  readonly pool: string;
  readonly hosts: readonly RouteHost[];
  /** TLSA records of the hosts are asked for: the set is secure, and the path wants them. */
  readonly dane: boolean;
  /** What the domain's MTA-STS policy demands, where the path heeds policies. */
  readonly sts: StsState;
  readonly config: PathConfig;
  /** Argument of EHLO: the path's, else the source's, else this host's name. */
  readonly ehloDomain: string;
  /** The source's proxy, null for direct connections. */
  readonly proxy: ProxyConfig | null;
  readonly rules: PlanRules;
  readonly #clock: Clock;
  /** Where connections leave from; null for the system's choice. */
  readonly localAddress: string | null;
  readonly #freeBind: boolean;
  readonly #plumbing: Plumbing;

  /** @param hostname this machine's name, the last choice for EHLO. */
  constructor(definition: PathDefinition, hostname: string, clock: Clock, plumbing: Plumbing = new Plumbing()) {
    this.name = definition.name;
    this.site = definition.site;
    this.source = definition.source.name;
    this.pool = definition.pool;
    this.hosts = definition.hosts;
    this.dane = definition.secure && definition.config.enableDane;
    this.sts = definition.config.enableMtaSts ? definition.sts : "none";
    this.config = definition.config;
    this.ehloDomain = definition.config.ehloDomain ?? definition.source.ehloDomain ?? hostname;
    this.proxy = definition.source.proxy;
    // Through a proxy the destination is reached from the proxy's address, and the proxy from the source's.
    const { address, remotePort, proxy } = definition.source;
    const origin = { address: proxy === null ? address : proxy.sourceAddress, remotePort };
    this.rules = planRules(definition.config, origin, definition.explicit);
    this.#clock = clock;
    this.#plumbing = plumbing;
    this.localAddress = definition.source.address;
    this.#freeBind = this.localAddress !== null && definition.source.freeBind;
  }

  /** How long a connection may take to come up. A proxy's has its own, more telling end a little earlier. */
  get connectPatienceMs(): number {
    return this.config.connectTimeoutMs + (this.proxy === null ? 0 : PROXY_GRACE_MS);
  }

  /** How long a session may have a message in hand without any progress. */
  get watchdogMs(): number {
    const { config } = this;
    const { mailFromTimeoutMs, rcptToTimeoutMs, dataTimeoutMs, dataDotTimeoutMs } = config;
    const longest = Math.max(mailFromTimeoutMs, rcptToTimeoutMs, dataTimeoutMs, dataDotTimeoutMs);
    return config.dispatcherProgressWatchdogTimeoutMs ?? Math.max(60_000, 2 * longest);
  }

  /** Whether connections leave from an address that no interface of this machine has. */
  get isUnplumbed(): boolean {
    return this.localAddress !== null && !this.#plumbing.has(this.localAddress, this.nowMs());
  }

  /** Monotonic milliseconds. */
  nowMs(): number {
    return this.#clock.monoMs();
  }

  /** How a target is connected to from this path's source. */
  connectOptions(target: PlanTarget): ConnectOptions {
    return {
      address: target.address,
      port: target.port,
      unix: target.unix,
      localAddress: this.localAddress,
      freeBind: this.#freeBind,
    };
  }
}
