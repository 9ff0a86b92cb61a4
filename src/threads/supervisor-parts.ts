import type { ShardIndex, WorkerIndex } from "../base/brands.js";
import type { Clock } from "../base/clock.js";
import type { CompiledConfig } from "../config/compiled.js";
import type { SharedState } from "../protocol/layout/shared-state.js";
import type { LogSegment, UpMessage } from "../protocol/messages.js";
import type { WorkerEvents, WorkerPort } from "../scheduler/ports.js";
import type { LogTail } from "../worker/events/log-tail.js";
import type { WorkerInit } from "../worker/init.js";
import type { OpenHands } from "./open-hands.js";

/** What the supervisor tells of its workers. */
export interface SupervisorEvents {
  /** The worker can be given work: its shards are open. */
  ready(index: WorkerIndex, port: WorkerPort): void;
  /**
   * The worker died. Its link has been drained into the scheduler's sink. Its successor is started after the promise has
   * settled, and is told what the log says that the dead one settled last.
   */
  lost(index: WorkerIndex, reason: string): Promise<LogTail>;
  /** A rare frame that is not the supervisor's business. */
  message(index: WorkerIndex, message: UpMessage): void;
  /** Something that an operator must know; one line. */
  notice(line: string): void;
}

/** What the supervisor is made of. */
export interface SupervisorParts {
  readonly config: CompiledConfig;
  readonly clock: Clock;
  readonly shared: SharedState;
  /** Shards by worker, the worker's primary shard first. */
  readonly shards: readonly (readonly ShardIndex[])[];
  readonly ports: readonly number[];
  readonly sink: WorkerInit["sink"];
  /** What the writers of the event log share. */
  readonly logShared: SharedArrayBuffer;
  /** The log segment that a worker begins with. */
  readonly segment: (worker: WorkerIndex) => LogSegment;
  /** What the log of earlier runs says. */
  readonly log: LogTail;
  /** What the workers have in hand, and what the dead ones died of. */
  readonly hands: OpenHands;
  /** Where frames of a dying worker go. */
  readonly events: WorkerEvents;
}
