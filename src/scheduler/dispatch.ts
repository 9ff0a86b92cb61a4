import type { Row, ShardIndex, SpoolKey, WorkerIndex } from "../base/brands.js";
import { CloseReason } from "../protocol/layout/frames.js";
import { idealSessions } from "./connection-curve.js";
import type { Core } from "./core.js";
import type { Disposal } from "./disposal.js";
import type { EgressPath } from "./egress-path.js";
import type { WorkerPort } from "./ports.js";
import { TOO_MANY_FAILURES } from "./replies.js";
import type { Session } from "./session.js";
import { pathSuspended } from "./suspension.js";

/** Frames of a ring that are left for what outcomes need (`reschedule`, `retire`). */
const KEPT_ROOM = 8;
/** `open` and the `deliver` that follows it. */
const OPENING_FRAMES = 2;

/**
 * From ready to a session: free sessions take messages, new ones are opened along the curve, idle ones are closed. It is
 * the only place that tells a worker to open, deliver or close.
 */
export class Dispatch {
  readonly #core: Core;
  readonly #disposal: Disposal;

  constructor(core: Core, disposal: Disposal) {
    this.#core = core;
    this.#disposal = disposal;
  }

  /** Looks after each path on the agenda once; hands out at most about `max` messages. Returns how many it handed out. */
  dispatch(max: number): number {
    const { serviceable } = this.#core.agenda;
    let handedOut = 0;
    for (let paths = serviceable.length; paths > 0 && handedOut < max; paths--) {
      handedOut += this.#serve(serviceable.shift() as EgressPath);
    }
    return handedOut;
  }

