import type { Clock } from "../../base/clock.js";
import type { PathConfig } from "../../config/compiled.js";
import type { ConnectOptions } from "../../native/binding.js";
import type { PathDefinition, RouteHost } from "../../protocol/messages.js";
import { type PlanRules, type PlanTarget, planRules } from "./plan.js";

/** An egress path as a worker uses it: the scheduler's definition with what is derived from it once. */
export class EgressPath {
  /** Ready queue name. */
  readonly name: string;
  readonly site: string;
  readonly source: string;
  readonly pool: string;
  readonly hosts: readonly RouteHost[];
  readonly config: PathConfig;
  /** Argument of EHLO: the path's, else the source's, else this host's name. */
  readonly ehloDomain: string;
  readonly rules: PlanRules;
  readonly #clock: Clock;
  /** Where connections leave from; null for the system's choice. */
  readonly localAddress: string | null;
  readonly #freeBind: boolean;

  /** @param hostname this machine's name, the last choice for EHLO. */
  constructor(definition: PathDefinition, hostname: string, clock: Clock) {
    this.name = definition.name;
    this.site = definition.site;
    this.source = definition.source.name;
    this.pool = definition.pool;
    this.hosts = definition.hosts;
    this.config = definition.config;
    this.ehloDomain = definition.config.ehloDomain ?? definition.source.ehloDomain ?? hostname;
    this.rules = planRules(definition.config, definition.source, definition.explicit);
    this.#clock = clock;
    this.localAddress = definition.source.address;
    this.#freeBind = this.localAddress !== null && definition.source.freeBind;
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
