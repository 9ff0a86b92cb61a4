import type { PoolConfig, SourceConfig } from "./compiled.js";
import { duration, integer, type Kind, list, type Placed, placed } from "./kinds.js";
import { proxySettings, readProxy } from "./proxy-settings.js";
import { later, refused, required, setting, table } from "./table.js";
import { ehloName, ipAddress, itemName } from "./text-kinds.js";

const DAY = 86_400_000;

/** Name of a pool and a source that always exist: the system chooses the address. */
export const UNSPECIFIED = "unspecified";

/** The source of the system's choice of address. */
export const UNSPECIFIED_SOURCE: SourceConfig = {
  name: UNSPECIFIED,
  sourceAddress: null,
  ehloDomain: null,
  remotePort: null,
  proxy: null,
};

/** The pool that holds {@link UNSPECIFIED_SOURCE} alone. */
export const UNSPECIFIED_POOL: PoolConfig = { name: UNSPECIFIED, entries: [{ name: UNSPECIFIED, weight: 1 }] };

const cacheLife = later("ttl", duration({ min: 0, max: DAY }), "Sources and pools are live; nothing is cached.");

const source = {
  name: required("name", itemName(), { about: "name of the source" }),
  sourceAddress: setting("source_address", ipAddress(), {
    fallback: null,
    fallbackText: "the system's choice",
    about: "Local address that connections leave from.",
  }),
  ehloDomain: setting("ehlo_domain", ehloName(), {
    fallback: null,
    fallbackText: "`node.hostname`",
    about: "Name given with EHLO.",
  }),
  remotePort: setting("remote_port", integer({ min: 1, max: 65_535 }), {
    fallback: null,
    about: "Port of the destination; wins over the host's own and over `smtp_port`.",
  }),
  ttl: cacheLife,
  ...proxySettings,
  unplumbed: refused("suspend_when_unplumbed", "suspension of a source by its health"),
  unhealthy: refused("suspend_when_proxy_unhealthy", "suspension of a source by its health"),
};

/** `[[source]]`: an address to send from. */
export const sourceTable: Kind<SourceConfig> = table(Object.values(source), (reader) => {
  const name = reader.given(source.name);
  const sourceAddress = reader.get(source.sourceAddress);
  const proxy = readProxy(reader, sourceAddress);
  if (name === undefined) return undefined;
  return {
    name,
    sourceAddress,
    ehloDomain: reader.get(source.ehloDomain),
    remotePort: reader.get(source.remotePort),
    proxy,
  };
});

const entry = {
  name: required("name", itemName(), { about: "name of a source" }),
  weight: setting("weight", integer({ min: 0, max: 1_000_000 }), {
    fallback: 1,
    about: "Share of the messages; 0 takes the source out.",
  }),
};

const entryTable: Kind<PoolConfig["entries"][number]> = table(Object.values(entry), (reader) => {
  const name = reader.given(entry.name);
  return name === undefined ? undefined : { name, weight: reader.get(entry.weight) };
});

const pool = {
  name: required("name", itemName(), { about: "name of the pool" }),
  entries: required("entries", list(placed(entryTable), { what: "sources", min: 1, max: 1000 }), {
    about: "sources with their weights",
  }),
  ttl: cacheLife,
};

/** One `[[pool]]`, its entries with their places, so that unknown sources can be pointed at. */
export interface WrittenPool {
  readonly name: string;
  readonly entries: readonly Placed<PoolConfig["entries"][number]>[];
}

/** `[[pool]]`: sources that share the messages of a queue. */
export const poolTable: Kind<WrittenPool> = table(Object.values(pool), (reader) => {
  const name = reader.given(pool.name);
  const entries = reader.given(pool.entries);
  if (name === undefined || entries === undefined) return undefined;
  if (!entries.some((one) => one.value.weight > 0))
    reader.check.warn(reader.path(pool.entries), "no source has a weight above 0");
  return { name, entries };
});
