import { readFileSync, readlinkSync } from "node:fs";

/** What Linux counts processor time in for everybody: ticks of 10 ms. */
const TICK_MS = 10;

/** The operating system's number of the calling thread, 0 where it cannot be told. */
export function osThread(): number {
  try {
    // A link that each thread reads for itself: "PID/task/TID".
    return Number(/\/task\/(\d+)$/.exec(readlinkSync("/proc/thread-self"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** Processor time that a thread of this process has used, ms; null where it cannot be told. */
export function threadCpuMs(thread: number): number | null {
  if (thread === 0) return null;
  try {
    const stat = readFileSync(`/proc/self/task/${thread}/stat`, "latin1");
    // Behind the name, which may hold anything: state is the 1st, utime and stime are the 12th and 13th.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const ticks = Number(fields[11]) + Number(fields[12]);
    return Number.isFinite(ticks) ? ticks * TICK_MS : null;
  } catch {
    return null;
  }
}
