import type { Row } from "../base/brands.js";
import type { Core } from "./core.js";
import type { EgressPath } from "./egress-path.js";
import { unpark } from "./parking.js";
import type { Lane } from "./ready-queue.js";
import type { ScheduledQueue } from "./scheduled-queue.js";
import { pathSuspended } from "./suspension.js";

/** From ready back to due, untried and in order: when a queue's way is another one now, or a path takes less than it has. */
export class Withdrawal {
  readonly #core: Core;

  constructor(core: Core) {
    this.#core = core;
  }

  /** The queue's way has changed: all that is ready takes the new one. Returns how many messages that were. */
  queue(queue: ScheduledQueue): number {
    let withdrawn = 0;
    for (const lane of queue.lanes) if (lane !== null) withdrawn += this.#lane(lane);
    queue.lanes.fill(null);
    unpark(this.#core, queue);
    return withdrawn;
  }

  /** Takes back what paths have too much of, at most `max` messages; returns how many. */
  paths(max: number): number {
    const { agenda } = this.#core;
    let work = 0;
    for (let paths = agenda.withdrawing.length; paths > 0 && work < max; paths--) {
      const path = agenda.withdrawing.shift() as EgressPath;
      work += this.#path(path, max - work);
      if (path.ready.length > this.#most(path)) agenda.withdrawing.append(path.withdrawLink);
      else if (path.ready.parked > 0) agenda.roomy.ensure(path.roomyLink);
    }
    return work;
  }

  #path(path: EgressPath, max: number): number {
    const { placement } = this.#core;
    let work = 0;
    for (const most = this.#most(path); work < max && path.ready.length > most; work++) {
      placement.giveBack(path.ready.newest());
    }
    return work;
  }

  /** How many messages the path may keep ready. */
  #most(path: EgressPath): number {
    return pathSuspended(path, this.#core.nowMs) ? 0 : path.ready.capacity;
  }

  #lane(lane: Lane): number {
    const { placement, agenda } = this.#core;
    const before = lane.length;
    lane.unpark();
    // From the end, since each goes to the front: the order stays.
    for (const list of lane.lists) while (list.tail !== 0) placement.giveBack(list.tail as Row);
    agenda.serviceable.ensure(lane.path.serviceLink);
    return before;
  }
}
