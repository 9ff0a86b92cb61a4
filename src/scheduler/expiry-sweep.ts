import type { Row, SpoolKey } from "../base/brands.js";
import type { Core } from "./core.js";
import type { Disposal } from "./disposal.js";
import { RowFlag, State } from "./message-table.js";
import { ageMs } from "./retry-plan.js";
import type { SpoolOrders } from "./spool-orders.js";

/** How often the sweep goes on, and in how many steps it comes around: every message is seen within five minutes. */
const STEP_MS = 1000;
const STEPS_PER_ROUND = 300;
const ROWS_PER_STEP = 256;

/**
 * What it is:  a slow walk over the whole table, round and round: the net under everything else.
 * Runs on:     the scheduler's thread, a bounded step a second.
 * Owns:        its place in the table.
 * When full:   a step is a three-hundredth of the table; while rows wait to be saved, and can be, steps follow at once.
 * On failure:  an owner whose ring is full ends the step; the next one begins at the same row.
 *
 * It expires what has become too old wherever it waits: in the wheel, behind a full path, in a lane whose path does not
 * move. And it saves attempts and due times that could not be saved when they changed.
 */
export class ExpirySweep {
  readonly #core: Core;
  readonly #orders: SpoolOrders;
  readonly #disposal: Disposal;
  #at = 1;
  #nextMs = 0;

  constructor(core: Core, orders: SpoolOrders, disposal: Disposal) {
    this.#core = core;
    this.#orders = orders;
    this.#disposal = disposal;
  }

  /** When the next step is due, steady clock ms; Infinity while the table is empty. */
  nextMs(): number {
    return this.#core.table.live === 0 ? Number.POSITIVE_INFINITY : this.#nextMs;
  }

  /** Looks at some rows when a step is due, at `max` while something can be saved; returns how many. */
  step(max: number): number {
    const { table, nowMs } = this.#core;
    const hurry = this.#orders.canSave;
    if (table.live === 0 || (nowMs < this.#nextMs && !hurry)) return 0;
    this.#nextMs = nowMs + STEP_MS;
    const rows = hurry ? max : Math.min(max - 1, Math.ceil(table.highWater / STEPS_PER_ROUND) + ROWS_PER_STEP);
    for (let seen = 0; seen < rows; seen++) {
      if (this.#at > table.highWater) this.#at = 1;
      if (!this.#look(this.#at as Row)) return seen;
      this.#at++;
    }
    return rows;
  }

  #look(row: Row): boolean {
    const { table, placement, nowMs } = this.#core;
    const state = table.state[row];
    if (state === State.free || state === State.retiring) return true;
    if (table.has(row, RowFlag.unsaved)) this.#orders.save(row);
    if (state === State.inFlight) return true;
    const { maxAgeMs } = placement.queueOf(row).config;
    return ageMs(table.key[row] as SpoolKey, nowMs) <= maxAgeMs || this.#disposal.expire(row);
  }
}
