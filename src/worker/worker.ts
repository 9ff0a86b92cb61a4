/**
 * A worker: one of N identical threads. It composes ingress, spool, egress and events, and takes their turns.
 *
 * Runs on   a pool thread, as one task that lasts as long as the server
 * Owns      everything that its parts own; no state of its own but the order of a turn
 * When full it stops reading its clients (the ring to the scheduler has no room) and goes on when there is room
 * On failure a fault is reported to the main thread; a bug of ours ends the thread, and the supervisor starts another
 *
 * A turn: sockets have spoken (the reactor calls) → what the scheduler wants → what waits to be told → the log is
 * written → only then spool entries go, commits begin, and the scheduler hears of outcomes → replies leave.
 */
import { threadId } from "node:worker_threads";
import { assert, unreachable } from "../base/assert.js";
import type { PathId, Row, SessionId, ShardIndex, SpoolKey } from "../base/brands.js";
import { SystemClock } from "../base/clock.js";
import { Fault, messageOf } from "../base/fault.js";
import { systemRandom } from "../base/random.js";
import type { Reactor } from "../native/binding.js";
import { loadNative } from "../native/load.js";
import type { CloseReason } from "../protocol/layout/frames.js";
import type { Hand } from "../protocol/layout/hands.js";
import { SharedState } from "../protocol/layout/shared-state.js";
import { nodeDigits } from "../protocol/message-id.js";
import type { DownMessage } from "../protocol/messages.js";
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
import { listenAll } from "./listen-all.js";
import { Names } from "./names.js";
import { openHand } from "./open-hand.js";
import { osThread } from "./os-thread.js";
import { Pressure } from "./pressure.js";
import { RECEIVED, receptionFacts } from "./reception-facts.js";
import { Reload } from "./reload.js";
import { Reports } from "./reports.js";
import { type SchedulerCommands, SchedulerLink } from "./scheduler-link.js";
import { Shards } from "./shards.js";
import { isStoreError } from "./spool/lmdb-store.js";
import { SpoolCare } from "./spool-care.js";

/** Receive arena, shared by all connections of the thread. */
const ARENA_BYTES = 1 << 20;
/** Frames of the scheduler taken per turn. */
const FRAMES_PER_TURN = 1024;
/** How often time-outs are looked after. */
const SWEEP_MS = 250;
/** How soon to try again what found no room. */
const RETRY_MS = 1;
/** Lines that may wait while the log cannot be written. */
const LOG_WAITING_BYTES = 64 * 1024 * 1024;

/** The pool's task: runs a worker until it is told to stop. Rejects when it cannot start. */
export async function run(init: WorkerInit): Promise<void> {
  const worker = new ResidentWorker(init);
  await worker.finished;
}

class ResidentWorker implements SchedulerCommands {
  readonly finished: Promise<void>;
  readonly #init: WorkerInit;
  readonly #clock = new SystemClock();
  readonly #shared: SharedState;
  readonly #counters: Float64Array;
  readonly #node: string;
  readonly #link: SchedulerLink;
  readonly #reports: Reports;
  readonly #journal: Journal;
  readonly #reactor: Reactor;
  readonly #sleeper: Sleeper;
  readonly #hand: Hand;
  readonly #beat: Float64Array;
  readonly #shards: Shards;
  readonly #care: SpoolCare;
  readonly #decisions: Decisions;
  readonly #reload: Reload;
  readonly #egress: Egress;
  readonly #intake: Intake;
  readonly #listeners: IngressListener[];
  readonly #pressure: Pressure;
  readonly #sweepTimer: NodeJS.Timeout;
  #resolve: () => void = () => {};
  #reject: (error: unknown) => void = () => {};
  #retryTimer: NodeJS.Timeout | null = null;
  #stopAtMs = Number.POSITIVE_INFINITY;
  #closing = false;
  /** Die in the next turn that has written records, before anybody hears of them: see the message `die`. */
  #dieWritten = false;