  /** Puts paths whose alarm rings on the agenda, at most `max`; returns how many. */
  ring(max: number): number {
    const { pathAlarms, serviceable } = this.#core.agenda;
    for (let rung = 0; rung < max; rung++) {
      const path = pathAlarms.ring(this.#core.nowMs);
      if (path === null) return rung;
      serviceable.ensure(path.serviceLink);
    }
    return max;
  }

  /** Fails the ready queues of paths that cannot be connected to, at most `max` messages; returns how many. */
  failPaths(max: number): number {
    const { agenda } = this.#core;
    let work = 0;
    for (let paths = agenda.failing.length; paths > 0 && work < max; paths--) {
      const path = agenda.failing.shift() as EgressPath;
      work += this.#failPath(path, max - work);
      if (path.failing) agenda.failing.append(path.failingLink);
    }
    return work;
  }

  /** Lets paths in that were held back by the limit of all sessions, as many as there is room for, at most `max`. */
  letIn(max: number): number {
    const { agenda, sessions, sessionLimit, stopping } = this.#core;
    if (agenda.held.length === 0) return 0;
    let work = 0;
    for (let room = sessionLimit - sessions.size; (room > 0 || stopping) && work < max; room--, work++) {
      const path = agenda.held.shift();
      if (path === null) return work;
      // Before those whose sessions would take the room again.
      if (!path.serviceLink.linked) agenda.serviceable.prepend(path.serviceLink);
    }
    return work;
  }

  /** Closes sessions that nobody needs now, the ones free longest, for paths that are held back; at most `max`. */
  makeRoom(max: number): number {
    const { agenda, sessions } = this.#core;
    let work = 0;
    while (work < max && sessions.closing < agenda.held.length && sessions.spare.first !== null) {
      if (!this.#close(sessions.spare.first.owner, CloseReason.idle)) break;
      work++;
    }
    return work;
  }

  #serve(path: EgressPath): number {
    const { stopping, paths, nowMs } = this.#core;
    this.#closeLeaving(path);
    const usable = !stopping && !path.failing && !pathSuspended(path, nowMs);
    const handedOut = usable ? this.#useFree(path) + this.#openMore(path) : 0;
    // What was kept for it and what it does not need is another's.
    if (path.waitsFor !== null && !(usable && this.#waits(path))) paths.stopWaiting(path);
    this.#closeIdle(path);
    paths.tend(path, nowMs);
    return handedOut;
  }

  /** Free sessions take messages, the most recently used first, so that those that are not needed grow idle. */
  #useFree(path: EgressPath): number {
    let handedOut = 0;
    let link = path.free.last;
    while (link !== null && path.ready.length > 0) {
      const session = link.owner;
      link = link.prev;
      const port = this.#core.workers.ports[session.worker];
      if (port === null || port.room() <= KEPT_ROOM) {
        this.#tryLater(path);
        continue;
      }
      const row = this.#choose(path, session.worker);
      if (row === 0) break;
      session.freeLink.leave();
      session.spareLink.leave();
      session.state = "busy";
      handedOut += this.#handOver(row, session, port);
    }
    return handedOut;
  }

  #openMore(path: EgressPath): number {
    const { agenda, nowMs, sessions, leases, paths } = this.#core;
    const { sessionLimit } = path;
    let handedOut = 0;
    // Each one opened takes its first message at once, so the number is that of the beginning.
    const ideal = idealSessions(path.ready.length, sessionLimit);
    while (path.ready.length > 0 && path.serving < ideal && path.sessions < sessionLimit) {
      if (nowMs < path.restUntilMs) {
        agenda.pathAlarms.ringBy(path.alarm, path.restUntilMs);
        break;
      }
      if (sessions.size >= this.#core.sessionLimit) {
        this.#core.counters.heldBack++;
        agenda.held.ensure(path.heldLink);
        break;
      }
      if (this.#isThrottled(path)) break;
      const port = this.#workerFor(path);
      if (port === null || !this.#lease(path)) break;
      const row = this.#choose(path, port.index);
      if (row === 0) {
        // All that was ready killed twice meanwhile.
        leases.free(path.limits.claims);
        paths.callNext(path.limits.claims);
        break;
      }
      path.limits.connecting?.take(this.#core.nowUs);
      const session = sessions.open(path, port.index, nowMs);
      path.sessions++;
      this.#core.counters.sessionsOpened++;
      port.open(session.id, path.definition.id);
      handedOut += this.#handOver(row, session, port);
    }
    return handedOut;
  }

  /** The next message for a session of `worker`, 0 when there is none; what killed twice meanwhile is set aside. */
  #choose(path: EgressPath, worker: WorkerIndex): Row {
    let row = path.ready.choose(worker);
    while (row !== 0 && this.#core.placement.setAsideIfSentenced(row)) row = path.ready.choose(worker);
    return row;
  }

  /** Whether it still waits for a lease that it was not called for. */
  #waits(path: EgressPath): boolean {
    return path.waitsFor !== null && path.ready.length > 0 && this.#core.leases.waits(path.waitsFor, path);
  }

  /** `max_connection_rate`: no token now means one timer for the next. */
  #isThrottled(path: EgressPath): boolean {
    const { agenda, nowMs, counters } = this.#core;
    const waitUs = path.limits.connecting?.waitUs(this.#core.nowUs) ?? 0;
    if (waitUs === 0) {
      path.throttledSinceMs = 0;
      return false;
    }
    if (path.throttledSinceMs === 0) path.throttledSinceMs = nowMs;
    counters.connectionsThrottled++;
    agenda.pathAlarms.ringBy(path.alarm, nowMs + Math.ceil(waitUs / 1000));
    return true;
  }

  /** One lease of each shared limit, or a place among those who wait for the one that is exhausted. */
  #lease(path: EgressPath): boolean {
    const { leases, nowMs, counters } = this.#core;
    const { claims } = path.limits;
    if (claims.length === 0) return true;
    const refused = leases.take(claims, path);
    if (refused?.name !== path.waitsFor) this.#core.paths.stopWaiting(path);
    if (refused === null) {
      path.limitedSinceMs = 0;
      return true;
    }
    leases.wait(refused, path);
    if (path.waitsFor === null) path.limitedSinceMs = nowMs;
    path.waitsFor = refused.name;
    counters.connectionsLimited++;
    return false;
  }

  /**
   * Gives a session a message, with those of its other recipients that are next in the lane: they share the content, and
   * one transaction takes them all. The lane pays for it once. Returns how many recipients these are.
   */
  #handOver(first: Row, session: Session, port: WorkerPort): number {
    const { table, placement } = this.#core;
    const most = Math.min(session.path.config.maxRecipientsPerBatch, port.room() - KEPT_ROOM);
    session.progressMs = this.#core.nowMs;
    let row = first;
    for (let count = 1; ; count++) {
      const next = count < most ? this.#companion(row) : 0;
      placement.handOver(row, session.id);
      table.append(session.hand, row);
      const shard = table.shard[row] as ShardIndex;
      port.deliver(session.id, row, shard, table.key[row] as SpoolKey, table.attempts[row], next !== 0);
      if (next === 0) return count;
      row = next;
    }
  }

  /** The row behind a ready one, when it is another recipient of the same transaction; 0 when it is not. */
  #companion(row: Row): Row | 0 {
    const { table, placement } = this.#core;
    for (;;) {
      const next = table.next[row] as Row;
      if (next === 0 || !table.together(row, next)) return 0;
      if (!placement.setAsideIfSentenced(next)) return next;
    }
  }

