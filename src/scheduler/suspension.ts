import type { EgressPath } from "./egress-path.js";
import type { ScheduledQueue } from "./scheduled-queue.js";

/** Whether nothing may enter or leave the path now: its source is not well. */
export function pathSuspended(path: EgressPath, nowMs: number): boolean {
  return path.source.isSuspended(nowMs);
}

/** Whether the scheduled queue is suspended: then its due messages stay where they are, at no attempt's cost. */
export function queueSuspended(_queue: ScheduledQueue): boolean {
  return false;
}
