import type { Row, WorkerIndex } from "../base/brands.js";
import type { EgressPath } from "./egress-path.js";
import { type Chain, Link } from "./links.js";
import { type MessageTable, RowList } from "./message-table.js";
import { PriorityRing } from "./priority-ring.js";
import type { ScheduledQueue } from "./scheduled-queue.js";

/** A message costs one, and one more for each full 64 KiB, so that a queue of large mail does not get a larger share. */
const BYTES_PER_COST_SHIFT = 16;
const MAX_COST = 8;

/**
 * One queue's place on one path: its ready messages, a list for each worker at home, so that a session finds messages
 * whose bytes lie in its own worker's shards.
 */
export class Lane {
  readonly queue: ScheduledQueue;
  readonly path: EgressPath;
  /** Index among the queue's lanes. */
  readonly index: number;
  readonly lists: readonly RowList[];
  length = 0;
  /** What it may still spend before the next lane's turn. */
  deficit = 0;
  /** Among the lanes that have messages. */
  readonly activeLink = new Link<Lane>(this);
  /** Among the lanes whose queue is parked; null until it was parked once. */
  #parkedLink: Link<Lane> | null = null;

  constructor(queue: ScheduledQueue, path: EgressPath, index: number, workers: number) {
    this.queue = queue;
    this.path = path;
    this.index = index;
    this.lists = Array.from({ length: workers }, () => new RowList());
  }

  /** Its queue waits for room on this path. */
  get parked(): boolean {
    return this.#parkedLink?.linked ?? false;
  }

  /** Waits among those, by its queue's priority; `first`: before those of the same one. */
  park(among: PriorityRing<Lane>, first: boolean): void {
    this.#parkedLink ??= new Link<Lane>(this);
    if (first) among.addFirst(this.#parkedLink, this.queue.config.priority);
    else among.add(this.#parkedLink, this.queue.config.priority);
  }

  /** Waits no longer. */
  unpark(): void {
    this.#parkedLink?.leave();
  }

  /** The row that a session of `worker` takes next: of its own list, else of the longest other one; 0 when empty. */
  first(worker: WorkerIndex): Row {
    const own = this.lists[worker];
    if (own.length > 0) return own.head as Row;
    let longest = own;
    for (let i = 0; i < this.lists.length; i++) {
      if (this.lists[i].length > longest.length) longest = this.lists[i];
    }
    return longest.head as Row;
  }

  /** The row at the end of its longest list; 0 when empty. */
  last(): Row {
    let longest = this.lists[0];
    for (const list of this.lists) if (list.length > longest.length) longest = list;
    return longest.tail as Row;
  }
}

/**
 * What it is:  the ready queue of one path: lanes served by deficit round robin (Shreedhar and Varghese, 1995).
 * Runs on:     the scheduler's thread.
 * Owns:        the order of its lanes; the lists of ready rows; the order of the queues parked behind it.
 * When full:   `room` is 0 at `max_ready` (queued + reserved): the promotion parks the queue.
 * On failure:  nothing can fail.
 *
 *     priority 5   [reset@a.example] ─ [otp@b.example]                       served first
 *     priority 0   [newsletter@a.example] ─ [b.example] ─ [c.example]        one pick in sixteen even so
 *
 * A lane at the head may send for its `weight`; then the next lane's turn comes. So a lane's share does not depend on
 * how many messages wait in it, and a newcomer waits for one round at most.
 */
export class ReadyQueue {
  readonly #table: MessageTable;
  readonly #active = new PriorityRing<Lane>();
  readonly #parked = new PriorityRing<Lane>();
  /** Messages in all lanes. */
  length = 0;
  /** Places promised by `reserve` and not yet redeemed. */
  reserved = 0;
  /** Messages by the worker at home. */
  readonly backlog: number[];
  capacity: number;

  /** @param capacity `max_ready`. */
  constructor(table: MessageTable, capacity: number, workers: number) {
    this.#table = table;
    this.capacity = capacity;
    this.backlog = new Array<number>(workers).fill(0);
  }

  get room(): number {
    return Math.max(0, this.capacity - this.length - this.reserved);
  }

  /** Queues that wait for room. */
  get parked(): number {
    return this.#parked.length;
  }

  /** Adds a row at the end of its home worker's list. */
  add(lane: Lane, row: Row, home: WorkerIndex): void {
    this.#table.append(lane.lists[home], row);
    if (lane.length++ === 0) {
      lane.deficit = lane.queue.config.weight;
      this.#active.add(lane.activeLink, lane.queue.config.priority);
    }
    this.length++;
    this.backlog[home]++;
  }

  /** Takes a row out, wherever it is in its lane. */
  remove(lane: Lane, row: Row, home: WorkerIndex): void {
    this.#table.unlink(lane.lists[home], row);
    if (--lane.length === 0) lane.activeLink.leave();
    this.length--;
    this.backlog[home]--;
  }

  /** Chooses the row that a session of `worker` shall send next, and charges its lane; 0 when empty. Removes nothing. */
  choose(worker: WorkerIndex): Row {
    const chain = this.#active.serve();
    if (chain === null) return 0 as Row;
    for (;;) {
      const lane = (chain.first as Link<Lane>).owner;
      const row = lane.first(worker);
      const cost = Math.min(MAX_COST, 1 + (this.#table.size[row] >>> BYTES_PER_COST_SHIFT));
      if (lane.deficit >= cost) {
        lane.deficit -= cost;
        return row;
      }
      lane.deficit += lane.queue.config.weight;
      chain.rotate();
    }
  }

  /** Any row, for emptying the ready queue as a whole; 0 when empty. */
  any(): Row {
    const chain = this.#active.first();
    return chain === null ? (0 as Row) : (chain.first as Link<Lane>).owner.first(0 as WorkerIndex);
  }

  /**
   * The row that came in last in one of the lanes, each lane in its turn: what goes back first when there are too many.
   * 0 when empty.
   */
  newest(): Row {
    const chain = this.#active.first();
    if (chain === null) return 0 as Row;
    const lane = (chain.last as Link<Lane>).owner;
    chain.rotate();
    return lane.last();
  }

  /** A lane's queue has another priority now. */
  rank(lane: Lane): void {
    if (lane.activeLink.linked) {
      lane.activeLink.leave();
      this.#active.add(lane.activeLink, lane.queue.config.priority);
    }
    if (!lane.parked) return;
    lane.unpark();
    lane.park(this.#parked, false);
  }

  /** Puts a lane among those that wait for room, at the front when it was woken in vain. */
  park(lane: Lane, first: boolean): void {
    lane.park(this.#parked, first);
  }

  /** The lanes to wake next, by priority, or null when none is parked. */
  parkedChain(): Chain<Lane> | null {
    return this.#parked.serve();
  }
}