  constructor(init: WorkerInit) {
    this.#init = init;
    const { config } = init;
    this.finished = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#shared = new SharedState(init.shared);
    this.#counters = this.#shared.counters(1 + init.index);
    this.#node = nodeDigits(config.node.nodeId);
    this.#beat = this.#shared.beat(1 + init.index);
    this.#hand = openHand(init);
    const bell = new Bell(this.#shared.words, SharedState.bellIndex(0));
    this.#link = new SchedulerLink(init.up, init.down, bell);
    this.#reports = new Reports(this.#link);
    const file = new LogFile(new LogShared(init.logShared), LOG_WAITING_BYTES);
    const reported = this.#shared.logReported(1 + init.index);
    this.#journal = new Journal(
      file,
      new RecordLines(config.node.nodeId),
      this.#clock,
      this.#counters,
      reported,
      (fault) => this.#fault(fault),
    );
    this.#journal.switchTo(init.segment);
    this.#reactor = loadNative().createReactor({ arenaBytes: ARENA_BYTES, onTurn: () => this.#turn() });
    const wake = (): void => this.#reactor.requestTurn();
    this.#sleeper = new Sleeper(this.#shared.words, SharedState.bellIndex(1 + init.index), wake);
    this.#shards = new Shards(init, this.#clock, this.#shared, {
      removed: (shard, tokens) => this.#reports.retired(shard, tokens),
      batch: wake,
      quarantined: (shard, key, reason, envelope) => {
        this.#reports.message({ kind: "quarantined", shard, key, reason });
        this.#decisions.quarantined(shard, key, reason, envelope);
      },
      fault: (fault) => this.#fault(fault),
      reopening: (shard) => {
        this.#reports.message({ kind: "reopening", shard });
        wake();
      },
      mended: (shard) => this.#reports.message({ kind: "mended", shard }),
    });
    this.#care = new SpoolCare(this.#shards, config.spool, this.#clock, this.#counters, this.#reports);
    this.#decisions = new Decisions(
      this.#node,
      config.spool.durability,
      this.#shards,
      this.#journal,
      this.#counters,
      this.#hand,
      (row, kind, flags) => this.#reports.outcome(row, 0 as SessionId, kind, flags, 0),
    );
    this.#reload = new Reload({
      roomy: () => this.#link.roomy,
      hand: this.#hand,
      announce: (shard, key, queue, size, attempts, dueMs) =>
        this.#link.accepted(shard, key, queue, size, attempts, dueMs),
      loaded: (shard, rows, quarantined, settled) =>
        this.#reports.message({ kind: "loaded", shard, rows, quarantined, settled }),
      left: (shard, key) => this.#reports.message({ kind: "left", shard, key }),
      failed: (fault) => this.#fault(fault),
    });
    this.#intake = this.#makeIntake();
    const names = new Names(config.dns, this.#clock, wake);
    this.#egress = this.#makeEgress(names);
    this.#listeners = config.smtpListeners.map((listener, index) => this.#makeListener(listener, index));
    const shrinkable = [this.#shards, names, ...this.#listeners.map(({ pool }) => pool)];
    const limits = { shared: this.#shared, counters: this.#counters, ring: this.#link, reactor: this.#reactor };
    this.#pressure = new Pressure({ ...limits, shrinkable }, this.#clock.monoMs());
    this.#sweepTimer = setInterval(() => this.#sweep(), SWEEP_MS);
    process.on("unhandledRejection", this.#onStray);
    for (const shard of init.shards) this.#reload.add(this.#shards.own(shard.shard), shard);
    this.#reports.message({ kind: "opened", threadId, osThread: osThread(), shards: this.#shards.lastKeys() });
    // Known before the first turn, or the watchdog could not end a thread that never comes out of it.
    this.#link.publish();
    wake();
  }

  #makeIntake(): Intake {
    const primary = this.#init.shards[0];
    assert(primary !== undefined, "a worker has a primary shard");
    return new Intake({
      clock: this.#clock,
      shard: this.#shards.own(primary.shard),
      shared: this.#shared,
      counters: this.#counters,
      node: this.#node,
      durability: this.#init.config.spool.durability,
      flagsOf: contentFlags,
      logHealthy: () => this.#journal.healthy,
      lagging: () => this.#pressure.lagging,
      logReception: (stored, i) =>
        this.#journal.message("Reception", receptionFacts(stored, i), RECEIVED, NO_ATTEMPT, null),
      announce: (shard, key, queue, size) => this.#link.accepted(shard, key, queue, size, 0, 0),
    });
  }

  #makeEgress(names: Names): Egress {
    return new Egress({
      reactor: this.#reactor,
      clock: this.#clock,
      random: systemRandom,
      hostname: this.#init.config.node.hostname,
      node: this.#node,
      counters: this.#counters,
      resolve: (host, strategy, done) => names.resolve(host, strategy, done),
      owns: (shard) => this.#shards.owns(shard),
      defers: this.#shards.defers,
      inHand: (shard, key, inHand) => this.#shards.inHand(shard, key, inHand),
      lost: (shard, key) => this.#decisions.lost(shard, key),
      wanted: (shard, key) => this.#reports.message({ kind: "wanted", shard, key }),
      read: (shard, key) => this.#shards.read(shard, key),
      hand: this.#hand,
      remove: (shard, key, row) => this.#shards.removeSoon(shard, key, row),
      log: (kind, message, response, attempt, reason) =>
        this.#journal.message(kind, message, response, attempt, reason),
      outcome: (row, session, kind, flags, code) => this.#reports.outcome(row, session, kind, flags, code),
      sessionUp: (session) => this.#reports.up(session),
      sessionEnded: (session) => this.#reports.ended(session),
    });
  }

  #makeListener(config: WorkerInit["config"]["smtpListeners"][number], index: number): IngressListener {
    return new IngressListener(config, index, {
      clock: this.#clock,
      intake: this.#intake,
      shared: this.#shared,
      thread: 1 + this.#init.index,
      counters: this.#counters,
      durability: this.#init.config.spool.durability,
      countSockets: () => this.#pressure.countSockets(),
      logRejection: (session, response, sender, recipient) =>
        this.#journal.rejection({ sender, recipient, response, reception: session.reception, size: 0 }),
    });
  }

  // ── the turn ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #turn(): void {
    if (this.#closing) return;
    (this.#beat[0] as number)++;
    this.#sleeper.stayAwake();
    const read = this.#link.drain(this, FRAMES_PER_TURN);
    const announced = this.#intake.retryAnnouncements();
    this.#reload.step();
    let told = this.#reports.flush();
    if (this.#journal.flush()) {
      if (this.#dieWritten && this.#journal.wroteNow) process.exit(1);
      this.#shards.settle();
      told = this.#reports.flush() && told;
      this.#link.publish();
      if (told) this.#noteReported();
    }
    this.#sleeper.sleep();
    const more = read === FRAMES_PER_TURN || this.#link.waiting || (this.#reload.busy && this.#link.roomy);
    if (more) this.#reactor.requestTurn();
    else if (!told || !announced || this.#reload.busy || !this.#journal.healthy) {
      // The scheduler has to make room first, or the disk: look again soon, without spinning.
      this.#retryTimer ??= setTimeout(() => {
        this.#retryTimer = null;
        this.#reactor.requestTurn();
      }, RETRY_MS);
    }
    if (this.#stopAtMs !== Number.POSITIVE_INFINITY) this.#tryFinish();
  }

  #noteReported(): void {
    const begun = this.#journal.noteReported();
    if (begun === null) return;
    this.#reports.message({ kind: "segmentInUse", segment: begun });
    this.#link.publish();
  }

  #sweep(): void {
    this.#pressure.look(this.#clock.monoMs());
    for (const listener of this.#listeners) listener.sweep();
    this.#egress.sweep();
    this.#decisions.sweep(this.#clock.monoMs());
    this.#care.sweep();
    this.#reactor.requestTurn();
  }

  // ── what the scheduler wants ─────────────────────────────────────────────────────────────────────────────────────

  open(session: SessionId, path: PathId): void {
    this.#egress.open(session, path);
  }

  deliver(session: SessionId, row: Row, shard: ShardIndex, key: SpoolKey, attempts: number): void {
    this.#egress.deliver(session, row, shard, key, attempts);
  }

  close(session: SessionId, _reason: CloseReason): void {
    this.#egress.close(session);
  }

  retire(row: Row, shard: ShardIndex, key: SpoolKey): void {
    this.#shards.own(shard).remove(key, row);
  }

  reschedule(shard: ShardIndex, key: SpoolKey, attempts: number, dueMs: number): void {
    this.#shards.own(shard).reschedule(key, attempts, dueMs);
  }

  message(message: DownMessage): void {
    switch (message.kind) {
      case "definePath":
        this.#egress.definePath(message.path);
        return;
      case "forgetPath":
        this.#egress.forgetPath(message.id);
        return;
      case "dispose":
        this.#decisions.dispose(message);
        return;
      case "setAside":
        this.#decisions.setAside(message);
        return;
      case "letGo":
        this.#shards.letGo(message.shard);
        return;
      case "save":
        this.#shards.own(message.shard).deferred?.save(message.key);
        return;
      case "listen":
        // Where threads cannot share a port, the first worker takes all connections.
        if (!loadNative().perThreadListeners && this.#init.index !== 0) return;
        void listenAll(this.#listeners, this.#reactor, this.#init.ports, this.#reports);
        return;
      case "segment":
        this.#journal.trySwitchTo(message.segment);
        return;
      case "compact":
        this.#care.compactAll(message.request);
        return;
      case "stop":
        this.#stop(message.deadlineMs);
        return;
      case "die":
        if (message.when === "now") process.exit(1);
        this.#dieWritten = true;
        return;
      default:
        unreachable(message);
    }
  }

  /** lmdb-js rejects promises that nobody can hold: then nothing of the storage is believed until it was opened anew. */
  readonly #onStray = (reason: unknown): void => {
    // A bug of ours ends the thread, as without this handler.
    if (!isStoreError(reason)) throw reason;
    this.#shards.distrust(new Fault("spool.commit-failed", `spool failed unseen: ${messageOf(reason)}`));
  };

  #fault(fault: Fault): void {
    this.#reports.message({ kind: "fault", code: fault.code, message: fault.message });
  }

  // ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Ends what can be ended; the last turn finishes. */
  #stop(deadlineMs: number): void {
    this.#stopAtMs = this.#clock.monoMs() + deadlineMs;
    for (const listener of this.#listeners) listener.stop();
    this.#egress.quitAll();
  }

  #tryFinish(): void {
    const late = this.#clock.monoMs() >= this.#stopAtMs;
    const open = this.#egress.size + this.#listeners.reduce((sum, listener) => sum + listener.size, 0);
    if (open > 0 && !late) return;
    if (late) {
      this.#egress.abortAll();
      for (const listener of this.#listeners) listener.destroy();
    }
    this.#closing = true;
    clearInterval(this.#sweepTimer);
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    void this.#finish();
  }

  /** Outcomes are told, the log is written, the shards are committed and closed. */
  async #finish(): Promise<void> {
    try {
      // With the log unwritten its messages stay in the spool: the next start finds them, and sends some a second time.
      if (this.#journal.flush()) this.#shards.settle();
      await this.#shards.close();
      this.#reports.message({ kind: "stopped" });
      this.#reports.flush();
      this.#journal.close();
      this.#link.publish();
      this.#reactor.close();
      process.off("unhandledRejection", this.#onStray);
      this.#resolve();
    } catch (error) {
      this.#reject(error);
    }
  }
}