  /** The worker with the largest backlog for this path that has room; among equals the one with fewer sessions. */
  #workerFor(path: EgressPath): WorkerPort | null {
    const { workers } = this.#core;
    let best: WorkerPort | null = null;
    let full = false;
    for (let worker = 0; worker < workers.count; worker++) {
      const port = workers.ports[worker];
      if (port === null || (best !== null && !this.#isBetter(path, port.index, best.index))) continue;
      const has = port.room() >= KEPT_ROOM + OPENING_FRAMES && (path.isKnownTo(port.index) || port.roomForRare());
      if (has) best = port;
      else full = true;
    }
    if (best === null && full) this.#tryLater(path);
    if (best !== null) this.#core.paths.define(path, best.index);
    return best;
  }

  #isBetter(path: EgressPath, worker: WorkerIndex, than: WorkerIndex): boolean {
    const { sessions } = this.#core;
    const more = path.ready.backlog[worker] - path.ready.backlog[than];
    return more > 0 || (more === 0 && sessions.on(worker).length < sessions.on(than).length);
  }

  #closeLeaving(path: EgressPath): void {
    for (let link = path.leaving.first; link !== null; ) {
      const session = link.owner;
      link = link.next;
      this.#close(session, session.leaving);
    }
  }

  #closeIdle(path: EgressPath): void {
    const { agenda, nowMs, stopping } = this.#core;
    for (let link = path.free.first; link !== null; ) {
      const session = link.owner;
      link = link.next;
      const idleUntilMs = session.idleSinceMs + path.config.idleTimeoutMs;
      if (stopping) this.#close(session, CloseReason.shutdown);
      else if (idleUntilMs <= nowMs) this.#close(session, CloseReason.idle);
      else {
        agenda.pathAlarms.ringBy(path.alarm, idleUntilMs);
        return;
      }
    }
  }

  /** False when its worker has no room to be told. */
  #close(session: Session, reason: CloseReason): boolean {
    const port = this.#core.workers.ports[session.worker];
    if (port === null || port.room() === 0) {
      this.#tryLater(session.path);
      return false;
    }
    port.close(session.id, reason);
    session.freeLink.leave();
    session.spareLink.leave();
    session.state = "closing";
    session.path.closing++;
    this.#core.sessions.closing++;
    return true;
  }

  #failPath(path: EgressPath, max: number): number {
    const { agenda } = this.#core;
    let work = 0;
    while (work < max && path.ready.length > 0) {
      const row: Row = path.ready.any();
      if (!this.#disposal.fail(row, TOO_MANY_FAILURES, "TooManyConnectionFailures", path)) return work;
      work++;
    }
    if (path.ready.length === 0) {
      path.failing = false;
      agenda.serviceable.ensure(path.serviceLink);
      if (path.ready.parked > 0) agenda.roomy.ensure(path.roomyLink);
    }
    return work;
  }

  #tryLater(path: EgressPath): void {
    this.#core.block();
    this.#core.agenda.serviceable.ensure(path.serviceLink);
  }
}
