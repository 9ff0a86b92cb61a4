import { unreachable } from "../base/assert.js";
import type { Row, SpoolKey } from "../base/brands.js";
import type { Route } from "../protocol/messages.js";
import { takeAll } from "../shaping/throttle.js";
import type { Core } from "./core.js";
import type { Disposal } from "./disposal.js";
import type { EgressPath } from "./egress-path.js";
import { RowFlag } from "./message-table.js";
import { park, Refusal, unpark } from "./parking.js";
import type { Lane } from "./ready-queue.js";
import type { Renewal } from "./renewal.js";
import { NO_SOURCE, noRoute } from "./replies.js";
import { ageMs } from "./retry-plan.js";
import type { Routes } from "./routes.js";
import type { ScheduledQueue } from "./scheduled-queue.js";
import { pathSuspended, queueSuspended } from "./suspension.js";

/** Messages of one queue before the next queue's turn, times its weight. */
const BATCH = 32;
/** Queues in a row that cannot move at all before the turn leaves the rest for the next one. */
const MAX_STUCK = 1024;
/** The reserved name of a queue that discards (reference §2). */
const NULL_DOMAIN = "null";

/**
 * From due to ready: each queue on the agenda moves a batch, its weighted turn chooses the source for each message.
 * A queue whose every path is full is parked behind all of them and woken once, by whichever has room first. One that
 * finds the room taken, by a queue that was woken with it, keeps its place at the front: the other has gone to the end.
 */
export class Promotion {
  readonly #core: Core;
  readonly #routes: Routes;
  readonly #disposal: Disposal;
  readonly #renewal: Renewal;
  /** Scratch: the entries of the pool that have refused the message at hand. */
  #refused = new Uint8Array(64);
  /** When the first entry that refused for a time may be chosen, steady clock ms. */
  #resumeMs = Number.POSITIVE_INFINITY;
  /** The message that was made ready last, and its lane. */
  #before = 0;
  #beforeKey = 0 as SpoolKey;
  #beforeLane: Lane | null = null;
  /** How many were made ready by one choice of a source: they make a transaction. */
  #run = 0;

  constructor(core: Core, routes: Routes, disposal: Disposal, renewal: Renewal) {
    this.#core = core;
    this.#renewal = renewal;
    this.#routes = routes;
    this.#disposal = disposal;
  }

  /** Wakes queues that are parked behind paths with room: as many as there is room for, at most `max`. */
  wake(max: number): number {
    const { roomy } = this.#core.agenda;
    let woken = 0;
    for (let paths = roomy.length; paths > 0 && woken < max; paths--) {
      const path = roomy.shift() as EgressPath;
      woken += this.#wakeBehind(path, max - woken);
    }
    return woken;
  }

  /** Moves due messages on, at most `max`, queue after queue in batches. Returns how many were dealt with. */
  promote(max: number): number {
    if (this.#core.stopping) return 0;
    const { promotable } = this.#core.agenda;
    let work = 0;
    // A queue stays on the agenda without having moved when the ring that its decisions go to is full.
    for (let stuck = 0; work < max && stuck < Math.min(promotable.length, MAX_STUCK); ) {
      const queue = promotable.shift() as ScheduledQueue;
      const done = this.#promote(queue, Math.min(max - work, BATCH * queue.config.weight));
      work += done;
      stuck = done === 0 ? stuck : 0;
      if (queue.due.length === 0 || queue.hold !== "none") continue;
      promotable.append(queue.agendaLink);
      if (done === 0) stuck++;
    }
    return work;
  }

  #wakeBehind(path: EgressPath, max: number): number {
    const { agenda, counters } = this.#core;
    const room = path.failing ? 0 : Math.min(max, path.ready.room);
    let woken = 0;
    for (; woken < room; woken++) {
      const lane = path.ready.parkedChain()?.first?.owner;
      if (lane === undefined) break;
      unpark(this.#core, lane.queue);
      lane.queue.woken = true;
    }
    counters.woken += woken;
    if (path.idle) agenda.serviceable.ensure(path.serviceLink);
    // Those that were woken may not need all of the room: look once more before leaving the others asleep.
    if (woken > 0 && path.ready.parked > 0) agenda.roomy.ensure(path.roomyLink);
    return woken;
  }

  #promote(queue: ScheduledQueue, max: number): number {
    this.#renewal.queue(queue);
    if (queueSuspended(queue)) {
      queue.hold = "suspended";
      return 0;
    }
    const discards = queue.config.protocol.kind === "null" || queue.parts.domain === NULL_DOMAIN;
    const route = discards ? null : this.#routes.of(queue);
    if (route === null && !discards) return 0;
    let work = 0;
    while (work < max && queue.due.head !== 0) {
      const row = queue.due.head as Row;
      const done = route === null ? this.#disposal.discard(row) : this.#dealWith(row, queue, route);
      if (!done) break;
      work++;
    }
    return work;
  }

