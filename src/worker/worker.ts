/**
 * A worker: one of N identical threads. It takes the turns of ingress, spool, egress and events, which `parts.ts` composes.
 *
 * Runs on   a pool thread, as one task that lasts as long as the server
 * Owns      its parts; no state of its own but the order of a turn, and how far its end has come
 * When full it stops reading its clients (the ring to the scheduler has no room) and goes on when there is room
 * On failure a fault is reported to the main thread; a bug of ours ends the thread, and the supervisor starts another
 *
 * A turn: sockets have spoken (the reactor calls) → what the scheduler wants → what waits to be told → the log is
 * written → only then spool entries go, commits begin, and the scheduler hears of outcomes → replies leave.
 */
import { threadId } from "node:worker_threads";
import { unreachable } from "../base/assert.js";
import type { PathId, Row, SessionId, ShardIndex, SpoolKey } from "../base/brands.js";
import { Fault, messageOf } from "../base/fault.js";
import { loadNative } from "../native/load.js";
import type { CloseReason } from "../protocol/layout/frames.js";
import { ProcessFlag, SharedState } from "../protocol/layout/shared-state.js";
import type { DownMessage } from "../protocol/messages.js";
import type { WorkerInit } from "./init.js";
import { listenAll } from "./listen-all.js";
import { osThread } from "./os-thread.js";
import { Parts } from "./parts.js";
import type { SchedulerCommands } from "./scheduler-link.js";
import { isStoreError } from "./spool/lmdb-store.js";

/** Frames of the scheduler taken per turn. */
const FRAMES_PER_TURN = 1024;
/** How often time-outs are looked after. */
const SWEEP_MS = 250;
/** How soon to try again what found no room. */
const RETRY_MS = 1;

/** The pool's task: runs a worker until it is told to stop. Rejects when it cannot start. */
export async function run(init: WorkerInit): Promise<void> {
  loadNative().nameThread(`hk-worker-${init.index}`);
  const worker = new ResidentWorker(init);
  await worker.finished;
}

class ResidentWorker implements SchedulerCommands {
  readonly finished: Promise<void>;
  readonly #init: WorkerInit;
  readonly #parts: Parts;
  readonly #shared: SharedState;
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
    this.#shared = new SharedState(init.shared);
    this.finished = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#parts = new Parts(init, () => this.#turn());
    this.#sweepTimer = setInterval(() => this.#sweep(), SWEEP_MS);
    process.on("unhandledRejection", this.#onStray);
    const { reload, shards, reports, link, reactor } = this.#parts;
    for (const shard of init.shards) reload.add(shards.own(shard.shard), shard);
    reports.message({ kind: "opened", threadId, osThread: osThread(), shards: shards.lastKeys() });
    // Known before the first turn, or the watchdog could not end a thread that never comes out of it.
    link.publish();
    reactor.requestTurn();
  }

  // ── the turn ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #turn(): void {
    if (this.#closing) return;
    const { beat, sleeper, link, intake, reload, reports, journal, shards, reactor } = this.#parts;
    (beat[0] as number)++;
    sleeper.stayAwake();
    // Each order may be a line. While too many of them cannot be written the ring fills up, and the scheduler waits; a stop is heard.
    const deaf = journal.crowded && !this.#stopping;
    const read = deaf ? 0 : link.drain(this, FRAMES_PER_TURN);
    const announced = intake.retryAnnouncements();
    reload.step();
    let told = reports.flush();
    if (journal.flush()) {
      if (this.#dieWritten && journal.wroteNow) process.exit(1);
      shards.settle();
      told = reports.flush() && told;
      link.publish();
      if (told) this.#noteReported();
    }
    sleeper.sleep();
    const more = read === FRAMES_PER_TURN || (link.waiting && !deaf) || (reload.busy && link.roomy);
    if (more) reactor.requestTurn();
    else if (!told || !announced || reload.busy || !journal.healthy) {
      // The scheduler has to make room first, or the disk: look again soon, without spinning.
      this.#retryTimer ??= setTimeout(() => {
        this.#retryTimer = null;
        reactor.requestTurn();
      }, RETRY_MS);
    }
    if (this.#stopAtMs !== Number.POSITIVE_INFINITY) this.#tryFinish();
  }

  get #stopping(): boolean {
    return (this.#shared.flags & ProcessFlag.stopping) !== 0;
  }

