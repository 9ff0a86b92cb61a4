import type { QueueConfig } from "../config/compiled.js";
import type { Route } from "../protocol/messages.js";
import type { QueueName } from "../protocol/queue-name.js";
import { Alarm } from "./alarms.js";
import { Link } from "./links.js";
import { RowList, type State } from "./message-table.js";
import type { Lane } from "./ready-queue.js";
import { type Pool, WeightedTurn } from "./source-choice.js";

/** The turn among one source, which keeps nothing: all such queues share it. */
const SOLE_SOURCE = new WeightedTurn();

/** Why a queue with due messages is not on the agenda. */
export type Hold =
  | "none"
  /** The router has been asked where its mail goes. */
  | "route"
  /** No path of its pool has room: it is linked behind each of them and woken once. */
  | "parked"
  /** An operator or automation holds it; whoever lifts that puts it back on the agenda. */
  | "suspended"
  /** No source of its pool may be chosen now, by their rates or because they are not well: a timer wakes it. */
  | "throttled";

/**
 * What it is:  one scheduled queue: the messages of one campaign, tenant and domain, and where they go.
 * Runs on:     the scheduler's thread.
 * Owns:        its due list, its route, its lanes (one per source of its pool), its weighted turn among the sources.
 * When full:   never: its messages are rows of the table. Queues themselves are bounded by `queue-book.ts`.
 * On failure:  a route that cannot be found fails its messages one by one as their time comes.
 */
export class ScheduledQueue {
  readonly handle: number;
  readonly name: string;
  readonly parts: QueueName;
  config: QueueConfig;
  pool: Pool;
  turn: WeightedTurn;
  /** The configuration that its options come from. */
  epoch = 0;

  /** Messages whose time has come, in the order in which it came. */
  readonly due = new RowList();
  /** Rows in each state, indexed by {@link State}. */
  readonly counts: number[] = [0, 0, 0, 0, 0, 0];
  /** All rows of this queue. */
  rows = 0;

  hold: Hold = "none";
  /** Woken for room on a path, and has had none of it yet. */
  woken = false;
  /** The last answer of the router, null before the first. */
  route: Route | null = null;
  /** Until when the route holds, steady clock ms. */
  routeUntilMs = 0;
  /** The router has been asked and has not answered. */
  asking = false;
  /** What was asked is not what is to be known any more: the answer is dropped, and the question asked anew. */
  askAgain = false;
  /** When a source of its pool may be chosen again, steady clock ms; Infinity when that is not what it waits for. */
  resumeMs = Number.POSITIVE_INFINITY;
  /** By index of the pool's entries; null until a message goes that way. */
  lanes: (Lane | null)[];
  /** The exact host set that the lanes lead to. */
  lanesKey = "";

  /** True once the queue was reaped: a late answer of the router finds nobody. */
  gone = false;
  /** When the last message left, steady clock ms. */
  emptySinceMs = 0;
  readonly agendaLink = new Link<ScheduledQueue>(this);
  /** Among the queues that are empty. */
  readonly emptyLink = new Link<ScheduledQueue>(this);
  /** Rings at {@link resumeMs}. */
  readonly alarm = new Alarm<ScheduledQueue>(this);

  constructor(handle: number, name: string, parts: QueueName, config: QueueConfig, pool: Pool) {
    this.handle = handle;
    this.name = name;
    this.parts = parts;
    this.config = config;
    this.pool = pool;
    this.turn = turnAmong(pool);
    this.lanes = pool.sources.map(() => null);
  }

  /** The domain that mail is routed by. */
  get destination(): string {
    return this.parts.routingDomain ?? this.parts.domain;
  }

  /** Other sources: nothing of the queue is ready on the way of the old ones any more. */
  choose(pool: Pool): void {
    this.turn = turnAmong(pool);
    this.lanes = pool.sources.map(() => null);
  }

  count(state: State): number {
    return this.counts[state];
  }
}

function turnAmong(pool: Pool): WeightedTurn {
  return pool.sources.length === 1 ? SOLE_SOURCE : new WeightedTurn();
}
