/**
 * The parts of a worker, and what each needs of the others: made here, once, in an order that lets each find what it needs.
 *
 * Runs on   a worker
 * Owns      nothing that changes; each part owns its own
 * When full each part says so itself
 * On failure a part that cannot be made throws, and the worker does not start; a fault later is told to the main thread
 */
import { assert } from "../base/assert.js";
import type { SessionId, ShardIndex } from "../base/brands.js";
import { SystemClock } from "../base/clock.js";
import { Fault } from "../base/fault.js";
import { systemRandom } from "../base/random.js";
import type { DnsConfig, SmtpListenerConfig } from "../config/compiled.js";
import type { Reactor } from "../native/binding.js";
import { loadNative } from "../native/load.js";
import type { Hand } from "../protocol/layout/hands.js";
import { SharedState } from "../protocol/layout/shared-state.js";
import { nodeDigits } from "../protocol/message-id.js";
import { Bell, Sleeper } from "../ring/doorbell.js";
import { contentFlags } from "./content-flags.js";
import { Decisions } from "./decisions.js";
import { Egress } from "./egress/egress.js";
import { LogFile } from "./events/log-file.js";
import { LogShared } from "./events/log-shared.js";
import { NO_ATTEMPT, RecordLines } from "./events/record.js";
import { Intake } from "./ingress/intake.js";
import { IngressListener } from "./ingress/listener.js";
import type { WorkerInit } from "./init.js";
import { Journal } from "./journal.js";
import { Names } from "./names.js";
import { openHand } from "./open-hand.js";
import { Pressure } from "./pressure.js";
import { RECEIVED, receptionFacts } from "./reception-facts.js";
import { Reload } from "./reload.js";
import { Reports } from "./reports.js";
import { SchedulerLink } from "./scheduler-link.js";
import { Shards } from "./shards.js";
import { SpoolCare } from "./spool-care.js";

/** Receive arena, shared by all connections of the thread. */
const ARENA_BYTES = 1 << 20;
/** Lines that may wait while the log cannot be written. */
const LOG_WAITING_BYTES = 64 * 1024 * 1024;

/** See the file's header. */
export class Parts {
  readonly clock = new SystemClock();
  /** Towards the scheduler: frames of every message, and rare ones. */
  readonly link: SchedulerLink;
  readonly reports: Reports;
  readonly journal: Journal;
  readonly reactor: Reactor;
  readonly sleeper: Sleeper;
  /** The number of turns taken, for the watchdog. */
  readonly beat: Float64Array;
  readonly shards: Shards;
  readonly care: SpoolCare;
  readonly decisions: Decisions;
  readonly reload: Reload;
  readonly intake: Intake;
  readonly egress: Egress;
  readonly listeners: readonly IngressListener[];
  readonly #names: Names;
  readonly pressure: Pressure;
  readonly #init: WorkerInit;
  readonly #shared: SharedState;
  readonly #counters: Float64Array;
  readonly #node: string;
  readonly #hand: Hand;

