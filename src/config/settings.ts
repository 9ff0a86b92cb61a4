import type {
  CompiledConfig,
  DnsConfig,
  HttpListenerConfig,
  LogConfig,
  MemoryConfig,
  MtaStsConfig,
  QueueRule,
  SourceConfig,
  SpoolConfig,
} from "./compiled.js";
import { dnsTable, mtaStsTable } from "./dns-settings.js";
import { poolTable, sourceTable, type WrittenPool } from "./egress-settings.js";
import { type Kind, list, type Placed, placed } from "./kinds.js";
import { httpListenerTable, smtpListenerTable, type WrittenSmtpListener } from "./listener-settings.js";
import { queueTable } from "./queue-settings.js";
import {
  deliveryTable,
  logTable,
  memoryTable,
  nodeTable,
  shapingTable,
  spoolTable,
  threadTable,
  type WrittenNode,
  type WrittenThreads,
} from "./server-settings.js";
import { refused, setting, table } from "./table.js";

/** The server's file as read and checked value by value; what values say about each other is for `compile.ts`. */
export interface WrittenConfig {
  readonly node: WrittenNode;
  readonly threads: WrittenThreads;
  readonly delivery: CompiledConfig["delivery"];
  readonly spool: SpoolConfig;
  readonly memory: MemoryConfig;
  readonly dns: DnsConfig;
  readonly mtaSts: MtaStsConfig;
  readonly log: LogConfig;
  readonly shapingFiles: readonly string[];
  readonly smtpListeners: readonly Placed<WrittenSmtpListener>[];
  readonly httpListeners: readonly Placed<HttpListenerConfig>[];
  readonly sources: readonly Placed<SourceConfig>[];
  readonly pools: readonly Placed<WrittenPool>[];
  readonly queues: readonly Placed<QueueRule>[];
}

function section<T>(key: string, kind: Kind<T>, about: string) {
  return setting(key, kind, { fallback: null, about });
}

function sections<T>(key: string, kind: Kind<T>, what: string, max: number, about: string) {
  return setting(key, list(placed(kind), { what, max }), { fallback: [] as readonly Placed<T>[], about });
}

const root = {
  node: section("node", nodeTable, "Who this server is and where it keeps its state."),
  threads: section("threads", threadTable, "How many threads work."),
  delivery: section("delivery", deliveryTable, "Whether mail leaves the machine."),
  spool: section("spool", spoolTable, "Accepted messages on disk."),
  memory: section("memory", memoryTable, "When memory is scarce."),
  smtp: sections("smtp_listener", smtpListenerTable, "SMTP listeners", 100, "Where mail is taken by SMTP."),
  http: sections(
    "http_listener",
    httpListenerTable,
    "HTTP listeners",
    100,
    "Where mail and commands are taken by HTTP.",
  ),
  dns: section("dns", dnsTable, "Who is asked where mail goes."),
  mtaSts: section("mta_sts", mtaStsTable, "What domains demand of the way to them (RFC 8461)."),
  log: section("log", logTable, "The event log."),
  shaping: section("shaping", shapingTable, "Rules for the traffic by destination."),
  source: sections("source", sourceTable, "sources", 10_000, "Addresses to send from."),
  pool: sections("pool", poolTable, "pools", 10_000, "Sources that share the messages of a queue."),
  queue: sections(
    "queue",
    queueTable,
    "queue rules",
    10_000,
    "Rules for scheduled queues; the first match wins, missing keys come from the next match.",
  ),
  logHook: refused("log_hook", "log hooks"),
  dkim: refused("dkim", "DKIM signing"),
  redis: refused("redis", "a cluster over Redis"),
  policy: refused("policy", "policy hooks"),
  classifier: refused("bounce_classifier", "classes of bounces"),
};

/** The settings of the server's file, section by section. */
export const rootSettings = Object.values(root);

/** The server's file. */
export const rootTable: Kind<WrittenConfig> = table(rootSettings, (reader) => {
  const node = reader.section(root.node);
  const threads = reader.section(root.threads);
  const delivery = reader.section(root.delivery);
  const spool = reader.section(root.spool);
  const memory = reader.section(root.memory);
  const dns = reader.section(root.dns);
  const mtaSts = reader.section(root.mtaSts);
  const log = reader.section(root.log);
  const shaping = reader.section(root.shaping);
  const lists = {
    smtpListeners: reader.get(root.smtp),
    httpListeners: reader.get(root.http),
    sources: reader.get(root.source),
    pools: reader.get(root.pool),
    queues: reader.get(root.queue),
  };
  // A section that is no table at all has been reported; there is nothing to go on with.
  if (!node || !threads || !delivery || !spool || !memory || !dns || !mtaSts || !log || !shaping) return undefined;
  return { node, threads, delivery, spool, memory, dns, mtaSts, log, shapingFiles: shaping.files, ...lists };
});
