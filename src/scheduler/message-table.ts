import { assert } from "../base/assert.js";
import type { Row, SessionId, ShardIndex, SpoolKey } from "../base/brands.js";

/**
 * What it is:  every message the node knows, one row each, as columns of typed arrays; and the links of all row lists.
 * Runs on:     the scheduler's thread.
 * Owns:        the columns, the free rows, the count of rows in each state.
 * When full:   `allocate` returns 0. A `250` has been given by then, so intake must stop before: whoever configures the
 *              capacity adds to `max_messages` what may be on its way in the rings, and watches `freeRows`.
 * On failure:  a broken count is a bug of ours and panics; nothing here can fail otherwise.
 *
 *     row   key        dueMs  queue lane next prev size session attempts shard nth state   flags
 *     0     (none)
 *     1     8071…      1.8e12  17     0    4    0  2048    0        2      0   0   waiting
 *     2     …                                                               ─┐
 *     high water ────────────────────────────────────────────────────────────┘ rows above were never touched
 *
 * 48 bytes a row. The arrays are allocated at their full capacity at once and come as zero pages that the system commits
 * when they are first written, so a large capacity costs nothing until it is used: nothing here walks all rows at start.
 * A row is in at most one list at a time (a wheel slot, a due list, a lane's list, a session's hand, a list of owed
 * retirements, the free list), so one pair of links serves them all.
 */
export class MessageTable {
  /** Spool key inside the shard. */
  readonly key: Float64Array;
  /** Not before this point in time, ms of the steady clock; the last one planned. */
  readonly dueMs: Float64Array;
  /** Handle of the scheduled queue. */
  readonly queue: Uint32Array;
  /** Index of the lane among its queue's lanes; means something while ready. */
  readonly lane: Uint32Array;
  readonly next: Uint32Array;
  readonly prev: Uint32Array;
  /** Bytes of the content. */
  readonly size: Uint32Array;
  /** The session that has the message in hand; means something while in flight. */
  readonly session: Uint32Array;
  /** Attempts made so far; stays at 65,535. */
  readonly attempts: Uint16Array;
  readonly shard: Uint16Array;
  /** Place among the recipients of its transaction; see {@link together}. */
  readonly nth: Uint16Array;
  readonly state: Uint8Array;
  /** Bits of {@link RowFlag}. */
  readonly flags: Uint8Array;

  /** Rows in each state, indexed by {@link State}; the entry of `free` is not kept. */
  readonly counts: number[] = [0, 0, 0, 0, 0, 0];
  /** Messages ever taken in. */
  accepted = 0;
  /** Messages that have left for good. */
  settled = 0;

  readonly capacity: number;
  #highWater = 0;
  #freeHead = 0;

  /** @param capacity most messages at one time, from 1 to 2^31 − 2. */
  constructor(capacity: number) {
    assert(Number.isInteger(capacity) && capacity >= 1 && capacity < 0x7fff_ffff, "table capacity");
    this.capacity = capacity;
    const rows = capacity + 1;
    this.key = new Float64Array(rows);
    this.dueMs = new Float64Array(rows);
    this.queue = new Uint32Array(rows);
    this.lane = new Uint32Array(rows);
    this.next = new Uint32Array(rows);
    this.prev = new Uint32Array(rows);
    this.size = new Uint32Array(rows);
    this.session = new Uint32Array(rows);
    this.attempts = new Uint16Array(rows);
    this.shard = new Uint16Array(rows);
    this.nth = new Uint16Array(rows);
    this.state = new Uint8Array(rows);
    this.flags = new Uint8Array(rows);
  }

  /** Greatest row ever used: scans go from 1 to here. */
  get highWater(): number {
    return this.#highWater;
  }

  /** Rows in use. */
  get live(): number {
    return this.accepted - this.settled;
  }

  /** How many more messages fit. */
  get freeRows(): number {
    return this.capacity - this.live;
  }