  /** @param turn what the reactor calls when the sockets have spoken, or when a turn was asked for. */
  constructor(init: WorkerInit, turn: () => void) {
    this.#init = init;
    const { config } = init;
    this.#shared = new SharedState(init.shared);
    this.#counters = this.#shared.counters(1 + init.index);
    this.#node = nodeDigits(config.node.nodeId);
    this.beat = this.#shared.beat(1 + init.index);
    this.#hand = openHand(init);
    const bell = new Bell(this.#shared.words, SharedState.bellIndex(0));
    this.link = new SchedulerLink(init.up, init.down, bell);
    this.reports = new Reports(this.link);
    const file = new LogFile(new LogShared(init.logShared), LOG_WAITING_BYTES);
    const reported = this.#shared.logReported(1 + init.index);
    this.journal = new Journal(
      file,
      new RecordLines(config.node.nodeId),
      this.clock,
      this.#counters,
      reported,
      (fault) => this.fault(fault),
    );
    this.journal.switchTo(init.segment);
    this.reactor = loadNative().createReactor({ arenaBytes: ARENA_BYTES, onTurn: turn });
    const wake = (): void => this.reactor.requestTurn();
    this.sleeper = new Sleeper(this.#shared.words, SharedState.bellIndex(1 + init.index), wake);
    this.shards = new Shards(init, this.clock, this.#shared, {
      removed: (shard, tokens) => this.reports.retired(shard, tokens),
      batch: wake,
      quarantined: (shard, key, reason, envelope) => {
        this.reports.message({ kind: "quarantined", shard, key, reason });
        this.decisions.quarantined(shard, key, reason, envelope);
      },
      fault: (shard, fault) => this.fault(fault, shard),
      reopening: (shard) => {
        this.reports.message({ kind: "reopening", shard });
        wake();
      },
      mended: (shard) => this.reports.message({ kind: "mended", shard }),
    });
    this.care = new SpoolCare(this.shards, config.spool, this.clock, this.#counters, this.reports);
    this.decisions = new Decisions(
      this.#node,
      config.spool.durability,
      this.shards,
      this.journal,
      this.#counters,
      this.#hand,
      (row, kind, flags) => this.reports.outcome(row, 0 as SessionId, kind, flags, 0),
      (shard, key, reason) => this.reports.message({ kind: "lost", shard, key, reason }),
    );
    this.reload = new Reload({
      roomy: () => this.link.roomy,
      hand: this.#hand,
      announce: (shard, key, queue, size, attempts, dueMs, nth) =>
        this.link.accepted(shard, key, queue, size, attempts, dueMs, nth),
      loaded: (shard, rows, quarantined, settled) =>
        this.reports.message({ kind: "loaded", shard, rows, quarantined, settled }),
      left: (shard, key) => this.reports.message({ kind: "left", shard, key }),
      failed: (shard, fault) => this.fault(fault, shard),
    });
    this.intake = this.#makeIntake();
    this.#names = new Names(config.dns, this.clock, this.#counters, this.#shared.histograms(1 + init.index), wake);
    this.egress = this.#makeEgress(this.#names);
    this.listeners = config.smtpListeners.map((listener, index) => this.#makeListener(listener, index));
    const shrinkable = [this.shards, this.#names, this.egress, ...this.listeners.map(({ pool }) => pool)];
    const limits = { shared: this.#shared, counters: this.#counters, ring: this.link, reactor: this.reactor };
    this.pressure = new Pressure({ ...limits, shrinkable }, this.clock.monoMs());
  }

  /** Tells the main thread of a fault, of a shard where it is known of which. */
  fault(fault: Fault, shard: ShardIndex | null = null): void {
    this.reports.message({ kind: "fault", code: fault.code, message: fault.message, shard });
  }

  #makeIntake(): Intake {
    const primary = this.#init.shards[0];
    assert(primary !== undefined, "a worker has a primary shard");
    return new Intake({
      clock: this.clock,
      shard: this.shards.own(primary.shard),
      shared: this.#shared,
      counters: this.#counters,
      node: this.#node,
      durability: this.#init.config.spool.durability,
      flagsOf: contentFlags,
      logHealthy: () => this.journal.healthy,
      lagging: () => this.pressure.lagging,
      logReception: (stored, i) =>
        this.journal.message("Reception", receptionFacts(stored, i), RECEIVED, NO_ATTEMPT, null),
      announce: (shard, key, queue, size, nth) => this.link.accepted(shard, key, queue, size, 0, 0, nth),
    });
  }

  /** A reload: what is live takes its new options. A zone file that went wrong in the meantime changes nothing. */
  reconfigure(listeners: readonly SmtpListenerConfig[], dns: DnsConfig): void {
    for (const [index, listener] of this.listeners.entries()) {
      const config = listeners[index];
      if (config !== undefined) listener.reconfigure(config);
    }
    this.#names.reconfigure(dns).catch((error: unknown) => {
      if (!(error instanceof Fault)) throw error;
      this.fault(error);
    });
  }

  #makeEgress(names: Names): Egress {
    return new Egress({
      reactor: this.reactor,
      clock: this.clock,
      random: systemRandom,
      hostname: this.#init.config.node.hostname,
      node: this.#node,
      counters: this.#counters,
      names,
      owns: (shard) => this.shards.owns(shard),
      defers: this.shards.defers,
      inHand: (shard, key, inHand) => this.shards.inHand(shard, key, inHand),
      lost: (shard, key) => this.decisions.lost(shard, key),
      wanted: (shard, key) => this.reports.message({ kind: "wanted", shard, key }),
      read: (shard, key, alike) => this.shards.read(shard, key, alike),
      hand: this.#hand,
      remove: (shard, key, row) => this.shards.removeSoon(shard, key, row),
      log: (kind, message, response, attempt, reason) => this.journal.message(kind, message, response, attempt, reason),
      outcome: (row, session, kind, flags, code) => this.reports.outcome(row, session, kind, flags, code),
      sessionUp: (session) => this.reports.up(session),
      sessionEnded: (session) => this.reports.ended(session),
      tlsOutcomes: (outcomes) => this.reports.message({ kind: "tlsOutcomes", outcomes }),
    });
  }

  #makeListener(config: WorkerInit["config"]["smtpListeners"][number], index: number): IngressListener {
    return new IngressListener(config, index, {
      clock: this.clock,
      intake: this.intake,
      shared: this.#shared,
      thread: 1 + this.#init.index,
      counters: this.#counters,
      durability: this.#init.config.spool.durability,
      countSockets: () => this.pressure.countSockets(),
      logRejection: (session, response, sender, recipient) =>
        this.journal.rejection({ sender, recipient, response, reception: session.reception, size: 0 }),
    });
  }
}
