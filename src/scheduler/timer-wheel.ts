import type { Row } from "../base/brands.js";

/** The table's columns that the wheel uses: it links rows and reads when they are due (ms of the steady clock). */
export interface WheelColumns {
  readonly next: Uint32Array;
  readonly prev: Uint32Array;
  readonly dueMs: Float64Array;
}

/** Takes the rows whose time has come, in order of their ticks. */
export interface WheelSink {
  expired(row: Row): void;
}

/** The wheel's resolution. A row is never early; it may be late by less than one tick. */
export const TICK_MS = 10;

const SLOTS = 256;
const LEVELS = 4;
/** Rows of a later round: a round is 2^32 ticks, 497 days. */
const BEYOND = LEVELS * SLOTS;
/** Rows of the round that has just begun, on their way to their slots. */
const ARRIVING = BEYOND + 1;
const ROUND = 2 ** 32;
const SPANS = [1, SLOTS, SLOTS ** 2, SLOTS ** 3, SLOTS ** 4];
/** In `prev`: this row is the first of a slot, whose number is in the other bits. */
const FIRST_OF = 0x8000_0000;

/**
 * What it is:  a hierarchical hashed timer wheel over table rows (Varghese and Lauck, 1987).
 * Runs on:     the scheduler's thread, on the steady clock: a step of the wall clock does not reach it.
 * Owns:        the slots; the rows' links while they wait.
 * When full:   never: it holds rows of the table, and a delay of any length finds a slot.
 * On failure:  nothing can fail.
 *
 *     level 0   256 slots of 10 ms       ├┤├┤├┤├┤├┤…
 *     level 1   256 slots of 2.56 s      ├────────┤├────────┤…
 *     level 2   256 slots of 10.9 min    ├──────────────────────…
 *     level 3   256 slots of 46.6 h
 *     beyond    one list for the rounds after this one
 *
 * A row lies at the level of the highest byte in which its tick differs from now. So all rows of a lower level come
 * before those of a higher one, no level ever wraps, and the next event is the first occupied slot ahead on the lowest
 * level that has one: found by bitmaps, without walking through empty time. When the hand reaches a slot of a higher
 * level its rows move down; when it reaches one of level 0 they have expired.
 */
export class TimerWheel {
  readonly #columns: WheelColumns;
  readonly #originMs: number;
  readonly #heads = new Uint32Array(LEVELS * SLOTS + 2);
  readonly #occupied = new Uint32Array((LEVELS * SLOTS) / 32);
  /** Where the hand is: tick = #round × 2^32 + #tick. */
  #round = 0;
  #tick = 0;
  #size = 0;

  /** @param originMs the steady clock at tick 0; earlier due times count as due. */
  constructor(columns: WheelColumns, originMs: number) {
    this.#columns = columns;
    this.#originMs = originMs;
  }

  /** Rows that wait. */
  get size(): number {
    return this.#size;
  }

