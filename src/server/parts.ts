/**
 * What a server is made of, and who hears what of whom: the scheduler, its workers, the log's segments, health.
 *
 * Runs on   the main thread
 * Owns      the parts, each of which owns its own state
 * When full nothing here grows
 * On failure a worker that dies is told to everyone whom it concerns; what its log says is heard before it is replaced
 */
import type { ShardIndex, WorkerIndex } from "../base/brands.js";
import { SystemClock } from "../base/clock.js";
import { Fault } from "../base/fault.js";
import { systemRandom } from "../base/random.js";
import type { Undo } from "../base/undo.js";
import type { CompiledConfig, ListenAddress } from "../config/compiled.js";
import { LivePolicy } from "../config/live-policy.js";
import type { TlsReports } from "../dns/tls-reports.js";
import { loadNative } from "../native/load.js";
import { Histogram, observe } from "../protocol/histograms.js";
import { SharedState } from "../protocol/layout/shared-state.js";
import type { UpMessage } from "../protocol/messages.js";
import { sessionLimit } from "../protocol/socket-limits.js";
import { Scheduler } from "../scheduler/scheduler.js";
import { Health } from "../threads/health.js";
import type { LiveConfig } from "../threads/live-config.js";
import { loadedLines } from "../threads/loaded-lines.js";
import { LogRotation } from "../threads/log-rotation.js";
import { MainLoop } from "../threads/main-loop.js";
import type { OpenHands } from "../threads/open-hands.js";
import type { OpenLog } from "../threads/open-log.js";
import { openRouter } from "../threads/open-router.js";
import { SessionViews } from "../threads/session-views.js";
import { SpoolCompaction } from "../threads/spool-compaction.js";
import type { Strikes } from "../threads/strikes.js";
import { Supervisor } from "../threads/supervisor.js";
import { createLogShared } from "../worker/events/log-shared.js";
import type { LogTail } from "../worker/events/log-tail.js";
import { assignShards, discoverShards } from "../worker/spool/directories.js";
import type { ServerEvents } from "./events.js";
import { Reloading } from "./reloading.js";
import { Starting } from "./starting.js";

/** What a start has opened before anything else is made. */
export interface Opened {
  /** The listeners' reserved ports. */
  readonly ports: readonly number[];
  readonly segments: OpenLog;
  readonly hands: OpenHands;
  /** The built-in sink, in sandbox mode. */
  readonly sink: ListenAddress | null;
}

/** See the file's header. */
export class ServerParts {
  readonly clock = new SystemClock();
  /** The counters of all threads. */
  readonly shared: SharedState;
  readonly scheduler: Scheduler;
  readonly supervisor: Supervisor;
  readonly loop: MainLoop;
  readonly rotation: LogRotation;
  readonly compaction: SpoolCompaction;
  readonly sessionViews: SessionViews;
  readonly health: Health;
  readonly live: LiveConfig;
  readonly starting = new Starting();
  readonly #events: ServerEvents;
  readonly #strikes: Strikes;
  readonly #tlsReports: TlsReports;
  readonly #histograms: Float64Array;
  /** Sockets of this process that a session takes. */
  readonly #socketsEach: number;

