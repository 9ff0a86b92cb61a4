import type { SessionId, WorkerIndex } from "../base/brands.js";
import type { Core } from "./core.js";
import type { EgressPath } from "./egress-path.js";
import type { SuspensionReason } from "./egress-source.js";
import { State } from "./message-table.js";
import type { Hold, ScheduledQueue } from "./scheduled-queue.js";
import type { SessionState } from "./session.js";

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
  /** The shared limit that no lease is left of; null when it waits for none. */
  readonly limitedBy: string | null;
  /** For how long it has waited for that. */
  readonly limitedForMs: number | null;
  /** For how long it has had to wait for `max_connection_rate`; null when it does not. */
  readonly throttledForMs: number | null;
  /** Why nothing goes this way, `none` when something may; see `SourceSnapshot`. */
  readonly suspended: SuspensionReason;
  /** Its source is not in the configuration any more. */
  readonly retired: boolean;
}

/** One source at one moment. */
export interface SourceSnapshot {
  readonly name: string;
  readonly address: string | null;
  readonly paths: number;
  readonly suspended: SuspensionReason;
  /** How long it will still be. */
  readonly suspendedForMs: number;
  /** Suspensions since the start. */
  readonly suspensions: number;
  /** Connections that failed for a reason of its own, since the start. */
  readonly failures: number;
  readonly retired: boolean;
}

/** One session of a path at one moment, as far as the scheduler knows. */
export interface SessionSnapshot {
  readonly id: SessionId;
  readonly worker: WorkerIndex;
  readonly state: SessionState;
  readonly openForMs: number;
  /** Since it was last given a message or told of one's outcome. */
  readonly quietForMs: number;
  readonly deliveries: number;
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
    limitedBy: path.waitsFor,
    limitedForMs: path.waitsFor === null ? null : nowMs - path.limitedSinceMs,
    throttledForMs: path.throttledSinceMs === 0 ? null : nowMs - path.throttledSinceMs,
    suspended: path.source.reason,
    retired: path.retired,
  };
}

/** All sources that a path leaves from, or has left from. */
export function sourceSnapshots(core: Core): SourceSnapshot[] {
  return [...core.sources.all()].map((source) => ({
    name: source.name,
    address: source.config?.sourceAddress ?? null,
    paths: source.paths.length,
    suspended: source.reason,
    suspendedForMs: Math.max(0, source.suspendedUntilMs - core.nowMs),
    suspensions: source.suspensions,
    failures: source.failures,
    retired: source.config === null,
  }));
}

/** At most `limit` sessions of a path. Walks over all sessions: for somebody who asks, not for each turn. */
export function sessionSnapshots(core: Core, path: EgressPath, limit: number, nowMs = core.nowMs): SessionSnapshot[] {
  const found: SessionSnapshot[] = [];
  for (const session of core.sessions.all()) {
    if (found.length >= limit) break;
    if (session.path !== path) continue;
    found.push({
      id: session.id,
      worker: session.worker,
      state: session.state,
      openForMs: nowMs - session.openedMs,
      quietForMs: nowMs - session.progressMs,
      deliveries: session.deliveries,
    });
  }
  return found;
}