  /** Lets the row wait until its `dueMs`. Returns false, and keeps nothing, when that time has come already. */
  insert(row: Row): boolean {
    const tick = Math.ceil((this.#columns.dueMs[row] - this.#originMs) / TICK_MS);
    if (!(tick > this.#round * ROUND + this.#tick)) return false;
    this.#link(row, this.#slotOf(tick));
    this.#size++;
    return true;
  }

  /** Takes a waiting row out. */
  cancel(row: Row): void {
    this.#unlink(row);
    this.#size--;
  }

  /**
   * Moves the hand to `nowMs` and hands out the rows that it passes. Stops after `max` steps of work (a row handed out
   * or moved down) and goes on from there with the next call. Returns the work done.
   */
  advance(nowMs: number, max: number, sink: WheelSink): number {
    const target = Math.floor((nowMs - this.#originMs) / TICK_MS);
    let work = 0;
    for (;;) {
      work += this.#moveDown(max - work);
      const slot = this.#tick & 0xff;
      while (work < max && this.#heads[slot] !== 0) {
        const row = this.#heads[slot] as Row;
        this.#unlink(row);
        this.#size--;
        work++;
        sink.expired(row);
      }
      if (work >= max) return work;
      const next = this.#nextTick();
      if (next > target) {
        if (target > this.#round * ROUND + this.#tick) this.#moveHand(target);
        return work;
      }
      this.#moveHand(next);
    }
  }

  /**
   * When to look again, ms of the steady clock: not after the first row is due; perhaps before, when rows must move to a
   * lower level first. Infinity when nothing waits.
   */
  nextMs(): number {
    if (this.#size === 0) return Number.POSITIVE_INFINITY;
    const tick = this.#unfinished() ? this.#round * ROUND + this.#tick : this.#nextTick();
    return this.#originMs + tick * TICK_MS;
  }

  #slotOf(tick: number): number {
    if (Math.floor(tick / ROUND) !== this.#round) return BEYOND;
    const low = tick >>> 0;
    const differing = (low ^ this.#tick) >>> 0;
    const level = differing < SLOTS ? 0 : (31 - Math.clz32(differing)) >> 3;
    return level * SLOTS + ((low >>> (8 * level)) & 0xff);
  }

  /** Empties the higher slots under the hand into lower ones; does at most `max` rows. */
  #moveDown(max: number): number {
    let work = this.#place(ARRIVING, max);
    for (let level = LEVELS - 1; level > 0; level--) {
      work += this.#place(level * SLOTS + ((this.#tick >>> (8 * level)) & 0xff), max - work);
    }
    return work;
  }

  #place(slot: number, max: number): number {
    let work = 0;
    while (work < max && this.#heads[slot] !== 0) {
      const row = this.#heads[slot] as Row;
      this.#unlink(row);
      this.#link(row, this.#slotOf(Math.ceil((this.#columns.dueMs[row] - this.#originMs) / TICK_MS)));
      work++;
    }
    return work;
  }

  #unfinished(): boolean {
    if (this.#heads[ARRIVING] !== 0) return true;
    for (let level = 0; level < LEVELS; level++) {
      if (this.#heads[level * SLOTS + ((this.#tick >>> (8 * level)) & 0xff)] !== 0) return true;
    }
    return false;
  }

  /** The tick of the first occupied slot after the hand; Infinity when there is none. */
  #nextTick(): number {
    for (let level = 0; level < LEVELS; level++) {
      const index = this.#firstOccupied(level, ((this.#tick >>> (8 * level)) & 0xff) + 1);
      if (index < 0) continue;
      const span = SPANS[level + 1];
      return this.#round * ROUND + Math.floor(this.#tick / span) * span + index * SPANS[level];
    }
    return this.#heads[BEYOND] === 0 ? Number.POSITIVE_INFINITY : (this.#round + 1) * ROUND;
  }

  #firstOccupied(level: number, from: number): number {
    for (let index = from; index < SLOTS; index = (index | 31) + 1) {
      const word = this.#occupied[(level * SLOTS + index) >>> 5] >>> (index & 31);
      if (word !== 0) return index + 31 - Math.clz32(word & -word);
    }
    return -1;
  }

  /** Moves the hand over time in which nothing happens, at most to the next event. */
  #moveHand(tick: number): void {
    const round = Math.floor(tick / ROUND);
    if (round !== this.#round) {
      this.#round = round;
      const first = this.#heads[BEYOND];
      this.#heads[ARRIVING] = first;
      this.#heads[BEYOND] = 0;
      if (first !== 0) this.#columns.prev[first] = FIRST_OF | ARRIVING;
    }
    this.#tick = tick >>> 0;
  }

  #link(row: Row, slot: number): void {
    const { next, prev } = this.#columns;
    const first = this.#heads[slot];
    next[row] = first;
    prev[row] = FIRST_OF | slot;
    if (first !== 0) prev[first] = row;
    else if (slot < BEYOND) this.#occupied[slot >>> 5] |= 1 << (slot & 31);
    this.#heads[slot] = row;
  }

  #unlink(row: Row): void {
    const { next, prev } = this.#columns;
    const after = next[row];
    const before = prev[row];
    if (after !== 0) prev[after] = before;
    if (before < FIRST_OF) {
      next[before] = after;
      return;
    }
    const slot = before - FIRST_OF;
    this.#heads[slot] = after;
    if (after === 0 && slot < BEYOND) this.#occupied[slot >>> 5] &= ~(1 << (slot & 31));
  }
}
