/**
 * The server: what is begun in which order at the start, and ended in which order at the stop. What it is made of, and who
 * hears what, is in `server/parts.ts`.
 *
 * Runs on   the main thread
 * Owns      its parts, the listeners' reserved ports, the spool's lock, the log's segments
 * When full nothing here grows
 * On failure a start that fails undoes what it did and throws the fault; a fault later is reported and the server goes on
 *
 *     start: spool lock ▸ ports ▸ node's id ▸ log segment ▸ notes of the last run ▸ sink (sandbox) ▸ scheduler ▸ workers ▸ HTTP ▸ SMTP
 *     stop:  no new mail ▸ deliveries under way ▸ workers ▸ sink ▸ log ▸ HTTP ▸ ports ▸ lock
 *
 * HTTP ends late, so that whoever watches a stop is told "stopping" until mail and log are safe.
 */
import { closeListeners, type HttpListener, tryHttpPort } from "./admin/http-listener.js";
import { SystemClock } from "./base/clock.js";
import { Fault, messageOf } from "./base/fault.js";
import { Undo } from "./base/undo.js";
import type { CompiledConfig, ListenAddress } from "./config/compiled.js";
import { withNodeId } from "./config/node-id.js";
import { addonRefusal, loadNative } from "./native/load.js";
import type { SharedState } from "./protocol/layout/shared-state.js";
import { Counter } from "./protocol/metrics.js";
import type { Scheduler } from "./scheduler/scheduler.js";
import type { ServerEvents, ServerReady } from "./server/events.js";
import { startHttp } from "./server/http.js";
import { type Opened, ServerParts } from "./server/parts.js";
import { DEFAULT_PROFILE } from "./sink/options.js";
import { startSinkThread } from "./sink/sink-thread.js";
import { checkFileLimit, shareFiles } from "./threads/descriptors.js";
import type { LiveConfig } from "./threads/live-config.js";
import { openHands } from "./threads/open-hands.js";
import { openLog } from "./threads/open-log.js";
import { reservePorts } from "./threads/reserve-ports.js";
import { lockSpool } from "./worker/spool/lock.js";

/** How long a stop waits for deliveries under way, and then for the workers, at most. */
const DRAIN_MS = 10_000;
const WORKER_STOP_MS = 5_000;

/** A server. Made by {@link Server.start}. */
export class Server {
  /** Resolves when the server has stopped. */
  readonly stopped: Promise<void>;
  readonly #config: CompiledConfig;
  readonly #events: ServerEvents;
  readonly #sink: ListenAddress | null;
  readonly #undo: Undo;
  readonly #parts: ServerParts;
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
      undo.push(lockSpool(loadNative(), written.spool.path));
      checkFileLimit(written);
      const ports = await reservePorts(loadNative(), written.smtpListeners, undo);
      // Before anything is made that stays: a start that fails at a port leaves no trace.
      for (const listener of written.httpListeners) await tryHttpPort(listener);
      const config = withNodeId(written);
      const http: HttpListener[] = [];
      undo.push(() => closeListeners(http));
      const segments = await openLog(config.log, (line) => events.notice(line), undo);
      const hands = await openHands(loadNative(), config, new SystemClock(), (line) => events.notice(line), undo);
      const sink = config.delivery.mode === "sandbox" ? await startSink(undo) : null;
      const server = new Server(config, events, undo, { ports, segments, hands, sink });
      await server.#begin(http);
      return server;
    } catch (error) {
      await undo.run().catch((left: unknown) => events.notice(`the start was not undone whole: ${messageOf(left)}`));
      throw error;
    }
  }

  private constructor(config: CompiledConfig, events: ServerEvents, undo: Undo, opened: Opened) {
    this.stopped = new Promise((resolve) => {
      this.#resolveStopped = resolve;
    });
    this.#config = config;
    this.#events = events;
    this.#undo = undo;
    this.#sink = opened.sink;
    this.#parts = new ServerParts(config, events, undo, opened);
  }

  /** What runs where. */
  get ready(): ServerReady {
    if (this.#ready === null) throw new Fault("worker.lost", "the server is not ready yet");
    return this.#ready;
  }

  /** The scheduler, for inspection. */
  get scheduler(): Scheduler {
    return this.#parts.scheduler;
  }

  /** The counters of all threads. */
  get shared(): SharedState {
    return this.#parts.shared;
  }

  async #begin(http: HttpListener[]): Promise<void> {
    const config = this.#config;
    this.#undo.push(() => this.#parts.supervisor.stop(WORKER_STOP_MS));
    const keepAlive = setInterval(() => {}, 1 << 30);
    this.#undo.push(() => clearInterval(keepAlive));
    const { health, supervisor, loop, starting } = this.#parts;
    await health.look();
    supervisor.start();
    loop.wake();
    // Late, so that the pool's threads, which the first look at the disk begins, do not take the name over.
    loadNative().nameThread("hk-scheduler");
    await startHttp(config, this.#parts, http, () => void this.stop());
    supervisor.listen();
    const everyone = loadNative().perThreadListeners ? config.threads.workers : 1;
    await starting.until(() => starting.listening >= config.smtpListeners.length * everyone);
    health.started(shareFiles(1 + config.threads.workers, config.dns.maxConcurrent));
    this.#ready = {
      pid: process.pid,
      smtp: config.smtpListeners.map((listener, index) => starting.address(0, index) ?? listener.listen),
      http: http.map(({ host, port }) => ({ host, port })),
      sink: this.#sink,
      workers: config.threads.workers,
      durability: config.spool.durability,
      addonRefusal: addonRefusal(),
      logDir: config.log.dir,
    };
    starting.over();
  }

  /** The configuration in force, and its reloads. */
  get live(): LiveConfig {
    return this.#parts.live;
  }

  // ── the end ──────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Stops in order: what is under way is finished or goes back to waiting, nothing is lost. A second call waits too. */
  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    this.#parts.health.stopping();
    this.#parts.scheduler.stop();
    this.#parts.loop.wake();
    await this.#drained();
    await this.#undo.run().catch((left: unknown) => this.#events.notice(`not all was stopped: ${messageOf(left)}`));
    this.#resolveStopped();
  }

  /** Deliveries under way get their time. */
  #drained(): Promise<void> {
    const { clock, scheduler } = this.#parts;
    const beganMs = clock.monoMs();
    return new Promise((resolve) => {
      const look = setInterval(() => {
        if (scheduler.hasTimeToEnd(clock.monoMs() - beganMs, DRAIN_MS)) return;
        clearInterval(look);
        resolve();
      }, 20);
    });
  }

  /** Kills one worker's thread as a crash would: the fault injection of tests. See the message `die`. */
  killWorker(index: number, when: "now" | "written" = "now"): boolean {
    return this.#parts.supervisor.kill(index, when);
  }

  /** Workers that have died so far. */
  get workersLost(): number {
    return this.#parts.shared.sum(Counter.workersLost);
  }
}

/** The built-in sink of sandbox mode: accepts everything, on a thread of its own. */
async function startSink(undo: Undo): Promise<ListenAddress> {
  const sink = await startSinkThread({ host: "127.0.0.1", port: 0, profile: DEFAULT_PROFILE });
  undo.push(() => sink.stop());
  return { host: sink.host, port: sink.port };
}
