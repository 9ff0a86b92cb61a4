import { isDeepStrictEqual } from "node:util";
import type { PathConfig } from "../config/compiled.js";
import type { PathDefinition } from "../protocol/messages.js";
import type { Core } from "./core.js";
import type { EgressPath } from "./egress-path.js";
import { unpark } from "./parking.js";
import type { ScheduledQueue } from "./scheduled-queue.js";
import type { SourceCare } from "./source-care.js";
import type { Withdrawal } from "./withdrawal.js";

/**
 * Options that the scheduler alone obeys: sessions that are open need not be replaced when one of these changes.
 */
const HERE: readonly (keyof PathConfig)[] = [
  "connectionLimit",
  "additionalConnectionLimits",
  "maxConnectionRate",
  "sourceSelectionRate",
  "additionalSourceSelectionRates",
  "maxDeliveriesPerConnection",
  "maxReady",
  "consecutiveConnectionFailuresBeforeDelay",
  "idleTimeoutMs",
];

/**
 * What it is:  the way from one configuration to the next while mail flows.
 * Runs on:     the scheduler's thread, in bounded steps.
 * Owns:        its place among the paths and queues.
 * When full:   a step does what it may; the turns go on until all have the new options.
 * On failure:  another reload in between begins the walk anew.
 *
 * Whatever is used before the walk has come to it is renewed at once (`queue` and `path` are called by the
 * promotion), so nobody goes by two configurations.
 */
export class Renewal {
  readonly #core: Core;
  readonly #withdrawal: Withdrawal;
  readonly #care: SourceCare;
  #paths: Iterator<EgressPath> | null = null;
  #queues: Iterator<ScheduledQueue> | null = null;

  constructor(core: Core, withdrawal: Withdrawal, care: SourceCare) {
    this.#core = core;
    this.#withdrawal = withdrawal;
    this.#care = care;
  }

  /** The policy answers otherwise from now on. */
  begin(): void {
    const { sources, paths, queues } = this.#core;
    this.#core.epoch++;
    queues.epoch = this.#core.epoch;
    sources.renew();
    for (const source of sources.all()) {
      if (source.reason !== "none" && !source.suspensionStands) this.#care.resume(source);
    }
    this.#paths = paths.all();
    this.#queues = queues.all();
  }

  /** Paths and queues are still to be renewed. */
  get busy(): boolean {
    return this.#paths !== null || this.#queues !== null;
  }

  /** Renews at most about `max` paths and queues, messages that go back counted too; returns how many. */
  step(max: number): number {
    let work = 0;
    while (this.#paths !== null && work < max) {
      const { done, value } = this.#paths.next();
      if (done === true) this.#paths = null;
      else this.path(value);
      work++;
    }
    while (this.#paths === null && this.#queues !== null && work < max) {
      const { done, value } = this.#queues.next();
      if (done === true) this.#queues = null;
      else work += this.queue(value);
      work++;
    }
    return work;
  }

  /** Gives the queue its new options unless it has them. Returns how many messages went back. */
  queue(queue: ScheduledQueue): number {
    const { policy, queues, paths, epoch, nowMs } = this.#core;
    if (queue.epoch === epoch) return 0;
    queue.epoch = epoch;
    const before = { config: queue.config, pool: queue.pool };
    queue.config = policy.queue(queue.parts);
    queue.pool = queues.poolOf(queue.config.egressPool);
    let work = 0;
    const sameWay = isDeepStrictEqual(before.config.protocol, queue.config.protocol);
    if (!sameWay) {
      queue.route = null;
      queue.lanesKey = "";
      queue.askAgain = queue.asking;
      if (queue.hold === "route") queue.hold = "none";
    }
    const sameSources = isDeepStrictEqual(before.pool.sources, queue.pool.sources);
    const sameCompany = queue.lanes.every(
      (lane) => lane === null || lane.path.domain === paths.domainOf(queue, lane.path.definition.site),
    );
    if (!sameSources || !sameWay || !sameCompany) {
      work = this.#withdrawal.queue(queue);
      queue.choose(queue.pool);
    } else if (before.config.priority !== queue.config.priority) {
      for (const lane of queue.lanes) lane?.path.ready.rank(lane);
    }
    // Its rates may be others now: it finds out by trying.
    if (queue.resumeMs !== Number.POSITIVE_INFINITY) unpark(this.#core, queue);
    queues.reconfigured(queue, before.config, nowMs);
    return work;
  }

  /** Gives the path its new options unless it has them. */
  path(path: EgressPath): void {
    const { paths, epoch, agenda } = this.#core;
    if (path.epoch === epoch) return;
    path.epoch = epoch;
    const definition = paths.describe(path.source, path.definition, path.domain);
    const retired = definition === null;
    if (retired === path.retired && (retired || isDeepStrictEqual(definition, path.definition))) return;
    path.retired = retired;
    if (definition !== null) {
      if (!isDeepStrictEqual(ofSessions(definition), ofSessions(path.definition))) path.generation++;
      // Whom it waits for may be gone, and its limit another one: it finds out by trying.
      paths.stopWaiting(path);
      paths.redefine(path, definition);
    }
    path.ready.capacity = retired ? 0 : path.config.maxReady;
    path.tolerated = Math.max(path.tolerated, path.sessions);
    path.thinOut();
    if (path.ready.length > path.ready.capacity) agenda.withdrawing.ensure(path.withdrawLink);
    else if (path.ready.parked > 0) agenda.roomy.ensure(path.roomyLink);
    agenda.serviceable.ensure(path.serviceLink);
  }
}

/** The part of a definition that sessions go by. */
function ofSessions(definition: PathDefinition): PathDefinition {
  const config: Record<string, unknown> = { ...definition.config };
  for (const key of HERE) config[key] = null;
  return { ...definition, config: { ...definition.config, ...config } };
}