  #noteReported(): void {
    const begun = this.#parts.journal.noteReported();
    if (begun === null) return;
    this.#parts.reports.message({ kind: "segmentInUse", segment: begun });
    this.#parts.link.publish();
  }

  #sweep(): void {
    this.#parts.pressure.look(this.#parts.clock.monoMs());
    for (const listener of this.#parts.listeners) listener.sweep();
    this.#parts.egress.sweep();
    this.#parts.decisions.sweep(this.#parts.clock.monoMs());
    this.#parts.care.sweep();
    this.#parts.reactor.requestTurn();
  }

  // ── what the scheduler wants ─────────────────────────────────────────────────────────────────────────────────────

  open(session: SessionId, path: PathId): void {
    this.#parts.egress.open(session, path);
  }

  deliver(session: SessionId, row: Row, shard: ShardIndex, key: SpoolKey, attempts: number, more: boolean): void {
    this.#parts.egress.deliver(session, row, shard, key, attempts, more);
  }

  close(session: SessionId, _reason: CloseReason): void {
    this.#parts.egress.close(session);
  }

  retire(row: Row, shard: ShardIndex, key: SpoolKey): void {
    this.#parts.shards.own(shard).remove(key, row);
  }

  reschedule(shard: ShardIndex, key: SpoolKey, attempts: number, dueMs: number): void {
    this.#parts.shards.own(shard).reschedule(key, attempts, dueMs);
  }

  message(message: DownMessage): void {
    switch (message.kind) {
      case "definePath":
        this.#parts.egress.definePath(message.path);
        return;
      case "forgetPath":
        this.#parts.egress.forgetPath(message.id);
        return;
      case "dispose":
        this.#parts.decisions.dispose(message);
        return;
      case "setAside":
        this.#parts.decisions.setAside(message);
        return;
      case "letGo":
        this.#parts.shards.letGo(message.shard);
        return;
      case "save":
        this.#parts.shards.own(message.shard).deferred?.save(message.key);
        return;
      case "listen":
        // Where threads cannot share a port, the first worker takes all connections.
        if (!loadNative().perThreadListeners && this.#init.index !== 0) return;
        void listenAll(this.#parts.listeners, this.#parts.reactor, this.#init.ports, this.#parts.reports);
        return;
      case "segment":
        this.#parts.journal.trySwitchTo(message.segment);
        return;
      case "reconfigure":
        this.#parts.reconfigure(message.listeners, message.dns);
        return;
      case "inspect":
        this.#parts.egress.inspect(message.sessions, (sessions, last) =>
          this.#parts.reports.message({ kind: "inspected", request: message.request, sessions, last }),
        );
        return;
      case "compact":
        this.#parts.care.compactAll(message.request);
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
    this.#parts.shards.distrust(new Fault("spool.commit-failed", `spool failed unseen: ${messageOf(reason)}`));
  };

  // ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Ends what can be ended; the last turn finishes. */
  #stop(deadlineMs: number): void {
    this.#stopAtMs = this.#parts.clock.monoMs() + deadlineMs;
    for (const listener of this.#parts.listeners) listener.stop();
    this.#parts.egress.endAll();
  }

  #tryFinish(): void {
    const late = this.#parts.clock.monoMs() >= this.#stopAtMs;
    const open = this.#parts.egress.size + this.#parts.listeners.reduce((sum, listener) => sum + listener.size, 0);
    if (open > 0 && !late) return;
    if (late) {
      this.#parts.egress.abortAll();
      for (const listener of this.#parts.listeners) listener.destroy();
    }
    this.#parts.egress.reportTls();
    this.#closing = true;
    clearInterval(this.#sweepTimer);
    if (this.#retryTimer !== null) clearTimeout(this.#retryTimer);
    void this.#finish();
  }

  /** Outcomes are told, the log is written, the shards are committed and closed. */
  async #finish(): Promise<void> {
    try {
      // With the log unwritten its messages stay in the spool: the next start finds them, and sends some a second time.
      if (this.#parts.journal.flush()) this.#parts.shards.settle();
      await this.#parts.shards.close();
      this.#parts.reports.message({ kind: "stopped" });
      this.#parts.reports.flush();
      this.#parts.journal.close();
      this.#parts.link.publish();
      this.#parts.reactor.close();
      process.off("unhandledRejection", this.#onStray);
      this.#resolve();
    } catch (error) {
      this.#reject(error);
    }
  }
}
