import { readFileSync } from "node:fs";

/**
 * Who holds a lock file, as its text: process id and the process's start in clock ticks since boot (field 22 of
 * `/proc/<pid>/stat`), so that a number that the system has given to another process since does not count.
 */
export function ownerText(): string {
  return `${process.pid} ${startOf(process.pid) ?? "-"}\n`;
}

/** The living process that a lock file's text names, or null when there is none. */
export function livingOwner(text: string): number | null {
  const match = /^(\d{1,10}) (\d+|-)\n$/.exec(text);
  if (match === null) return null;
  const pid = Number(match[1]);
  const start = startOf(pid);
  if (start === null) return null;
  return match[2] === "-" || match[2] === start ? pid : null;
}

function startOf(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The second field is the program's name in parentheses and may hold spaces; what follows it has not.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? null;
  } catch {
    return null;
  }
}
