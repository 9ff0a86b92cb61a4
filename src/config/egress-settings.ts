import { isTable } from "./check.js";
import type { PoolConfig, SourceConfig, SuspendRule } from "./compiled.js";
import { duration, flag, integer, type Kind, list, type Placed, placed, rate } from "./kinds.js";
import { proxySettings, readProxy } from "./proxy-settings.js";
import { later, required, setting, table } from "./table.js";
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
  freeBind: false,
  suspendWhenUnplumbed: null,
  suspendWhenProxyUnhealthy: null,
};

/** The pool that holds {@link UNSPECIFIED_SOURCE} alone. */
export const UNSPECIFIED_POOL: PoolConfig = { name: UNSPECIFIED, entries: [{ name: UNSPECIFIED, weight: 1 }] };

const TRIGGER = '"Immediate" or { Threshold = "N/period" }, such as { Threshold = "5/min" }';

/** `"Immediate"`, or `{ Threshold = "N/period" }`: so many failures within the period. */
function triggerKind(): Kind<Pick<SuspendRule, "failures" | "periodMs">> {
  const threshold = rate();
  return {
    name: '"Immediate" or { Threshold }',
    bounds: "",
    schema: {
      anyOf: [
        { enum: ["Immediate"] },
        {
          type: "object",
          required: ["Threshold"],
          additionalProperties: false,
          properties: { Threshold: { type: "string" } },
        },
      ],
    },
    read(value, at, check) {
      if (value === "Immediate") return { failures: 1, periodMs: 1000 };
      if (!isTable(value)) return check.wrong(at, value, TRIGGER);
      for (const key of Object.keys(value)) {
        if (key !== "Threshold") return check.unknownKey([...at, key], ["Threshold"]);
      }
      const read = threshold.read(value["Threshold"], [...at, "Threshold"], check);
      return read === undefined ? undefined : { failures: read.quantity, periodMs: read.periodSeconds * 1000 };
    },
    print: () => "",
  };
}

const suspend = {
  trigger: required("trigger", triggerKind(), { about: TRIGGER }),
  duration: required("duration", duration({ min: 1000, max: DAY }), { about: "how long the source is out of use" }),
};

const suspendTable: Kind<SuspendRule> = table(Object.values(suspend), (reader) => {
  const trigger = reader.given(suspend.trigger);
  const durationMs = reader.given(suspend.duration);
  return trigger === undefined || durationMs === undefined ? undefined : { ...trigger, durationMs };
});

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
  freeBind: setting("free_bind", flag(), {
    fallback: false,
    about: "Use the address although no interface has it (yet): the network routes it here.",
  }),
  unplumbed: setting("suspend_when_unplumbed", suspendTable, {
    fallback: null,
    about: "Takes the source out for a while when no interface, here or at its proxy, has its address.",
  }),
  unhealthy: setting("suspend_when_proxy_unhealthy", suspendTable, {
    fallback: null,
    about: "Takes the source out for a while when its proxy fails.",
  }),
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
    freeBind: reader.get(source.freeBind),
    suspendWhenUnplumbed: reader.get(source.unplumbed),
    suspendWhenProxyUnhealthy: reader.get(source.unhealthy),
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
