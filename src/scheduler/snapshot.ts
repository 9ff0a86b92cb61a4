import type { Core } from "./core.js";
import type { EgressPath } from "./egress-path.js";
import { State } from "./message-table.js";
import type { Hold, ScheduledQueue } from "./scheduled-queue.js";

/** The scheduler's sums at one moment: plain numbers for metrics. */
export interface Totals {
  readonly accepted: number;
  readonly settled: number;
  readonly waiting: number;
  readonly due: number;
  readonly ready: number;
  readonly inFlight: number;
  readonly retiring: number;
  readonly freeRows: number;
  readonly queues: number;
  readonly paths: number;
  readonly sessions: number;
}

/** One scheduled queue at one moment. */
export interface QueueSnapshot {
  readonly name: string;
  readonly waiting: number;
  readonly due: number;
  readonly ready: number;
  readonly inFlight: number;
  readonly retiring: number;
  /** Why its due messages do not move; `none` when they do. */
  readonly hold: Hold;
  /** Printed site of its route, the kind of the answer when it has none, "" before the first answer. */
  readonly route: string;
}

/** One egress path at one moment. */
export interface PathSnapshot {
  readonly name: string;
  readonly ready: number;
  readonly maxReady: number;
  readonly sessions: number;
  readonly freeSessions: number;
  readonly connectionLimit: number;
  /** Queues that wait for room. */
  readonly parked: number;
  /** Connections that failed since the last one that came up. */
  readonly failures: number;
  /** For how long no session will be opened, ms; 0 when one may be. */
  readonly restMs: number;
}

/** The sums. */
export function totals(core: Core): Totals {
  const { table } = core;
  const { counts } = table;
  return {
    accepted: table.accepted,
    settled: table.settled,
    waiting: counts[State.waiting],
    due: counts[State.due],
    ready: counts[State.ready],
    inFlight: counts[State.inFlight],
    retiring: counts[State.retiring],
    freeRows: table.freeRows,
    queues: core.queues.size,
    paths: core.paths.size,
    sessions: core.sessions.size,
  };
}

/** At most `limit` queues that have messages, in the order in which they came up. */
export function queueSnapshots(core: Core, limit: number): QueueSnapshot[] {
  const found: QueueSnapshot[] = [];
  for (const queue of core.queues.all()) {
    if (found.length >= limit) break;
    if (queue.rows > 0) found.push(queueSnapshot(queue));
  }
  return found;
}

/** One queue. */
export function queueSnapshot(queue: ScheduledQueue): QueueSnapshot {
  const { counts, route } = queue;
  return {
    name: queue.name,
    waiting: counts[State.waiting],
    due: counts[State.due],
    ready: counts[State.ready],
    inFlight: counts[State.inFlight],
    retiring: counts[State.retiring],
    hold: queue.hold,
    route: route === null ? "" : route.kind === "hosts" ? route.site : route.kind,
  };
}

/** At most `limit` paths, in the order in which they came up. */
export function pathSnapshots(core: Core, limit: number): PathSnapshot[] {
  const found: PathSnapshot[] = [];
  for (const path of core.paths.all()) {
    if (found.length >= limit) break;
    found.push(pathSnapshot(path, core.nowMs));
  }
  return found;
}

/** One path. */
export function pathSnapshot(path: EgressPath, nowMs: number): PathSnapshot {
  return {
    name: path.definition.name,
    ready: path.ready.length,
    maxReady: path.config.maxReady,
    sessions: path.sessions,
    freeSessions: path.free.length,
    connectionLimit: path.config.connectionLimit,
    parked: path.ready.parked,
    failures: path.failures,
    restMs: Math.max(0, path.restUntilMs - nowMs),
  };
}
