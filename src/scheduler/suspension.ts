import type { EgressPath } from "./egress-path.js";
import type { ScheduledQueue } from "./scheduled-queue.js";

/** Whether the path is suspended by an operator or by automation: then nothing enters it and nothing leaves it. */
export function pathSuspended(_path: EgressPath): boolean {
  return false;
}

/** Whether the scheduled queue is suspended: then its due messages stay where they are, at no attempt's cost. */
export function queueSuspended(_queue: ScheduledQueue): boolean {
  return false;
}

/** Whether the throttles on choosing this source have a token for one message; a place in the path is reserved. */
export function selectionAllowed(_path: EgressPath): boolean {
  return true;
}
