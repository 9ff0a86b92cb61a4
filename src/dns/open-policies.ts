import { join } from "node:path";
import type { Clock } from "../base/clock.js";
import type { CompiledConfig } from "../config/compiled.js";
import type { TlsOutcome } from "../protocol/tls-policy.js";
import type { Lookups } from "./mx.js";
import type { Resolver } from "./resolver.js";
import { policyFetcher } from "./sts-fetch.js";
import { openStsFile } from "./sts-file.js";
import { type DomainPolicy, StsPolicies } from "./sts-policies.js";
import { StsTable } from "./sts-table.js";

/** Policies that are in force, and their end. */
export interface Policies {
  of(domain: string): Promise<DomainPolicy>;
  stop(): Promise<void>;
}

/** The file of `data_dir` that policies are kept in. */
export const POLICY_FILE = "mta-sts.policies";

/**
 * The policies that the configuration describes, with what was kept of the last run; null when they are switched off.
 * @param resolver the one that is asked now: a reload puts another in its place.
 * @throws {Fault} `config.unreadable`, `config.invalid` for the file of authorities.
 */
export function openPolicies(
  config: CompiledConfig,
  clock: Clock,
  resolver: () => Resolver,
  events: { notice(line: string): void; report(outcome: TlsOutcome): void },
): Policies | null {
  if (!config.mtaSts.enabled) return null;
  const lookups: Lookups = { lookup: (name, type) => resolver().lookup(name, type) };
  const fetch = policyFetcher(config.mtaSts, lookups);
  const table = new StsTable(clock, config.mtaSts.maxPolicies);
  const file = openStsFile(join(config.node.dataDir, POLICY_FILE), table, (line) => events.notice(line));
  const policies = new StsPolicies({
    clock,
    lookups,
    isStatic: (name, type) => resolver().isStatic(name, type),
    fetch,
    table,
    changed: () => file.changed(),
    report: (outcome) => events.report(outcome),
  });
  return {
    of: (domain) => policies.of(domain),
    async stop() {
      policies.stop();
      await file.stop();
    },
  };
}
