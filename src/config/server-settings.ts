import { formatSize, parseSize } from "../base/units.js";
import type { CompiledConfig, Durability, FreeLimit, LogConfig, MemoryConfig, SpoolConfig } from "./compiled.js";
import { choice, duration, integer, type Kind, list, size } from "./kinds.js";
import { quote } from "./problems.js";
import { later, refused, setting, table } from "./table.js";
import { filePath, hostName, stringKind } from "./text-kinds.js";

const SECOND = 1000;
const MINUTE = 60_000;
const DAY = 86_400_000;

const node = {
  hostname: setting("hostname", hostName(), {
    fallback: null,
    fallbackText: "the machine's",
    reload: "start",
    about: "Name of this server in greetings, EHLO and trace headers.",
  }),
  dataDir: setting("data_dir", filePath(), {
    fallback: "./var",
    reload: "start",
    about: "Directory of spool, logs and state; relative to this file.",
  }),
  nodeId: setting("node_id", uuid(), {
    fallback: null,
    fallbackText: "a UUID kept in `data_dir`",
    reload: "start",
    about: "Identity of this node in message ids and log records.",
  }),
};

/** `[node]` as written: paths not yet absolute, the node's id not yet looked up. */
export interface WrittenNode {
  readonly hostname: string | null;
  readonly dataDir: string;
  readonly nodeId: string | null;
}

/** `[node]`. */
export const nodeTable: Kind<WrittenNode> = table(Object.values(node), (reader) => ({
  hostname: reader.get(node.hostname),
  dataDir: reader.get(node.dataDir),
  nodeId: reader.get(node.nodeId),
}));

function uuid(): Kind<string> {
  return stringKind(
    "UUID",
    'a UUID, such as "0198c0de-5a5a-7000-8000-0123456789ab"',
    (written) => (isUuid(written) ? written.toLowerCase() : null),
    quote,
  );
}

/** True for a UUID in its usual form with four hyphens (RFC 9562 §4). */
export function isUuid(written: string): boolean {
  return /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i.test(written);
}

/** Most worker threads of one server. */
const MAX_WORKERS = 256;

const threads = {
  workers: setting("workers", workerCount(), {
    fallback: "auto" as const,
    reload: "start",
    about: 'Worker threads; "auto" is one less than the cores, at least 1.',
  }),
  watchdogTimeout: setting("watchdog_timeout", duration({ min: SECOND, max: 60 * MINUTE }), {
    fallback: 30 * SECOND,
    reload: "start",
    about:
      "A worker that takes no turn for so long, and is not merely waiting for the disk or the processor, is ended and replaced.",
  }),
};

/** `[threads]` as written. */
export interface WrittenThreads {
  readonly workers: number | "auto";
  readonly watchdogTimeoutMs: number;
}

/** `[threads]`. */
export const threadTable: Kind<WrittenThreads> = table(Object.values(threads), (reader) => ({
  workers: reader.get(threads.workers),
  watchdogTimeoutMs: reader.get(threads.watchdogTimeout),
}));

function workerCount(): Kind<number | "auto"> {
  const count = integer({ min: 1, max: MAX_WORKERS });
  return {
    name: 'whole number or "auto"',
    bounds: count.bounds,
    schema: { anyOf: [count.schema, { enum: ["auto"] }] },
    read(value, at, check) {
      if (value === "auto") return "auto";
      if (typeof value !== "number") return check.wrong(at, value, `"auto" or a whole number from ${count.bounds}`);
      return count.read(value, at, check);
    },
    print: (value) => (value === "auto" ? quote(value) : String(value)),
  };
}

const delivery = {
  mode: setting("mode", choice("sandbox", "live"), {
    fallback: "sandbox" as const,
    reload: "start",
    about: '"sandbox" delivers everything to the built-in sink; "live" delivers to the world.',
  }),
};

/** `[delivery]`. */
export const deliveryTable: Kind<CompiledConfig["delivery"]> = table(Object.values(delivery), (reader) => ({
  mode: reader.get(delivery.mode),
}));

const spool = {
  path: setting("path", filePath(), {
    fallback: "spool",
    reload: "start",
    about: "Directory of the spool; relative to `data_dir`.",
  }),
  durability: setting("durability", choice<Durability>("flushed", "committed", "deferred"), {
    reload: "start",
    fallback: "flushed" as const,
    about:
      'What is true when a message is accepted: "flushed": it is on disk; "committed": it survives a crash of the process; "deferred": it is in memory, and stored as with "committed" when its first attempt fails or does not begin within `deferred_wait`.',
  }),
  deferredWait: setting("deferred_wait", duration({ min: 0, max: MINUTE }), {
    fallback: 200,
    reload: "start",
    about:
      'With durability "deferred": how long an accepted message may wait in memory only for its first attempt to begin.',
  }),
  deferredMemory: setting("deferred_memory", size({ min: 0, max: 1024 * 1024 ** 3 }), {
    fallback: 64 * 1024 * 1024,
    reload: "start",
    about:
      'With durability "deferred": most bytes of accepted messages that a worker holds in memory only. Beyond, a message is stored before it is accepted, as with "committed".',
  }),
  minFreeSpace: setting("min_free_space", freeLimit(), {
    reload: "start",
    fallback: { fraction: 0.1 },
    about: "Free space of the spool's file system below which no mail is accepted.",
  }),
  minFreeInodes: setting("min_free_inodes", freeLimit(), {
    reload: "start",
    fallback: { fraction: 0.1 },
    about: "Free inodes of the spool's file system below which no mail is accepted.",
  }),
  maxMessages: setting("max_messages", integer({ min: 1, max: 100_000_000 }), {
    fallback: 10_000_000,
    reload: "start",
    about: "Most messages that may wait on this node; one more is answered 452.",
  }),
  compactAfter: setting("compact_after", duration({ min: 0, max: 366 * DAY }), {
    reload: "start",
    fallback: 10 * MINUTE,
    about:
      "How long three quarters of a shard's file, and 64 MiB at least, must have been free before the file is compacted by itself; 0: only by `spool-compact`.",
  }),
};

