import { assert } from "../base/assert.js";
import type { CompiledConfig, PathConfig, PoolConfig, QueueConfig, SourceConfig } from "./compiled.js";
import { UNSPECIFIED, UNSPECIFIED_POOL, UNSPECIFIED_SOURCE } from "./egress-settings.js";
import { PathRules } from "./path-rules.js";
import { type QueueIdentity, QueueRules } from "./queue-rules.js";

/** The configuration's answers to the scheduler: its `Policy` port, and what the rules must be told of DNS. */
export interface ConfigPolicy {
  queue(name: QueueIdentity): QueueConfig;
  path(domain: string, source: string, site: string): PathConfig;
  /** See {@link PathRules.standsAlone}. */
  standsAlone(domain: string, site: string): boolean;
  pool(name: string): PoolConfig;
  /** Null when the configuration does not have it. */
  source(name: string): SourceConfig | null;
  /** Domains of shaping blocks whose sites want to be known. */
  readonly rollupDomains: readonly string[];
  /** What was learnt of a rollup domain's site, null when nothing was. */
  siteOf(domain: string): string | null;
  /** See {@link PathRules.learnSite}. */
  learnSite(domain: string, site: string | null): boolean;
}

/**
 * Makes the answers of one compiled configuration. Pools have been checked, so asking for one that does not exist is a
 * bug.
 * @throws {Panic} from `pool` for a name that the configuration does not have.
 */
export function compilePolicy(config: CompiledConfig): ConfigPolicy {
  const queues = new QueueRules(config.queues);
  const paths = new PathRules(config.shaping);
  const pools = new Map([[UNSPECIFIED, UNSPECIFIED_POOL], ...Object.entries(config.pools)]);
  const sources = new Map([[UNSPECIFIED, UNSPECIFIED_SOURCE], ...Object.entries(config.sources)]);
  return {
    queue: (name) => queues.resolve(name),
    path: (domain, source, site) => paths.resolve(domain, source, site),
    standsAlone: (domain, site) => paths.standsAlone(domain, site),
    pool(name) {
      const pool = pools.get(name);
      assert(pool !== undefined, "a pool that the configuration does not have");
      return pool;
    },
    source: (name) => sources.get(name) ?? null,
    rollupDomains: paths.rollupDomains,
    siteOf: (domain) => paths.siteOf(domain),
    learnSite: (domain, site) => paths.learnSite(domain, site),
  };
}