  /** Takes a free row and writes what is known of the message; 0 when the table is full. The row is in state `due`. */
  allocate(key: SpoolKey, shard: ShardIndex, queue: number, size: number, attempts: number): Row {
    let row = this.#freeHead;
    if (row !== 0) this.#freeHead = this.next[row];
    else if (this.#highWater < this.capacity) row = ++this.#highWater;
    else return 0 as Row;
    this.key[row] = key;
    this.shard[row] = shard;
    this.queue[row] = queue;
    this.size[row] = size;
    this.attempts[row] = Math.min(attempts, MAX_ATTEMPTS);
    this.dueMs[row] = 0;
    this.session[row] = 0;
    this.nth[row] = 0;
    this.flags[row] = 0;
    this.state[row] = State.due;
    this.counts[State.due]++;
    this.accepted++;
    return row as Row;
  }

  /** Notes a row's place among the recipients of its transaction. One too far behind is taken for a message of its own. */
  place(row: Row, nth: number): void {
    this.nth[row] = nth >= 0 && nth <= MAX_NTH ? nth : 0;
  }

  /** Whether two rows are recipients of one transaction: then they share sender and content, and may leave together. */
  together(one: number, other: number): boolean {
    return (
      this.shard[one] === this.shard[other] &&
      (this.key[one] as number) - this.nth[one] === (this.key[other] as number) - this.nth[other]
    );
  }

  /** Gives the row of a settled message back. It must be in no list. */
  release(row: Row): void {
    this.counts[this.state[row]]--;
    this.state[row] = State.free;
    this.flags[row] = 0;
    this.settled++;
    this.next[row] = this.#freeHead;
    this.#freeHead = row;
  }

  setState(row: Row, state: State): void {
    this.counts[this.state[row]]--;
    this.counts[state]++;
    this.state[row] = state;
  }

  /** Notes one more attempt. */
  countAttempt(row: Row): void {
    if (this.attempts[row] < MAX_ATTEMPTS) this.attempts[row]++;
  }

  has(row: Row, flag: RowFlag): boolean {
    return (this.flags[row] & flag) !== 0;
  }

  append(list: RowList, row: Row): void {
    this.prev[row] = list.tail;
    this.next[row] = 0;
    if (list.tail === 0) list.head = row;
    else this.next[list.tail] = row;
    list.tail = row;
    list.length++;
  }

  prepend(list: RowList, row: Row): void {
    this.next[row] = list.head;
    this.prev[row] = 0;
    if (list.head === 0) list.tail = row;
    else this.prev[list.head] = row;
    list.head = row;
    list.length++;
  }

  /** Takes `row` out of the list that it is in. */
  unlink(list: RowList, row: Row): void {
    const next = this.next[row];
    const prev = this.prev[row];
    if (prev === 0) list.head = next;
    else this.next[prev] = next;
    if (next === 0) list.tail = prev;
    else this.prev[next] = prev;
    list.length--;
  }

  /**
   * Conservation: every message taken in is in exactly one place or has left.
   * @throws {Panic} when the sums do not balance.
   */
  assertConservation(): void {
    const counts = this.counts;
    const held =
      counts[State.waiting] + counts[State.due] + counts[State.ready] + counts[State.inFlight] + counts[State.retiring];
    assert(
      this.accepted === held + this.settled,
      "conservation: accepted = waiting + due + ready + in flight + retiring + settled",
    );
  }
}

/** Where a message is in its life. */
export enum State {
  free = 0,
  /** In the timer wheel. */
  waiting = 1,
  /** On its queue's due list. */
  due = 2,
  /** In a lane of a path: in the ready queue. */
  ready = 3,
  /** Handed to a session. */
  inFlight = 4,
  /** Its end is decided; the removal from the spool is not confirmed. */
  retiring = 5,
}

/** Facts about a row that outlive its state. */
export enum RowFlag {
  /** The spool does not know the row's attempts and due time: the owner was down or had no room. */
  unsaved = 1,
  /** Retiring, and the owner has not been told: on the list of owed retirements. */
  owed = 2,
  /** Retiring by a `dispose`: the terminal record is the owner's to write. */
  disposing = 4,
  /** Has expired by its retry plan, and the owner could not be told yet. */
  doomed = 8,
  /** Was in the hand of a worker that died; the record that says so is still to be written. */
  dropped = 16,
  /** Retiring, because workers died of it: the owner is told to move it to quarantine, not merely to remove it. */
  sentenced = 32,
}

/** First and last row of a list whose links are the table's. */
export class RowList {
  head = 0;
  tail = 0;
  length = 0;
}

const MAX_ATTEMPTS = 0xffff;
const MAX_NTH = 0xffff;

/** True when the row is in this flight: an outcome that names another is from the past. */
export function inHandOf(table: MessageTable, row: Row, session: SessionId): boolean {
  return row > 0 && row <= table.highWater && table.state[row] === State.inFlight && table.session[row] === session;
}
