/**
 * The only place that wires everything: what is made in which order at the start, and ended in which order at the stop.
 *
 * Runs on   the main thread
 * Owns      the scheduler, the supervisor, the listeners' reserved ports, the spool's lock, the log's segments
 * When full nothing here grows
 * On failure a start that fails undoes what it did and throws the fault; a fault later is reported and the server goes on
 *
 *     start: spool lock ▸ ports ▸ log segment ▸ notes of the last run ▸ sink (sandbox) ▸ scheduler ▸ workers ▸ HTTP ▸ SMTP
 *     stop:  no new mail ▸ deliveries under way ▸ workers ▸ sink ▸ log ▸ HTTP ▸ ports ▸ lock
 *
 * HTTP ends late, so that whoever watches a stop is told "stopping" until mail and log are safe.
 */
import { healthFamilies } from "./admin/health-metrics.js";
import { closeListeners, type HttpListener, startHttpListener } from "./admin/http-listener.js";
import { counterFamilies, histogramFamilies, type MetricFamily } from "./admin/metrics-text.js";
import { schedulerFamilies } from "./admin/scheduler-metrics.js";
import type { WorkerIndex } from "./base/brands.js";
import { SystemClock } from "./base/clock.js";
import { Fault, messageOf } from "./base/fault.js";
import { systemRandom } from "./base/random.js";
import { Undo } from "./base/undo.js";
import type { CompiledConfig, ListenAddress } from "./config/compiled.js";
import { withNodeId } from "./config/node-id.js";
import { compilePolicy } from "./config/policy.js";
import { MxRouter } from "./dns/router.js";
import { SiteRollup } from "./dns/site-rollup.js";
import { addonRefusal, loadNative } from "./native/load.js";
import { Histogram, observe } from "./protocol/histograms.js";
import { SharedState } from "./protocol/layout/shared-state.js";
import type { UpMessage } from "./protocol/messages.js";
import { Counter } from "./protocol/metrics.js";
import { sessionLimit } from "./protocol/socket-limits.js";
import { Scheduler } from "./scheduler/scheduler.js";
import { DEFAULT_PROFILE } from "./sink/options.js";
import { startSinkThread } from "./sink/sink-thread.js";
import { checkFileLimit, httpConnections, shareFiles } from "./threads/descriptors.js";
import { Health } from "./threads/health.js";
import { loadedLines } from "./threads/loaded-lines.js";
import { LogRotation } from "./threads/log-rotation.js";
import { MainLoop } from "./threads/main-loop.js";
import { type OpenHands, openHands } from "./threads/open-hands.js";
import { type OpenLog, openLog } from "./threads/open-log.js";
import { reservePorts } from "./threads/reserve-ports.js";
import { SpoolCompaction } from "./threads/spool-compaction.js";
import type { Strikes } from "./threads/strikes.js";
import { Supervisor } from "./threads/supervisor.js";
import { createLogShared } from "./worker/events/log-shared.js";
import { assignShards, discoverShards } from "./worker/spool/directories.js";
import { lockSpool } from "./worker/spool/lock.js";

/** What a server tells its owner. */
export interface ServerEvents {
  /** Something that an operator must know; one line. */
  notice(line: string): void;
  /** A bug of ours; the process must end. What is durable stays durable. */
  panic(error: unknown): void;
}

/** What runs where, once everything listens. */
export interface ServerReady {
  readonly pid: number;
  readonly smtp: readonly ListenAddress[];
  readonly http: readonly ListenAddress[];
  /** The built-in sink, in sandbox mode. */
  readonly sink: ListenAddress | null;
  readonly workers: number;
  readonly durability: string;
  /** Why the native addon is not in use, null when it is. */
  readonly addonRefusal: string | null;
  readonly logDir: string;
}

/** How long a stop waits for deliveries under way, and then for the workers, at most. */
const DRAIN_MS = 10_000;
const WORKER_STOP_MS = 5_000;

/** A server. Made by {@link Server.start}. */
export class Server {
  /** Resolves when the server has stopped. */
  readonly stopped: Promise<void>;
  readonly #config: CompiledConfig;
  readonly #events: ServerEvents;
  readonly #clock = new SystemClock();
  readonly #shared: SharedState;
  readonly #histograms: Float64Array;
  readonly #scheduler: Scheduler;
  readonly #supervisor: Supervisor;
  readonly #loop: MainLoop;
  readonly #sink: ListenAddress | null;
  readonly #undo: Undo;
  /** `worker listener` of every socket that listens. */
  readonly #listening = new Map<string, ListenAddress>();
  readonly #health: Health;
  readonly #rotation: LogRotation;
  readonly #compaction: SpoolCompaction;
  readonly #strikes: Strikes;
  #failure: Fault | null = null;
  #check: () => void = () => {};
  #ready: ServerReady | null = null;
  #stopping: Promise<void> | null = null;
  #resolveStopped: () => void = () => {};

