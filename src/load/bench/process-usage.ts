import { readdirSync, readFileSync } from "node:fs";

/** CPU that one thread of a process has used. */
export interface ThreadUsage {
  /** The kernel's thread id; that of the first thread is the process's. */
  readonly id: number;
  /** The thread's name as the kernel knows it. */
  readonly name: string;
  readonly cpuUs: number;
}

/** What a process has used so far. */
export interface ProcessUsage {
  /** All threads, those that have ended included; in steps of the kernel's clock tick, usually 10 ms. */
  readonly cpuUs: number;
  /** The threads that live. */
  readonly threads: readonly ThreadUsage[];
  /** The most memory that it held at once. */
  readonly maxRssBytes: number;
}

/** Linux counts in hundredths of a second for user programs on every architecture that Node runs on (USER_HZ). */
const TICK_US = 10_000;

function ticksUs(stat: string): number {
  // Behind the name, which may contain anything: state is field 3, user and system time fields 14 and 15 (proc(5)).
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_US;
}

/** CPU of a thread: nanoseconds from `schedstat` where the kernel keeps it, else clock ticks. */
function threadCpuUs(folder: string): number {
  const [nanoseconds = ""] = readFileSync(`${folder}/schedstat`, "utf8").split(" ");
  const us = Number(nanoseconds) / 1000;
  return us > 0 ? us : ticksUs(readFileSync(`${folder}/stat`, "utf8"));
}

/** Reads what the process `pid` has used, from `/proc`; null when there is no such process, or no `/proc`. */
export function processUsage(pid: number): ProcessUsage | null {
  try {
    const threads: ThreadUsage[] = [];
    for (const id of readdirSync(`/proc/${pid}/task`)) {
      try {
        const folder = `/proc/${pid}/task/${id}`;
        const name = readFileSync(`${folder}/comm`, "utf8").trim();
        threads.push({ id: Number(id), name, cpuUs: threadCpuUs(folder) });
      } catch {
        // The thread ended while it was looked at.
      }
    }
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const peakKb = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0);
    return { cpuUs: ticksUs(readFileSync(`/proc/${pid}/stat`, "utf8")), threads, maxRssBytes: peakKb * 1024 };
  } catch {
    return null;
  }
}

/** What was used between two looks at one process; threads that are new count from nothing, most CPU first. */
export function usageBetween(before: ProcessUsage, after: ProcessUsage): ProcessUsage {
  const earlier = new Map(before.threads.map((thread) => [thread.id, thread.cpuUs]));
  const threads = after.threads.map((thread) => ({ ...thread, cpuUs: thread.cpuUs - (earlier.get(thread.id) ?? 0) }));
  threads.sort((a, b) => b.cpuUs - a.cpuUs);
  return { cpuUs: after.cpuUs - before.cpuUs, threads, maxRssBytes: after.maxRssBytes };
}
