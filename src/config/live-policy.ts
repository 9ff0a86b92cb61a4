import type { CompiledConfig, PathConfig, PoolConfig, QueueConfig, SourceConfig } from "./compiled.js";
import { type ConfigPolicy, compilePolicy } from "./policy.js";
import type { QueueIdentity } from "./queue-rules.js";

/** The answers of the configuration in force, whichever that is now. */
export class LivePolicy implements ConfigPolicy {
  /** Called when the site of a shaping block is learnt, and answers may be others now. */
  onLearnt: () => void = () => {};
  #current: ConfigPolicy;

  constructor(config: CompiledConfig) {
    this.#current = compilePolicy(config);
  }

  /** Answers by this configuration from now on. What DNS has told about sites is kept. */
  swap(config: CompiledConfig): void {
    const next = compilePolicy(config);
    for (const domain of next.rollupDomains) {
      const site = this.#current.siteOf(domain);
      if (site !== null) next.learnSite(domain, site);
    }
    this.#current = next;
  }

  queue(name: QueueIdentity): QueueConfig {
    return this.#current.queue(name);
  }

  path(domain: string, source: string, site: string): PathConfig {
    return this.#current.path(domain, source, site);
  }

  standsAlone(domain: string, site: string): boolean {
    return this.#current.standsAlone(domain, site);
  }

  pool(name: string): PoolConfig {
    return this.#current.pool(name);
  }

  source(name: string): SourceConfig | null {
    return this.#current.source(name);
  }

  get rollupDomains(): readonly string[] {
    return this.#current.rollupDomains;
  }

  siteOf(domain: string): string | null {
    return this.#current.siteOf(domain);
  }

  learnSite(domain: string, site: string | null): boolean {
    const learnt = this.#current.learnSite(domain, site);
    if (learnt) this.onLearnt();
    return learnt;
  }
}
