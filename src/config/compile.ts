import { availableParallelism, hostname } from "node:os";
import { resolve } from "node:path";
import type { Check } from "./check.js";
import type { CompiledConfig, ListenAddress, PoolConfig, ShapingRules, SourceConfig } from "./compiled.js";
import { UNSPECIFIED, UNSPECIFIED_POOL, UNSPECIFIED_SOURCE } from "./egress-settings.js";
import type { Placed } from "./kinds.js";
import { formatPath, type Path, quote } from "./problems.js";
import type { WrittenConfig } from "./settings.js";
import { formatSocketAddress } from "./text-kinds.js";

/**
 * Checks what the values of the server's file say about each other, and makes the compiled form. Paths become absolute:
 * `data_dir` and files start at the configuration file, the spool's and the log's directories at `data_dir`.
 * `nodeId` is what `data_dir` holds, "" when it holds none yet.
 */
export function compile(
  written: WrittenConfig,
  shaping: ShapingRules,
  check: Check,
  nodeIdOf: (dataDir: string) => string,
): CompiledConfig {
  const dataDir = resolve(check.directory, written.node.dataDir);
  const name = written.node.hostname ?? hostname();
  if (written.delivery.mode === "live" && !name.includes(".")) {
    check.warn(["node", "hostname"], `${quote(name)} has no domain; receivers will want a full name`);
  }
  checkListeners(written, check);
  const { workers } = written.threads;
  const sources = compileSources(written.sources, written.delivery.mode === "sandbox", check);
  const pools = compilePools(written, sources, check);
  checkQueues(written, pools, check);
  return {
    node: { hostname: name, dataDir, nodeId: written.node.nodeId ?? nodeIdOf(dataDir) },
    threads: { ...written.threads, workers: workers === "auto" ? Math.max(1, availableParallelism() - 1) : workers },
    delivery: written.delivery,
    spool: { ...written.spool, path: resolve(dataDir, written.spool.path) },
    memory: written.memory,
    smtpListeners: written.smtpListeners.map(({ value }) => ({ ...value, hostname: value.hostname ?? name })),
    httpListeners: written.httpListeners.map(({ value }) => value),
    dns: {
      ...written.dns,
      hostsFile: written.dns.hostsFile === null ? null : resolve(check.directory, written.dns.hostsFile),
    },
    mtaSts: {
      ...written.mtaSts,
      caFile: written.mtaSts.caFile === null ? null : resolve(check.directory, written.mtaSts.caFile),
    },
    log: { ...written.log, dir: resolve(dataDir, written.log.dir) },
    sources,
    pools,
    queues: written.queues.map(({ value }) => value),
    shaping,
  };
}

/** Two listeners cannot have one address; port 0 is another one each time. */
function checkListeners(written: WrittenConfig, check: Check): void {
  const taken = new Map<string, Path>();
  const listeners: readonly Placed<{ readonly listen: ListenAddress }>[] = [
    ...written.smtpListeners,
    ...written.httpListeners,
  ];
  for (const { value, at } of listeners) {
    if (value.listen.port === 0) continue;
    const address = formatSocketAddress(value.listen);
    const first = taken.get(address);
    if (first === undefined) taken.set(address, at);
    else check.error([...at, "listen"], `${quote(address)} is already the address of ${formatPath(first)}`);
  }
}

function compileSources(
  written: readonly Placed<SourceConfig>[],
  sandbox: boolean,
  check: Check,
): Readonly<Record<string, SourceConfig>> {
  const sources: Record<string, SourceConfig> = { [UNSPECIFIED]: UNSPECIFIED_SOURCE };
  const first = new Map<string, Path>();
  for (const { value, at } of written) {
    if (!isNew(value.name, at, first, check)) continue;
    // The sink is on this machine, and a proxy is not told of it: nothing leaves, not even a connection.
    if (sandbox && value.proxy !== null) check.warn(at, "its proxy is not used in the sandbox");
    sources[value.name] = sandbox ? { ...value, proxy: null } : value;
  }
  return sources;
}

function compilePools(
  written: WrittenConfig,
  sources: Readonly<Record<string, SourceConfig>>,
  check: Check,
): Readonly<Record<string, PoolConfig>> {
  const pools: Record<string, PoolConfig> = { [UNSPECIFIED]: UNSPECIFIED_POOL };
  const first = new Map<string, Path>();
  for (const { value: pool, at } of written.pools) {
    const members = new Set<string>();
    for (const { value: entry, at: place } of pool.entries) {
      const path = [...place, "name"];
      if (!Object.hasOwn(sources, entry.name)) check.unknownName(path, "source", entry.name, Object.keys(sources));
      else if (members.has(entry.name)) check.error(path, `${quote(entry.name)} is already in this pool`);
      members.add(entry.name);
    }
    if (!isNew(pool.name, at, first, check)) continue;
    pools[pool.name] = { name: pool.name, entries: pool.entries.map(({ value }) => value) };
  }
  return pools;
}

function isNew(name: string, at: Path, first: Map<string, Path>, check: Check): boolean {
  const path = [...at, "name"];
  const taken = first.get(name);
  if (name === UNSPECIFIED) check.error(path, `${quote(UNSPECIFIED)} always exists and means the system's choice`);
  else if (taken !== undefined) check.error(path, `${quote(name)} is already the name of ${formatPath(taken)}`);
  else first.set(name, at);
  return name !== UNSPECIFIED && taken === undefined;
}

function checkQueues(written: WrittenConfig, pools: Readonly<Record<string, PoolConfig>>, check: Check): void {
  for (const { value: rule, at } of written.queues) {
    const pool = rule.options.egressPool;
    if (pool === undefined || Object.hasOwn(pools, pool)) continue;
    check.unknownName([...at, "egress_pool"], "pool", pool, Object.keys(pools));
  }
}