  /** Moves one message on; false when that cannot be done now. */
  #dealWith(row: Row, queue: ScheduledQueue, route: Route): boolean {
    const { table, placement, nowMs } = this.#core;
    // It may have killed its owner a second time while it waited, and nobody has walked over the rows since.
    if (placement.setAsideIfSentenced(row)) return true;
    const tooOld = ageMs(table.key[row] as SpoolKey, nowMs) > queue.config.maxAgeMs;
    if (tooOld || table.has(row, RowFlag.doomed)) return this.#disposal.expire(row);
    switch (route.kind) {
      case "hosts":
        return this.#makeReady(row, queue, route);
      case "failed":
        return this.#disposal.fail(row, noRoute(route.reason), null, null);
      case "null-mx":
        return this.#disposal.nullMx(row);
      case "no-such-domain":
        return this.#disposal.noSuchDomain(row);
      default:
        return unreachable(route);
    }
  }

  #makeReady(row: Row, queue: ScheduledQueue, route: Route & { kind: "hosts" }): boolean {
    if (queue.pool.sources.length === 0) return this.#disposal.fail(row, NO_SOURCE, null, null);
    const companion = this.#laneOfBefore(row, queue);
    const lane = companion ?? this.#laneWithRoom(queue, route);
    if (lane === null) {
      park(this.#core, queue, this.#refused, this.#resumeMs);
      return false;
    }
    queue.woken = false;
    this.#core.placement.makeReady(row, lane);
    this.#before = row;
    this.#beforeKey = this.#core.table.key[row] as SpoolKey;
    this.#beforeLane = lane;
    this.#run = companion === null ? 1 : this.#run + 1;
    return true;
  }

  /** The lane of the message before, when that was another recipient of the same transaction: one choice for all of them. */
  #laneOfBefore(row: Row, queue: ScheduledQueue): Lane | null {
    const lane = this.#beforeLane;
    const { table, epoch } = this.#core;
    // Its row may be another message's by now, even this one's; and it may be this one, which is tried again.
    if (lane === null || lane.queue !== queue || table.key[this.#before] !== this.#beforeKey) return null;
    if (this.#before === row || !table.together(this.#before, row)) return null;
    const { path } = lane;
    // The lane may be from before a new route, a new pool or a reload.
    const isOld = path.gone || path.epoch !== epoch || queue.lanes[lane.index] !== lane;
    if (
      isOld ||
      this.#run >= path.config.maxRecipientsPerBatch ||
      pathSuspended(path, this.#core.nowMs) ||
      !path.reserve()
    )
      return null;
    path.unreserve();
    return lane;
  }

  /** The weighted choice: reserve a place, ask the throttles, redeem. A source that refuses is left out of this choice. */
  #laneWithRoom(queue: ScheduledQueue, route: Route & { kind: "hosts" }): Lane | null {
    const { weights } = queue.pool;
    if (this.#refused.length < weights.length) this.#refused = new Uint8Array(weights.length);
    this.#refused.fill(Refusal.none, 0, weights.length);
    this.#resumeMs = Number.POSITIVE_INFINITY;
    for (;;) {
      const entry = queue.turn.next(weights, this.#refused);
      if (entry < 0) return null;
      const lane = this.#core.paths.lane(queue, entry, route);
      this.#renewal.path(lane.path);
      const refusal = this.#ask(lane.path);
      if (refusal === Refusal.none) return lane;
      this.#refused[entry] = refusal;
    }
  }

  /** Whether the path takes one more message now; then a token of each of its rates of choice is taken. */
  #ask(path: EgressPath): Refusal {
    const { nowMs } = this.#core;
    if (pathSuspended(path, nowMs)) return this.#notBefore(path.source.suspendedUntilMs);
    if (!path.reserve()) return Refusal.full;
    const { choosing } = path.limits;
    const waitUs = choosing.length === 0 ? 0 : takeAll(choosing, this.#core.nowUs);
    path.unreserve();
    return waitUs === 0 ? Refusal.none : this.#notBefore(nowMs + Math.ceil(waitUs / 1000));
  }

  #notBefore(timeMs: number): Refusal {
    this.#resumeMs = Math.min(this.#resumeMs, timeMs);
    return Refusal.timed;
  }
}
