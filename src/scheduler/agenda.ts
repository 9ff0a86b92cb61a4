import { Alarms } from "./alarms.js";
import type { EgressPath } from "./egress-path.js";
import type { EgressSource } from "./egress-source.js";
import { Chain } from "./links.js";
import type { ScheduledQueue } from "./scheduled-queue.js";

/**
 * What has work: whoever notes that something happened puts the queue or path concerned here, and the turn goes through
 * it in bounded batches. A queue or path is in a chain once however often it is noted, and in none when it can do
 * nothing: nobody polls.
 */
export class Agenda {
  /** Queues with due messages that nothing is known to hold up. */
  readonly promotable = new Chain<ScheduledQueue>();
  /** Paths where a session may take, open or close. */
  readonly serviceable = new Chain<EgressPath>();
  /** Paths that have room again while queues are parked behind them. */
  readonly roomy = new Chain<EgressPath>();
  /** Paths whose whole ready queue is being failed. */
  readonly failing = new Chain<EgressPath>();
  /** Paths that may open no session because of the limit of all sessions, the one that has waited longest first. */
  readonly held = new Chain<EgressPath>();
  /** Paths some or all of whose ready messages must go back: suspended, retired, or with too many of them. */
  readonly withdrawing = new Chain<EgressPath>();
  /** Queues that wait for a time, see `parking.ts`. */
  readonly queueAlarms = new Alarms<ScheduledQueue>();
  readonly pathAlarms = new Alarms<EgressPath>();
  readonly sourceAlarms = new Alarms<EgressSource>();
}
