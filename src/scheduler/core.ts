import type { ShardIndex } from "../base/brands.js";
import type { Clock } from "../base/clock.js";
import type { Random } from "../base/random.js";
import { Agenda } from "./agenda.js";
import { Counters } from "./counters.js";
import { MessageTable } from "./message-table.js";
import { PathBook } from "./path-book.js";
import { Placement } from "./placement.js";
import { NO_SUSPECTS, type Policy, type Suspects, type WorkerPort } from "./ports.js";
import { QueueBook } from "./queue-book.js";
import { SessionBook } from "./session.js";
import { TimerWheel } from "./timer-wheel.js";
import { Workers } from "./workers.js";

/** What the core is made of. */
export interface CoreParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly policy: Policy;
  /** Rows of the message table. */
  readonly capacity: number;
  /** By worker; null for one that is not ready yet. */
  readonly ports: readonly (WorkerPort | null)[];
  /** By worker: the shards that it owns. Every shard has one owner. */
  readonly shards: readonly (readonly ShardIndex[])[];
  /** Messages that workers died of; none unless given. */
  readonly suspects?: Suspects;
}

/** The scheduler's state, which its steps share. Each step is a small class over it; none keeps messages of its own. */
export class Core {
  readonly clock: Clock;
  readonly random: Random;
  readonly counters = new Counters();
  readonly agenda = new Agenda();
  readonly table: MessageTable;
  readonly wheel: TimerWheel;
  readonly workers: Workers;
  readonly sessions: SessionBook;
  readonly queues: QueueBook;
  readonly paths: PathBook;
  readonly placement: Placement;
  readonly suspects: Suspects;
  /** The steady clock at the start of this turn. */
  nowMs: number;
  /** A worker's ring was full in this turn: what waits for it must be tried again soon. */
  blocked = false;
  /** Nothing is handed out any more. */
  stopping = false;
  /** Most sessions that may be open together, by the limit of open files. */
  sessionLimit = Number.POSITIVE_INFINITY;

  constructor(parts: CoreParts) {
    this.clock = parts.clock;
    this.random = parts.random;
    this.nowMs = parts.clock.steadyMs();
    this.table = new MessageTable(parts.capacity);
    this.wheel = new TimerWheel(this.table, this.nowMs);
    this.workers = new Workers(parts.ports, parts.shards);
    this.sessions = new SessionBook(this.workers.count);
    this.queues = new QueueBook(parts.policy, this.workers.count);
    this.paths = new PathBook(parts.policy, this.table, this.agenda, this.workers);
    this.placement = new Placement(this);
    this.suspects = parts.suspects ?? NO_SUSPECTS;
  }

  /** Notes that a ring was full. */
  block(): void {
    this.blocked = true;
    this.counters.blocked++;
  }
}
