import { readdirSync, readFileSync } from "node:fs";
import { Fault } from "../base/fault.js";
import type { CompiledConfig } from "../config/compiled.js";
import { softLimit } from "./memory-limit.js";

/** How the limit of open files is shared out. */
export interface DescriptorBudget {
  /** The limit in force; Infinity where it is not known. */
  readonly limit: number;
  /** Most sockets of clients and mail hosts. What is beyond is for files: spool, logs, DNS, HTTP. */
  readonly sockets: number;
}

/** Fewer sockets than this are not worth a start. */
const LEAST_SOCKETS = 16;
/** Open before the first worker runs, about. */
const FIRST_FILES = 32;
/** Files that come and go by thread: a log segment and its successor, shards of others, a socket or two for DNS. */
const FILES_PER_THREAD = 8;
/** Open all the time by worker: its event loop and reactor, its shard, its listeners' sockets. Measured: 20. */
const FILES_PER_WORKER = 24;
/** Most part of the limit that is kept for the DNS questions of all threads. */
const DNS_SHARE = 1 / 8;
const DNS_PER_THREAD = 128;
/** Policies of domains (MTA-STS) that are fetched at once. */
const POLICY_FETCHES = 32;
/** Most part of the limit for HTTP connections, and their number beyond which there is no use. */
const HTTP_SHARE = 1 / 16;
const MOST_HTTP = 256;
const LEAST_HTTP = 8;

/**
 * Shares out `limit`, of which `used` are in use before the first client comes; `threads` with the main one, and in each
 * at most `lookups` questions to name servers at once.
 */
export function shareDescriptors(
  limit: number,
  used: number,
  threads: number,
  lookups = DNS_PER_THREAD,
): DescriptorBudget {
  const dns = Math.min(threads * lookups + POLICY_FETCHES, Math.floor(limit * DNS_SHARE));
  const reserve = used + threads * FILES_PER_THREAD + dns + httpConnections(limit);
  return { limit, sockets: Math.max(LEAST_SOCKETS, limit - reserve) };
}

/** Shares out this process's limit, when everything listens. */
export function shareFiles(threads: number, lookups: number): DescriptorBudget {
  return shareDescriptors(fileLimit(), openFiles(), threads, lookups);
}

/** Most connections of an HTTP listener. */
export function httpConnections(limit: number = fileLimit()): number {
  return Math.min(MOST_HTTP, Math.max(LEAST_HTTP, Math.floor(limit * HTTP_SHARE)));
}

/**
 * Refuses a start that would end in the middle of it.
 * @throws {Fault} `files.limit`.
 */
export function checkFileLimit(config: CompiledConfig, limit: number = fileLimit()): void {
  const { workers } = config.threads;
  const threads = 1 + workers;
  const least = FIRST_FILES + workers * FILES_PER_WORKER + threads * FILES_PER_THREAD + LEAST_HTTP + LEAST_SOCKETS;
  if (limit >= least) return;
  throw new Fault("files.limit", `the limit of open files is ${limit}; ${workers} workers need at least ${least}`);
}

/** The limit of open files of this process, which Node has raised to the hard one; Infinity where there is no /proc. */
function fileLimit(): number {
  try {
    return softLimit(readFileSync("/proc/self/limits", "latin1"), "Max open files");
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}

/** Files that this process has open, 0 where there is no /proc. */
function openFiles(): number {
  try {
    return readdirSync("/proc/self/fd").length;
  } catch {
    return 0;
  }
}
