import { join } from "node:path";

/** Reads a small text file of /proc or /sys; null when it is not there. */
export type ReadText = (path: string) => Promise<string | null>;

/** What of a limit is used now, and from which number on it is too much; bytes. */
export interface MemoryState {
  readonly used: number;
  readonly soft: number;
  /** Where the limit comes from, for people. */
  readonly from: string;
}

/** Part of a hard limit that is the soft one. */
const SOFT_SHARE = 0.75;
/** The kernel writes about this much for "no limit" (cgroup v1). */
const UNLIMITED = 2 ** 60;

/**
 * The memory in use and its soft limit: the configuration's, else the control group's (v2: `memory.high`, or 75 % of
 * `memory.max`; v1: 75 % of its limit), else 75 % of the process's own limit, else 75 % of the machine's memory.
 *
 * What the kernel can take back does not count: neither file pages in its cache nor LMDB's mapped ones. In a control group
 * all its processes count, since its limit holds for them together; otherwise this process alone.
 */
export async function memoryState(read: ReadText, configured: number | null): Promise<MemoryState> {
  if (configured !== null) return { used: await ownBytes(read), soft: configured, from: "memory.soft_limit" };
  return (await cgroupV2(read)) ?? (await cgroupV1(read)) ?? (await processLimit(read)) ?? (await machine(read));
}

/** Every group from ours up to the root may have a limit: the one with the least room left counts. */
async function cgroupV2(read: ReadText): Promise<MemoryState | null> {
  const path = /^0::(\/.*)$/m.exec((await read("/proc/self/cgroup")) ?? "")?.[1];
  if (path === undefined) return null;
  let tightest: MemoryState | null = null;
  for (const directory of upwards("/sys/fs/cgroup", path)) {
    const high = limitIn(await read(join(directory, "memory.high")));
    const max = limitIn(await read(join(directory, "memory.max")));
    const soft = Math.min(high, max * SOFT_SHARE);
    if (soft === Number.POSITIVE_INFINITY) continue;
    const stat = await read(join(directory, "memory.stat"));
    if (stat === null) continue;
    const kernel = has(stat, "kernel")
      ? field(stat, "kernel") - field(stat, "slab_reclaimable")
      : field(stat, "kernel_stack") + field(stat, "pagetables") + field(stat, "slab_unreclaimable");
    const used = field(stat, "anon") + field(stat, "shmem") + field(stat, "sock") + Math.max(0, kernel);
    tightest = tighter(tightest, { used, soft, from: high <= max * SOFT_SHARE ? "memory.high" : "memory.max" });
  }
  return tightest;
}

async function cgroupV1(read: ReadText): Promise<MemoryState | null> {
  const groups = (await read("/proc/self/cgroup")) ?? "";
  const path = /^\d+:(?:[^:\n]*,)?memory(?:,[^:\n]*)?:(\/.*)$/m.exec(groups)?.[1];
  if (path === undefined) return null;
  let tightest: MemoryState | null = null;
  for (const directory of upwards("/sys/fs/cgroup/memory", path)) {
    const limit = limitIn(await read(join(directory, "memory.limit_in_bytes")));
    const stat = await read(join(directory, "memory.stat"));
    if (limit === Number.POSITIVE_INFINITY || stat === null) continue;
    const kernel = limitIn(await read(join(directory, "memory.kmem.usage_in_bytes")));
    const used = field(stat, "total_rss") + field(stat, "total_shmem") + (Number.isFinite(kernel) ? kernel : 0);
    tightest = tighter(tightest, { used, soft: limit * SOFT_SHARE, from: "memory.limit_in_bytes" });
  }
  return tightest;
}

/**
 * The process's own limits. That of the address space (`ulimit -v`) is used up mostly by what was only reserved, so what
 * counts is the memory in use beside what could still be had.
 */
async function processLimit(read: ReadText): Promise<MemoryState | null> {
  const limits = (await read("/proc/self/limits")) ?? "";
  const resident = softLimit(limits, "Max resident set");
  const space = softLimit(limits, "Max address space");
  if (resident === Number.POSITIVE_INFINITY && space === Number.POSITIVE_INFINITY) return null;
  const used = await ownBytes(read);
  const free = Math.max(0, space - kilobytes((await read("/proc/self/status")) ?? "", "VmSize"));
  const soft = SOFT_SHARE * Math.min(resident, used + free);
  return { used, soft, from: resident <= used + free ? "ulimit -m" : "ulimit -v" };
}

async function machine(read: ReadText): Promise<MemoryState> {
  const total = kilobytes((await read("/proc/meminfo")) ?? "", "MemTotal");
  // Where there is no /proc nothing can be said, and nothing is refused.
  const soft = total === 0 ? Number.POSITIVE_INFINITY : total * SOFT_SHARE;
  return { used: await ownBytes(read), soft, from: "the machine's memory" };
}

/** The process's memory that no file stands behind. */
async function ownBytes(read: ReadText): Promise<number> {
  const status = (await read("/proc/self/status")) ?? "";
  return kilobytes(status, "RssAnon") + kilobytes(status, "RssShmem");
}

function tighter(known: MemoryState | null, other: MemoryState): MemoryState {
  return known === null || other.soft - other.used < known.soft - known.used ? other : known;
}

/** A group's directory and those above it. In a container the group's own path may not be there, and its root is. */
function upwards(root: string, path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "" && part !== "..");
  return Array.from({ length: parts.length + 1 }, (_, up) => join(root, ...parts.slice(0, parts.length - up)));
}

function limitIn(text: string | null): number {
  const bytes = text === null || text.trim() === "max" ? Number.POSITIVE_INFINITY : Number(text.trim());
  return bytes < UNLIMITED ? bytes : Number.POSITIVE_INFINITY;
}

function has(stat: string, name: string): boolean {
  return new RegExp(`^${name} `, "m").test(stat);
}

function field(stat: string, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(stat)?.[1] ?? 0);
}

function kilobytes(status: string, name: string): number {
  return 1024 * Number(new RegExp(`^${name}:\\s*(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
}

/** The soft limit in a line of /proc/self/limits; Infinity for none, and where the line is not there. */
export function softLimit(limits: string, name: string): number {
  const value = new RegExp(`^${name}\\s+(\\d+|unlimited)\\s`, "m").exec(limits)?.[1] ?? "unlimited";
  return value === "unlimited" ? Number.POSITIVE_INFINITY : Number(value);
}