  /** @param undo gets what ends each part that has an end of its own. */
  constructor(config: CompiledConfig, events: ServerEvents, undo: Undo, opened: Opened) {
    const { ports, segments, hands, sink } = opened;
    this.#events = events;
    this.#strikes = hands.strikes;
    this.#socketsEach = sink === null ? 1 : 2;
    const workers = config.threads.workers;
    const { clock } = this;
    this.shared = new SharedState(SharedState.allocate(1 + workers));
    this.shared.maxMessages = config.spool.maxMessages;
    this.#histograms = this.shared.histograms(0);
    const shards = assignShards(discoverShards(config.spool.path), workers);
    const wake = (): void => this.loop.wake();
    const policy = new LivePolicy(config);
    const owner = { wake, notice: (line: string) => events.notice(line) };
    const { router, tlsReports } = openRouter(config, clock, sink, this.shared, owner, undo);
    this.#tlsReports = tlsReports;
    const [scheduler, supervisor] = [() => this.scheduler, () => this.supervisor];
    const reloading = new Reloading({ config, events, policy, router, scheduler, supervisor, wake });
    undo.push(() => reloading.stop());
    this.live = reloading.live;
    const { live } = this;
    this.scheduler = new Scheduler({
      clock,
      random: systemRandom,
      policy,
      router,
      maxMessages: config.spool.maxMessages,
      shards,
      suspects: hands.strikes,
    });
    const logShared = createLogShared(segments.lastSeq);
    this.supervisor = new Supervisor(
      {
        // Workers that take the place of dead ones get what is in force then.
        get config() {
          return live.config;
        },
        clock,
        shared: this.shared,
        shards,
        ports,
        sink,
        logShared,
        segment: (worker) => this.rotation.begin(worker),
        log: segments.tail,
        hands,
        events: this.scheduler,
      },
      {
        ready: (index, port) => {
          this.scheduler.workerRestored(index, port);
          wake();
        },
        lost: (index, reason) => {
          this.scheduler.workerLost(index);
          this.compaction.lost(index);
          this.sessionViews.lost(index);
          const informed = this.#askLog(index);
          this.starting.failed(new Fault("worker.lost", `worker ${index} died: ${reason}`));
          const along = config.spool.durability === "deferred" ? "; its mail in memory only is lost, with records" : "";
          if (this.starting.isOver) events.notice(`worker ${index} died and is being replaced${along}: ${reason}`);
          this.starting.look();
          wake();
          return informed;
        },
        message: (index, message) => this.#onMessage(index, message),
        notice: (line) => events.notice(line),
      },
    );
    this.loop = new MainLoop(
      this.shared.words,
      SharedState.bellIndex(0),
      () => this.#turn(),
      () => this.supervisor.waiting,
      (error) => events.panic(hands.hands.dyingOf(error)),
      (lateMs, tookMs) => {
        const histograms = this.#histograms;
        observe(histograms, Histogram.turnLagSeconds, lateMs / 1000);
        observe(histograms, Histogram.turnSeconds, tookMs / 1000);
      },
    );
    undo.push(() => this.loop.stop());
    this.rotation = new LogRotation(segments.files, logShared, this.supervisor, (line) => events.notice(line));
    undo.push(() => this.rotation.stop());
    this.compaction = new SpoolCompaction(this.supervisor, workers, (line) => events.notice(line));
    this.sessionViews = new SessionViews(this.supervisor);
    undo.push(() => this.sessionViews.stop());
    this.health = new Health({
      config,
      shared: this.shared,
      native: loadNative(),
      nowMs: () => clock.monoMs(),
      notice: (line) => events.notice(line),
      scarce: () => router.forget(),
    });
    undo.push(() => this.health.stop());
  }

  #turn(): number {
    this.supervisor.poll();
    this.scheduler.sessionLimit = sessionLimit(this.shared, this.#socketsEach);
    const wait = this.scheduler.turn();
    this.shared.messages = this.scheduler.messages;
    return wait;
  }

  #onMessage(index: number, message: UpMessage): void {
    switch (message.kind) {
      case "listening":
        this.starting.listens(index, message.listener, { host: message.host, port: message.port });
        break;
      case "loaded":
        for (const line of loadedLines(message, this.scheduler.core.counters.unlisted)) this.#events.notice(line);
        break;
      case "mended":
        this.#events.notice(`spool shard ${message.shard}: opened again, takes mail`);
        break;
      case "compacted":
        this.compaction.compacted(index, message);
        break;
      case "inspected":
        this.sessionViews.inspected(index, message);
        break;
      case "segmentInUse":
        this.rotation.switched(index, message.segment);
        break;
      case "quarantined":
        this.#events.notice(`spool shard ${message.shard}: an entry was moved to quarantine: ${message.reason}`);
        break;
      case "tlsOutcomes":
        this.#tlsReports.add(message.outcomes);
        break;
      case "fault":
        if (!this.starting.isOver && message.code.startsWith("listen.")) {
          this.starting.failed(new Fault("listen.failed", message.message));
        }
        this.#events.notice(`${whose(index, message.shard)}: ${message.code}: ${message.message}`);
        break;
      default:
        break;
    }
    this.starting.look();
  }

  /** Nothing that a dead worker wrote and did not report may be delivered or decided twice. */
  async #askLog(index: WorkerIndex): Promise<LogTail> {
    const settled = await this.rotation.lastWordsOf(index, this.shared.logReported(1 + index));
    this.#strikes.informed(settled);
    this.scheduler.lostInformed(index, settled);
    this.loop.wake();
    return settled;
  }
}

/** What a fault is of, as all lines about the spool name it. */
function whose(worker: number, shard: ShardIndex | null): string {
  return shard === null ? `worker ${worker}` : `spool shard ${shard}`;
}
