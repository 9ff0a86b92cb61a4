import type { Core } from "./core.js";
import type { ScheduledQueue } from "./scheduled-queue.js";

/** What an entry of a pool said to a message that was to go its way. */
export enum Refusal {
  none = 0,
  /** Its ready queue is full. */
  full = 1,
  /** Not before a time that is known: its rates have no token, or it is suspended. */
  timed = 2,
}

/**
 * No entry of the queue's pool takes a message now. The queue waits behind those that are full, until one of them has
 * room, and for the earliest of the others, `resumeMs`; whichever comes first wakes it, and no attempt is counted.
 */
export function park(core: Core, queue: ScheduledQueue, refused: Uint8Array, resumeMs: number): void {
  const { counters, agenda } = core;
  let behind = 0;
  for (const [entry, lane] of queue.lanes.entries()) {
    if (lane === null || refused[entry] !== Refusal.full) continue;
    lane.path.ready.park(lane, queue.woken);
    behind++;
  }
  queue.woken = false;
  queue.hold = behind > 0 ? "parked" : "throttled";
  if (behind > 0) counters.parked++;
  else counters.throttled++;
  queue.resumeMs = resumeMs;
  if (resumeMs !== Number.POSITIVE_INFINITY) agenda.queueAlarms.ringBy(queue.alarm, resumeMs);
}

/** The queue may try again; its due messages go on when nothing else holds it. */
export function unpark(core: Core, queue: ScheduledQueue): void {
  queue.resumeMs = Number.POSITIVE_INFINITY;
  for (const lane of queue.lanes) {
    if (lane === null || !lane.parked) continue;
    lane.unpark();
    if (lane.path.idle) core.agenda.serviceable.ensure(lane.path.serviceLink);
  }
  if (queue.hold === "parked" || queue.hold === "throttled") queue.hold = "none";
  if (queue.due.length > 0 && queue.hold === "none") core.agenda.promotable.ensure(queue.agendaLink);
}

/** Queues whose time has come try again: at most `max` alarms ring; returns how many did. */
export function ringQueues(core: Core, max: number): number {
  const { agenda, nowMs } = core;
  for (let rung = 0; rung < max; rung++) {
    const queue = agenda.queueAlarms.ring(nowMs);
    if (queue === null) return rung;
    if (queue.resumeMs <= nowMs) unpark(core, queue);
    else if (queue.resumeMs !== Number.POSITIVE_INFINITY) agenda.queueAlarms.ringBy(queue.alarm, queue.resumeMs);
  }
  return max;
}
