import type { QueueRef, Row, SessionId, ShardIndex, SpoolKey, WorkerIndex } from "../base/brands.js";
import type { Clock } from "../base/clock.js";
import type { Random } from "../base/random.js";
import type { OutcomeKind, SessionChange } from "../protocol/layout/frames.js";
import { Admission } from "./admission.js";
import { Core } from "./core.js";
import { Dispatch } from "./dispatch.js";
import { Disposal } from "./disposal.js";
import { ExpirySweep } from "./expiry-sweep.js";
import { State } from "./message-table.js";
import { ringQueues } from "./parking.js";
import type { Policy, Router, SettledMessages, Suspects, WorkerEvents, WorkerPort } from "./ports.js";
import { Promotion } from "./promotion.js";
import { Renewal } from "./renewal.js";
import { Routes } from "./routes.js";
import { Settlement } from "./settlement.js";
import { SourceCare } from "./source-care.js";
import { SpoolOrders } from "./spool-orders.js";
import { Takeover } from "./takeover.js";
import { Withdrawal } from "./withdrawal.js";

/** When to look again at a worker whose ring was full. Its next frame usually comes first. */
const ROOM_RETRY_MS = 5;
/** When to look again whether sessions that were held back may be opened: the limit moves with the clients, too. */
const LIMIT_RETRY_MS = 250;
/** Rows beyond `max_messages`, per worker, for messages that are acknowledged and still on their way in a ring. */
const RESERVED_PER_WORKER = 32_768;

/** A step of the turn: does at most `max` of its work (messages, frames, queues) and returns how much it did. */
interface Step {
  readonly what: string;
  readonly max: number;
  readonly run: (max: number) => number;
}

/** What a scheduler is made of. */
export interface SchedulerParts {
  readonly clock: Clock;
  readonly random: Random;
  readonly policy: Policy;
  readonly router: Router;
  /** Messages at which intake begins to refuse; the table has a reserve above it. */
  readonly maxMessages: number;
  /** By worker: the shards that it owns. Every shard has one owner. */
  readonly shards: readonly (readonly ShardIndex[])[];
  /** By worker: its port; none, or null, for workers that will report by `workerRestored`. */
  readonly ports?: readonly (WorkerPort | null)[];
  /** Messages that workers died of; none unless given. */
  readonly suspects?: Suspects;
}

/**
 * What it is:  the heart: every message from its acceptance to its removal.
 * Runs on:     the main thread, in turns; callbacks only note, `turn` works, in batches with a stated maximum.
 * Owns:        all state of `Core`: table, wheel, queues, paths, sessions.
 * When full:   of messages: see `MessageTable`. Of sessions and ready messages: queues park. Of ring space: what must be
 *              said stays noted in the rows and is said when there is room.
 * On failure:  a worker that dies gives its messages back; a broken invariant panics and ends the process.
 */
export class Scheduler implements WorkerEvents {
  readonly core: Core;
  readonly #orders: SpoolOrders;
  readonly #withdrawal: Withdrawal;
  readonly #care: SourceCare;
  readonly #renewal: Renewal;
  readonly #routes: Routes;
  readonly #promotion: Promotion;
  readonly #dispatch: Dispatch;
  readonly #settlement: Settlement;
  readonly #admission: Admission;
  readonly #takeover: Takeover;
  readonly #sweep: ExpirySweep;
  readonly #steps: readonly Step[];

  constructor(parts: SchedulerParts) {
    const capacity = parts.maxMessages + RESERVED_PER_WORKER * parts.shards.length;
    const ports = parts.shards.map((_, worker) => parts.ports?.[worker] ?? null);
    const core = new Core({ ...parts, capacity, ports });
    const disposal = new Disposal(core);
    this.core = core;
    this.#orders = new SpoolOrders(core);
    this.#withdrawal = new Withdrawal(core);
    this.#care = new SourceCare(core);
    this.#renewal = new Renewal(core, this.#withdrawal, this.#care);
    this.#routes = new Routes(core, parts.router, this.#withdrawal);
    this.#promotion = new Promotion(core, this.#routes, disposal, this.#renewal);
    this.#dispatch = new Dispatch(core, disposal);
    this.#settlement = new Settlement(core, this.#orders, disposal, this.#care);
    this.#admission = new Admission(core);
    this.#takeover = new Takeover(core, disposal);
    this.#sweep = new ExpirySweep(core, this.#orders, disposal);
    this.#steps = this.#stepsOfATurn();
  }

