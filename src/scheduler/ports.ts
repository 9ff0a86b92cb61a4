import type { PathId, QueueRef, Row, SessionId, ShardIndex, SpoolKey, WorkerIndex } from "../base/brands.js";
import type { PathConfig, PoolConfig, QueueConfig, SourceConfig } from "../config/compiled.js";
import type { CloseReason, OutcomeKind, SessionChange } from "../protocol/layout/frames.js";
import type { Dispose, PathDefinition, Route, Sentence, SetAside } from "../protocol/messages.js";
import type { QueueName } from "../protocol/queue-name.js";

/**
 * The scheduler's view of one worker: what it can be told. Behind it stands a ring (`threads/worker-link.ts`) or, in the
 * simulation, a made-up worker. Each call writes one frame; the caller has checked `room()` first.
 */
export interface WorkerPort {
  readonly index: WorkerIndex;
  /** How many more frames of the largest fixed size fit now; 0 while the worker is down. */
  room(): number;
  /** Same, for one `dispose`, `setAside` or `definePath` (variable length, generously estimated). */
  roomForRare(): boolean;
  definePath(path: PathDefinition): void;
  forgetPath(id: PathId): void;
  open(session: SessionId, path: PathId): void;
  /** `more`: the next `deliver` is for the same transaction of the same session, and follows at once. */
  deliver(session: SessionId, row: Row, shard: ShardIndex, key: SpoolKey, attempts: number, more: boolean): void;
  close(session: SessionId, reason: CloseReason): void;
  retire(row: Row, shard: ShardIndex, key: SpoolKey): void;
  reschedule(shard: ShardIndex, key: SpoolKey, attempts: number, dueMs: number): void;
  dispose(message: Dispose): void;
  setAside(order: SetAside): void;
  /** Reads at most `max` frames that the worker sent and calls the sink's methods; returns how many it read. */
  drain(sink: WorkerEvents, max: number): number;
  /** Makes what was written visible to the worker and rings its doorbell if it sleeps. */
  publish(): void;
}

/** What a worker tells the scheduler; called from inside `drain`. Plain numbers: nothing is allocated per message. */
export interface WorkerEvents {
  queueNamed(worker: WorkerIndex, ref: QueueRef, name: string): void;
  queueRefsReset(worker: WorkerIndex): void;
  accepted(
    worker: WorkerIndex,
    shard: ShardIndex,
    key: SpoolKey,
    queue: QueueRef,
    size: number,
    attempts: number,
    dueMs: number,
    nth: number,
  ): void;
  outcome(worker: WorkerIndex, row: Row, session: SessionId, kind: OutcomeKind, flags: number, code: number): void;
  session(worker: WorkerIndex, session: SessionId, change: SessionChange): void;
  retired(worker: WorkerIndex, row: Row): void;
}

/** Which messages have their terminal record already, by what the log says. */
export interface SettledMessages {
  has(shard: ShardIndex, key: SpoolKey): boolean;
}

/** Messages that workers died of. */
export interface Suspects {
  /** How many there are; nearly always 0, and then nothing else is asked. */
  readonly size: number;
  /** What was decided about a message that killed twice; null for every other one. */
  sentence(shard: ShardIndex, key: SpoolKey): Sentence | null;
  /** An attempt came to its end, and nobody died. */
  survived(shard: ShardIndex, key: SpoolKey): void;
  /** The message has left the spool. */
  gone(shard: ShardIndex, key: SpoolKey): void;
}

/** Nobody dies. */
export const NO_SUSPECTS: Suspects = { size: 0, sentence: () => null, survived() {}, gone() {} };

/** Answers the scheduler's questions about configuration; cheap, synchronous, cached by the implementer. */
export interface Policy {
  queue(name: QueueName): QueueConfig;
  /** The options of a path. `domain` is "" for one that several domains share. */
  path(domain: string, source: string, site: string): PathConfig;
  /** Whether the domain has options of its own there, and must not share the paths of others with the same hosts. */
  standsAlone(domain: string, site: string): boolean;
  /** The pool of this name; the configuration has been checked, so it exists. `unspecified` always does. */
  pool(name: string): PoolConfig;
  /** The source of this name; null when the configuration does not have it (any more). `unspecified` always is. */
  source(name: string): SourceConfig | null;
}

/** Finds where a domain's mail goes. */
export interface Router {
  /**
   * Asks for the route of a queue. The answer comes later through `answer`, or at once when it is known.
   * Every question gets exactly one answer.
   */
  route(queue: QueueName, config: QueueConfig, answer: (route: Route) => void): void;
}