/** `[spool]`: accepted messages on disk; the path as written. */
export const spoolTable: Kind<SpoolConfig> = table(Object.values(spool), (reader) => ({
  path: reader.get(spool.path),
  durability: reader.get(spool.durability),
  deferredMemory: reader.get(spool.deferredMemory),
  deferredWaitMs: reader.get(spool.deferredWait),
  minFreeSpace: reader.get(spool.minFreeSpace),
  minFreeInodes: reader.get(spool.minFreeInodes),
  maxMessages: reader.get(spool.maxMessages),
  compactAfterMs: reader.get(spool.compactAfter),
}));

const memory = {
  softLimit: setting("soft_limit", size({ min: 64 * 1024 ** 2, max: 1e15 }), {
    fallback: null,
    fallbackText: "found out",
    reload: "start",
    about:
      "Memory in use from which on no mail is taken. Found out, it is the control group's `memory.high` or 75 % of its limit, else 75 % of the process's limit (`ulimit -m`, `ulimit -v`), else 75 % of the machine's memory. Written here, the process's own memory is held against it.",
  }),
  lowThresh: setting("low_thresh", size({ min: 32 * 1024 ** 2, max: 1e15 }), {
    fallback: null,
    fallbackText: "80 % of the soft limit",
    reload: "start",
    about: "Memory in use from which on caches are given up and mail that is in memory only is stored.",
  }),
};

/** `[memory]`. */
export const memoryTable: Kind<MemoryConfig> = table(Object.values(memory), (reader) => {
  const softLimit = reader.get(memory.softLimit);
  const lowThresh = reader.get(memory.lowThresh);
  if (softLimit !== null && lowThresh !== null && lowThresh > softLimit) {
    reader.check.error(reader.path(memory.lowThresh), "must not be above `soft_limit`");
  }
  return { softLimit, lowThresh };
});

/** `"10%"`, or a size, or a count. */
function freeLimit(): Kind<FreeLimit> {
  const expected = 'a percentage such as "10%", a size such as "1GiB", or a count';
  return {
    name: "percentage or size",
    bounds: "0% to 100%",
    schema: { anyOf: [{ type: "string" }, { type: "integer", minimum: 0 }] },
    read(value, at, check) {
      const percent = typeof value === "string" ? /^(\d{1,3}(?:\.\d{1,3})?)\s*%$/.exec(value)?.[1] : undefined;
      if (percent !== undefined) {
        return Number(percent) <= 100 ? { fraction: Number(percent) / 100 } : check.wrong(at, value, expected);
      }
      const count = typeof value === "string" || typeof value === "number" ? parseSize(value) : null;
      return count === null ? check.wrong(at, value, expected) : { count };
    },
    print: (value) => quote("count" in value ? formatSize(value.count) : `${value.fraction * 100}%`),
  };
}

const log = {
  dir: setting("dir", filePath(), {
    fallback: "log",
    reload: "start",
    about: "Directory of the log files; relative to `data_dir`.",
  }),
  maxFileSize: setting("max_file_size", size({ min: 4096, max: 1e15 }), {
    reload: "start",
    fallback: 1_000_000_000,
    about: "Size at which a new log file is begun.",
  }),
  maxSegmentDuration: setting("max_segment_duration", duration({ min: SECOND, max: 366 * DAY }), {
    reload: "start",
    fallback: null,
    about: "Age at which a new log file is begun.",
  }),
  compressionLevel: later("compression_level", integer({ min: 0, max: 21 }), "Compression of finished log files."),
  meta: later("meta", list(anyText(), { what: "names" }), "Metadata that log records carry.", []),
  headers: later("headers", list(anyText(), { what: "names" }), "Message headers that log records carry.", []),
  backPressure: refused("back_pressure", "the bound of the log's queue"),
  perRecord: refused("per_record", "settings for one type of record"),
  filterEvent: refused("filter_event", "choosing what is logged by policy"),
};

/** `[log]`: the event log; the path as written. */
export const logTable: Kind<LogConfig> = table(Object.values(log), (reader) => ({
  dir: reader.get(log.dir),
  maxFileSize: reader.get(log.maxFileSize),
  maxSegmentDurationMs: reader.get(log.maxSegmentDuration),
}));

function anyText(): Kind<string> {
  return stringKind("text", "a text", (written) => written, quote);
}

const shaping = {
  files: setting("files", list(filePath(), { what: "files", max: 100 }), {
    fallback: [] as readonly string[],
    about: "Shaping files, TOML or JSON by extension; later ones win. Relative to this file.",
  }),
  publish: refused("publish", "a separate shaping service (automation is built in)"),
  subscribe: refused("subscribe", "a separate shaping service (automation is built in)"),
};

/** `[shaping]`; the paths as written. */
export const shapingTable: Kind<{ readonly files: readonly string[] }> = table(Object.values(shaping), (reader) => ({
  files: reader.get(shaping.files),
}));