  /**
   * One turn: its steps, each at most to its bound. Returns the milliseconds until the next turn is needed: 0 when work
   * was left, Infinity when only an event can bring some.
   */
  turn(): number {
    const { core } = this;
    core.nowMs = core.clock.steadyMs();
    core.blocked = false;
    let work = 0;
    let more = false;
    for (const step of this.#steps) {
      const done = step.run(step.max);
      work += done;
      if (done >= step.max) more = true;
    }
    for (const port of core.workers.ports) port?.publish();
    core.table.assertConservation();
    return more ? 0 : this.#waitMs(work);
  }

  /** Output before input, as far as the rings allow: a ring is read in order, so messages come in among the outcomes. */
  #stepsOfATurn(): readonly Step[] {
    const { core } = this;
    return [
      { what: "settle outcomes, admit messages", max: 1024, run: (max) => this.#drain(max) },
      { what: "hand over from the dead", max: 8192, run: (max) => this.#takeover.step(max) },
      { what: "tell owners what to remove", max: 1024, run: (max) => this.#orders.retire(max) },
      { what: "put routes into force", max: 256, run: (max) => this.#routes.apply(max) },
      { what: "advance the wheel", max: 2048, run: (max) => core.wheel.advance(core.nowMs, max, core.placement) },
      { what: "renew what a reload changed", max: 512, run: (max) => this.#renewal.step(max) },
      { what: "end suspensions of sources", max: 64, run: (max) => this.#care.ring(max) },
      { what: "take back from paths", max: 1024, run: (max) => this.#withdrawal.paths(max) },
      { what: "wake parked queues", max: 1024, run: (max) => this.#promotion.wake(max) },
      { what: "promote due messages", max: 1024, run: (max) => this.#promotion.promote(max) },
      { what: "let in paths that were held back", max: 256, run: (max) => this.#dispatch.letIn(max) },
      { what: "ring the paths' alarms", max: 1024, run: (max) => this.#dispatch.ring(max) },
      { what: "hand out ready messages", max: 1024, run: (max) => this.#dispatch.dispatch(max) },
      { what: "make room for paths held back", max: 256, run: (max) => this.#dispatch.makeRoom(max) },
      { what: "fail what cannot be reached", max: 256, run: (max) => this.#dispatch.failPaths(max) },
      { what: "ring the queues' alarms", max: 1024, run: (max) => ringQueues(core, max) },
      { what: "reap empty queues", max: 1024, run: (max) => core.queues.reap(core.nowMs, max) },
      { what: "sweep for what is too old", max: 8192, run: (max) => this.#sweep.step(max) },
    ];
  }

  /** Reads at most `max` frames of each worker; returns the most that one had. */
  #drain(max: number): number {
    let most = 0;
    for (const port of this.core.workers.ports) most = Math.max(most, port?.drain(this, max) ?? 0);
    return most;
  }

  #waitMs(work: number): number {
    const { agenda, wheel, queues, nowMs, blocked, stopping } = this.core;
    const left =
      agenda.serviceable.length +
      agenda.roomy.length +
      agenda.failing.length +
      agenda.withdrawing.length +
      (this.#renewal.busy ? 1 : 0) +
      this.#routes.pending +
      (stopping ? 0 : agenda.promotable.length);
    // What is left may be all for workers whose rings are full: then look again soon instead of spinning.
    if (left > 0 && (work > 0 || !blocked)) return 0;
    const next = Math.min(
      wheel.nextMs(),
      agenda.pathAlarms.nextMs(),
      agenda.queueAlarms.nextMs(),
      agenda.sourceAlarms.nextMs(),
      queues.nextReapMs(),
      this.#sweep.nextMs(),
      blocked ? nowMs + ROOM_RETRY_MS : Number.POSITIVE_INFINITY,
      agenda.held.length > 0 ? nowMs + LIMIT_RETRY_MS : Number.POSITIVE_INFINITY,
    );
    return Math.max(0, next - nowMs);
  }

  // ── what the server tells ────────────────────────────────────────────────────────────────────────────────────────

  /** Messages in the table: what `max_messages` is held against. */
  get messages(): number {
    return this.core.table.live;
  }

  /** Messages in the hands of sessions. */
  get inFlight(): number {
    return this.core.table.counts[State.inFlight] - this.core.workers.orphaned;
  }

  /**
   * Whether a message is in the hand of a session whose path gives it more time than `elapsedMs` after the stop began.
   * @param usualMs what a path gives that says nothing of it.
   */
  hasTimeToEnd(elapsedMs: number, usualMs: number): boolean {
    for (const { hand, path } of this.core.sessions.all()) {
      if (hand.length > 0 && elapsedMs < (path.config.systemShutdownTimeoutMs ?? usualMs)) return true;
    }
    return false;
  }

  /** Sessions that are open, opening or closing. */
  get sessions(): number {
    return this.core.sessions.size;
  }

  /** Most sessions that may be open together; what is beyond is held back and tried again soon. */
  set sessionLimit(sessions: number) {
    this.core.sessionLimit = sessions;
  }

  /** The policy answers otherwise from now on: whatever goes by its answers is renewed in the turns that follow. */
  reconfigure(): void {
    this.core.nowMs = this.core.clock.steadyMs();
    this.#renewal.begin();
  }

  /** Whether a reload has not reached everything yet. */
  get renewing(): boolean {
    return this.#renewal.busy;
  }

  /** Nothing is handed out any more; free sessions are closed. The stop is complete when `inFlight` is 0. */
  stop(): void {
    const { core } = this;
    core.stopping = true;
    for (const path of core.paths.all()) core.agenda.serviceable.ensure(path.serviceLink);
  }

  /**
   * A worker has died; everything that it wrote has been drained into this. Messages in the hands of its sessions stay
   * there until `lostInformed` says what the log knows. Messages of its shards can be delivered by others; what must be
   * told to it waits.
   */
  workerLost(worker: WorkerIndex): void {
    const { core } = this;
    core.nowMs = core.clock.steadyMs();
    core.workers.ports[worker] = null;
    core.queues.forgetNames(worker);
    core.paths.undefine(worker);
    this.#takeover.lost(worker, this.#settlement.workerLost(worker));
  }

  /**
   * The log was asked about a dead worker's last records: messages in its hands that have their end there leave the spool,
   * the others go back to the front of their queues, without an attempt, and a Delayed record says why
   * (`Counters.dropped` counts them).
   */
  lostInformed(worker: WorkerIndex, settled: SettledMessages): void {
    this.core.nowMs = this.core.clock.steadyMs();
    this.#takeover.informed(worker, settled);
  }

  /** A worker is ready, for the first time or in place of a lost one; then it is used when its succession is over. */
  workerRestored(worker: WorkerIndex, port: WorkerPort): void {
    const { core } = this;
    core.nowMs = core.clock.steadyMs();
    if (!this.#takeover.restored(worker, port)) return;
    core.workers.ports[worker] = port;
    for (const path of core.paths.all()) core.agenda.serviceable.ensure(path.serviceLink);
  }

  // ── what the workers tell, from inside `drain` ───────────────────────────────────────────────────────────────────

  queueNamed(worker: WorkerIndex, ref: QueueRef, name: string): void {
    this.core.queues.name(worker, ref, name);
  }

  queueRefsReset(worker: WorkerIndex): void {
    this.core.queues.forgetNames(worker);
  }

  accepted(
    worker: WorkerIndex,
    shard: ShardIndex,
    key: SpoolKey,
    queue: QueueRef,
    size: number,
    attempts: number,
    dueMs: number,
    nth: number,
  ): void {
    this.#admission.accepted(worker, shard, key, queue, size, attempts, dueMs, nth);
  }

  outcome(_worker: WorkerIndex, row: Row, session: SessionId, kind: OutcomeKind, flags: number, _code: number): void {
    this.#settlement.outcome(row, session, kind, flags);
  }

  session(_worker: WorkerIndex, session: SessionId, change: SessionChange): void {
    this.#settlement.session(session, change);
  }

  retired(_worker: WorkerIndex, row: Row): void {
    this.#admission.retired(row);
  }
}