  /**
   * Starts everything; resolves when every listener listens.
   * @throws {Fault} `listen.*`, `spool.*`, `log.unwritable`, `config.*`, `worker.lost`; what was begun is undone.
   */
  static async start(written: CompiledConfig, events: ServerEvents): Promise<Server> {
    const undo = new Undo();
    try {
      const config = withNodeId(written);
      undo.push(lockSpool(loadNative(), config.spool.path));
      checkFileLimit(config);
      const ports = await reservePorts(loadNative(), config.smtpListeners, undo);
      const http: HttpListener[] = [];
      undo.push(() => closeListeners(http));
      const segments = await openLog(config.log, (line) => events.notice(line), undo);
      const hands = await openHands(loadNative(), config, new SystemClock(), (line) => events.notice(line), undo);
      const sink = config.delivery.mode === "sandbox" ? await startSink(undo) : null;
      const server = new Server(config, events, undo, ports, segments, hands, sink);
      await server.#begin(http);
      return server;
    } catch (error) {
      await undo.run().catch((left: unknown) => events.notice(`the start was not undone whole: ${messageOf(left)}`));
      throw error;
    }
  }

  private constructor(
    config: CompiledConfig,
    events: ServerEvents,
    undo: Undo,
    ports: readonly number[],
    segments: OpenLog,
    hands: OpenHands,
    sink: ListenAddress | null,
  ) {
    this.stopped = new Promise((resolve) => {
      this.#resolveStopped = resolve;
    });
    this.#config = config;
    this.#events = events;
    this.#undo = undo;
    this.#sink = sink;
    this.#strikes = hands.strikes;
    const workers = config.threads.workers;
    const clock = this.#clock;
    this.#shared = new SharedState(SharedState.allocate(1 + workers));
    this.#shared.maxMessages = config.spool.maxMessages;
    this.#histograms = this.#shared.histograms(0);
    const shards = assignShards(discoverShards(config.spool.path), workers);
    const wake = (): void => this.#loop.wake();
    const policy = compilePolicy(config);
    const router = new MxRouter(config, clock, sink, wake);
    const rollup = new SiteRollup(policy, router);
    undo.push(() => rollup.stop());
    this.#scheduler = new Scheduler({
      clock,
      random: systemRandom,
      policy,
      router,
      maxMessages: config.spool.maxMessages,
      shards,
      suspects: hands.strikes,
    });
    const logShared = createLogShared(segments.lastSeq);
    this.#supervisor = new Supervisor(
      {
        config,
        clock,
        shared: this.#shared,
        shards,
        ports,
        sink,
        logShared,
        segment: () => this.#rotation.current,
        log: segments.tail,
        hands,
        events: this.#scheduler,
      },
      {
        ready: (index, port) => {
          this.#scheduler.workerRestored(index, port);
          wake();
        },
        lost: (index, reason) => {
          this.#scheduler.workerLost(index);
          this.#compaction.lost(index);
          const informed = this.#askLog(index);
          this.#failure ??= new Fault("worker.lost", `worker ${index} died: ${reason}`);
          const along = config.spool.durability === "deferred" ? "; its mail in memory only is lost, with records" : "";
          if (this.#ready !== null) events.notice(`worker ${index} died and is being replaced${along}: ${reason}`);
          this.#check();
          wake();
          return informed;
        },
        message: (index, message) => this.#onMessage(index, message),
        notice: (line) => events.notice(line),
      },
    );
    this.#loop = new MainLoop(
      this.#shared.words,
      SharedState.bellIndex(0),
      () => this.#turn(),
      () => this.#supervisor.waiting,
      (error) => events.panic(error),
      (lateMs, tookMs) => {
        const histograms = this.#histograms;
        observe(histograms, Histogram.turnLagSeconds, lateMs / 1000);
        observe(histograms, Histogram.turnSeconds, tookMs / 1000);
      },
    );
    undo.push(() => this.#loop.stop());
    this.#rotation = new LogRotation(segments.files, logShared, this.#supervisor, (line) => events.notice(line));
    undo.push(() => this.#rotation.stop());
    this.#compaction = new SpoolCompaction(this.#supervisor, workers, (line) => events.notice(line));
    this.#health = new Health({
      config,
      shared: this.#shared,
      native: loadNative(),
      notice: (line) => events.notice(line),
      scarce: () => router.forget(),
    });
    undo.push(() => this.#health.stop());
  }

  /** What runs where. */
  get ready(): ServerReady {
    if (this.#ready === null) throw new Fault("worker.lost", "the server is not ready yet");
    return this.#ready;
  }

  /** The scheduler, for inspection. */
  get scheduler(): Scheduler {
    return this.#scheduler;
  }

  /** The counters of all threads. */
  get shared(): SharedState {
    return this.#shared;
  }

  async #begin(http: HttpListener[]): Promise<void> {
    const config = this.#config;
    this.#undo.push(() => this.#supervisor.stop(WORKER_STOP_MS));
    const keepAlive = setInterval(() => {}, 1 << 30);
    this.#undo.push(() => clearInterval(keepAlive));
    await this.#health.look();
    this.#supervisor.start();
    this.#loop.wake();
    await this.#startHttp(http);
    this.#supervisor.listen();
    const everyone = loadNative().perThreadListeners ? config.threads.workers : 1;
    await this.#until(() => this.#listening.size >= config.smtpListeners.length * everyone);
    this.#health.started(shareFiles(1 + config.threads.workers));
    this.#ready = {
      pid: process.pid,
      smtp: config.smtpListeners.map((listener, index) => this.#listening.get(`0 ${index}`) ?? listener.listen),
      http: http.map(({ host, port }) => ({ host, port })),
      sink: this.#sink,
      workers: config.threads.workers,
      durability: config.spool.durability,
      addonRefusal: addonRefusal(),
      logDir: config.log.dir,
    };
  }

  /** Waits until the workers have brought it about, or one of them has failed. */
  #until(done: () => boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#check = (): void => {
        if (this.#failure !== null) reject(this.#failure);
        else if (done()) resolve();
        else return;
        this.#check = (): void => {};
      };
      this.#check();
    });
  }

  #turn(): number {
    this.#supervisor.poll();
    this.#scheduler.sessionLimit = sessionLimit(this.#shared);
    const wait = this.#scheduler.turn();
    this.#shared.messages = this.#scheduler.messages;
    return wait;
  }

  #onMessage(index: number, message: UpMessage): void {
    switch (message.kind) {
      case "listening":
        this.#listening.set(`${index} ${message.listener}`, { host: message.host, port: message.port });
        break;
      case "loaded":
        for (const line of loadedLines(message, this.#scheduler.core.counters.unlisted)) this.#events.notice(line);
        break;
      case "mended":
        this.#events.notice(`spool shard ${message.shard}: opened again, takes mail`);
        break;
      case "compacted":
        this.#compaction.compacted(index, message);
        break;
      case "segmentInUse":
        this.#rotation.switched(index, message.segment);
        break;
      case "quarantined":
        this.#events.notice(`spool shard ${message.shard}: an entry was moved to quarantine: ${message.reason}`);
        break;
      case "fault":
        if (this.#ready === null && message.code.startsWith("listen.")) {
          this.#failure ??= new Fault("listen.failed", message.message);
        }
        this.#events.notice(`worker ${index}: ${message.code}: ${message.message}`);
        break;
      default:
        break;
    }
    this.#check();
  }

  /** Nothing that a dead worker wrote and did not report may be delivered or decided twice. */
  async #askLog(index: WorkerIndex): Promise<void> {
    const settled = await this.#rotation.lastWordsOf(index, this.#shared.logReported(1 + index));
    this.#strikes.informed(settled);
    this.#scheduler.lostInformed(index, settled);
    this.#loop.wake();
  }

  // ── HTTP ─────────────────────────────────────────────────────────────────────────────────────────────────────────

  async #startHttp(started: HttpListener[]): Promise<void> {
    for (const listener of this.#config.httpListeners) {
      const http = await startHttpListener(listener, httpConnections(), {
        notAccepting: () => this.#health.refusal,
        notAlive: () => null,
        metrics: () => this.#metrics(),
        compactSpool: () => this.#compaction.run(),
        stop: () => void this.stop(),
      });
      started.push(http);
    }
  }

  #metrics(): MetricFamily[] {
    return [
      ...counterFamilies(this.#shared),
      ...histogramFamilies(this.#shared),
      ...schedulerFamilies(this.#scheduler),
      ...healthFamilies(this.#health.figures),
    ];
  }

  // ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Stops in order: what is under way is finished or goes back to waiting, nothing is lost. A second call waits too. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#health.stopping();
    this.#scheduler.stop();
    this.#loop.wake();
    await this.#drained();
    await this.#undo.run().catch((left: unknown) => this.#events.notice(`not all was stopped: ${messageOf(left)}`));
    this.#resolveStopped();
  }

  /** Deliveries under way get their time. */
  #drained(): Promise<void> {
    const deadlineMs = this.#clock.monoMs() + DRAIN_MS;
    return new Promise((resolve) => {
      const look = setInterval(() => {
        if (this.#scheduler.inFlight > 0 && this.#clock.monoMs() < deadlineMs) return;
        clearInterval(look);
        resolve();
      }, 20);
    });
  }

  /** Kills one worker's thread as a crash would: the fault injection of tests. See the message `die`. */
  killWorker(index: number, when: "now" | "written" = "now"): boolean {
    return this.#supervisor.kill(index, when);
  }

  /** Workers that have died so far. */
  get workersLost(): number {
    return this.#shared.sum(Counter.workersLost);
  }
}

/** The built-in sink of sandbox mode: accepts everything, on a thread of its own. */
async function startSink(undo: Undo): Promise<ListenAddress> {
  const sink = await startSinkThread({ host: "127.0.0.1", port: 0, profile: DEFAULT_PROFILE });
  undo.push(() => sink.stop());
  return { host: sink.host, port: sink.port };
}
