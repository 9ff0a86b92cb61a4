import type { ShardIndex } from "../base/brands.js";
import type { Clock } from "../base/clock.js";
import type { Random } from "../base/random.js";
import { Leases } from "../shaping/leases.js";
import { ThrottleBook } from "../shaping/throttle.js";
import { Agenda } from "./agenda.js";
import { Counters } from "./counters.js";
import type { EgressPath } from "./egress-path.js";
import { SourceBook } from "./egress-source.js";
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
  readonly policy: Policy;
  readonly sources: SourceBook;
  readonly throttles = new ThrottleBook();
  readonly leases = new Leases<EgressPath>();
  /** Counts the configurations that have been in force. */
  epoch = 0;
  readonly #startMs: number;
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
    this.#startMs = this.nowMs;
    this.table = new MessageTable(parts.capacity);
    this.wheel = new TimerWheel(this.table, this.nowMs);
    this.workers = new Workers(parts.ports, parts.shards);
    this.sessions = new SessionBook(this.workers.count);
    this.queues = new QueueBook(parts.policy, this.agenda, this.workers.count);
    this.policy = parts.policy;
    this.sources = new SourceBook(parts.policy);
    this.paths = new PathBook(this);
    this.placement = new Placement(this);
    this.suspects = parts.suspects ?? NO_SUSPECTS;
  }

  /** The time of this turn for throttles: microseconds since the start, so that fractions of one stay exact. */
  get nowUs(): number {
    return (this.nowMs - this.#startMs) * 1000;
  }

  /** Notes that a ring was full. */
  block(): void {
    this.blocked = true;
    this.counters.blocked++;
  }
}
