/**
 * One run of the load generator over SMTP.
 *
 * Runs on   whichever thread starts it
 * Owns      `concurrency` connections, each with one message under way, and the count of what came of them
 * When full a rate that the server cannot follow is caught up for at most one second, then given up
 * On failure a lost connection is opened again after a pause and its message sent again, uncounted; when no connection
 *           can be made for a few seconds, or nothing is answered for long, the run ends and says why
 */
import { assert } from "../base/assert.js";
import { type Clock, SystemClock } from "../base/clock.js";
import { SeededRandom } from "../base/random.js";
import type { Reactor } from "../native/binding.js";
import { loadNative } from "../native/load.js";
import { Histogram } from "./histogram.js";
import { type Mail, MailMaker } from "./mail.js";
import type { LoadOptions } from "./options.js";
import { Pace } from "./pace.js";
import { type LoadResult, summarize } from "./result.js";
import { Slot, type SlotOwner } from "./slot.js";

const ARENA_BYTES = 64 * 1024;
const TICK_MS = 5;
const SWEEP_MS = 500;
/** After the last answer, sessions get this long to say goodbye. */
const GOODBYE_MS = 500;
/** So many time-outs without an answer to any message end the run. */
const PATIENCE = 2;

/** Where a run stands. */
export interface LoadProgress {
  readonly accepted: number;
  readonly failed: number;
  readonly seconds: number;
}

/** A load that is being generated. */
export interface RunningLoad {
  progress(): LoadProgress;
  /** Begins no more messages; `done` resolves when those under way are answered. */
  stop(): void;
  /** Never rejects: what went wrong is in the result. */
  readonly done: Promise<LoadResult>;
}

class Run implements SlotOwner {
  readonly options: LoadOptions;
  readonly clock: Clock;
  readonly reactor: Reactor;
  readonly done: Promise<LoadResult>;
  readonly #maker: MailMaker;
  readonly #slots: Slot[] = [];
  readonly #latency = new Histogram();
  readonly #codes = new Map<number, number>();
  readonly #cpuAtStart = process.cpuUsage();
  readonly #startMs: number;
  readonly #startedMs: number;
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #again: Mail[] = [];
  readonly #pace: Pace | null;
  readonly #resolve: (result: LoadResult) => void;
  #issued = 0;
  #accepted = 0;
  #failed = 0;
  #bytes = 0;
  #reconnects = 0;
  /** Connections lost since a server last greeted or answered. */
  #failures = 0;
  #everUp = false;
  /** Connections whose server has greeted. */
  #upCount = 0;
  /** Since when connections fail while there is no other, null while there is one or none has failed. */
  #downSinceMs: number | null = null;
  #downReason = "";
  #lastMs: number;
  #stopping = false;
  #ending = false;
  #closed = false;
  #cpu: NodeJS.CpuUsage = { user: 0, system: 0 };
  #error: string | null = null;

  constructor(options: LoadOptions, reactor: Reactor) {
    this.options = options;
    this.reactor = reactor;
    this.clock = new SystemClock();
    this.#maker = new MailMaker(options, new SeededRandom(options.seed), this.clock);
    this.#startMs = this.clock.monoMs();
    this.#startedMs = this.clock.wallMs();
    this.#lastMs = this.#startMs;
    this.#pace = options.ratePerSecond === null ? null : new Pace(options.ratePerSecond, this.#startMs);
    let resolve: (result: LoadResult) => void = () => {};
    this.done = new Promise((done) => {
      resolve = done;
    });
    this.#resolve = resolve;
  }

  start(): void {
    const { concurrency, ratePerSecond, durationMs } = this.options;
    for (let i = 0; i < concurrency; i++) this.#slots.push(new Slot(this));
    for (const slot of this.#slots) slot.open();
    if (ratePerSecond !== null) this.#timers.push(setInterval(() => this.#wake(), TICK_MS));
    if (durationMs !== null) this.#timers.push(setTimeout(() => this.stop(), durationMs));
    this.#timers.push(setInterval(() => this.#sweep(), SWEEP_MS));
    this.reactor.requestTurn();
  }

  progress(): LoadProgress {
    return {
      accepted: this.#accepted,
      failed: this.#failed,
      seconds: (this.clock.monoMs() - this.#startMs) / 1000,
    };
  }

  stop(): void {
    this.#stopping = true;
    this.#endIfDone();
  }

  // ── for the slots ──────────────────────────────────────────────────────────────────────────────────────────────

  take(): Mail | null {
    const { count } = this.options;
    if (this.#stopping || (count !== null && this.#issued >= count)) return null;
    if (this.#pace !== null && !this.#pace.take(this.clock.monoMs())) return null;
    this.#issued++;
    return this.#again.pop() ?? this.#maker.next();
  }

  settled(mail: Mail, code: number, tookMs: number): void {
    if (code < 400) {
      this.#accepted++;
      this.#bytes += mail.bytes;
      this.#latency.record(tookMs * 1000);
    } else {
      this.#failed++;
      this.#codes.set(code, (this.#codes.get(code) ?? 0) + 1);
    }
    this.#failures = 0;
    this.#lastMs = this.clock.monoMs();
    this.#endIfDone();
  }

  returned(mail: Mail): void {
    this.#issued--;
    this.#again.push(mail);
    this.#endIfDone();
    this.#wake();
  }

  up(): void {
    this.#everUp = true;
    this.#upCount++;
    this.#downSinceMs = null;
    this.#failures = 0;
  }

  down(): void {
    this.#upCount--;
  }

  lost(reason: string): boolean {
    if (this.#ending) return false;
    this.#reconnects++;
    this.#failures++;
    if (this.#upCount === 0) {
      this.#downSinceMs ??= this.clock.monoMs();
      this.#downReason = reason;
    }
    if (!this.#everUp && this.#failures >= this.options.concurrency) this.#end(reason);
    return !this.#ending;
  }

  closed(): void {
    if (this.#ending && this.#slots.every((slot) => slot.closed)) this.#close();
  }

  get wanted(): boolean {
    return !this.#ending && !this.#stopping;
  }

  // ── its own ────────────────────────────────────────────────────────────────────────────────────────────────────

  #wake(): void {
    for (const slot of this.#slots) slot.wake();
    this.reactor.requestTurn();
  }

  #sweep(): void {
    const now = this.clock.monoMs();
    for (const slot of this.#slots) slot.checkTime(now);
    const { giveUpMs } = this.options;
    if (this.#downSinceMs !== null && now - this.#downSinceMs > giveUpMs) {
      this.#end(`no connection could be made for ${giveUpMs / 1000} s: ${this.#downReason}`);
    }
    const underWay = this.#issued - this.#accepted - this.#failed;
    const stuck = underWay > 0 || this.#again.length > 0 || this.#failures > 0;
    if (stuck && now - this.#lastMs > PATIENCE * this.options.timeoutMs) this.#end("nothing was answered for too long");
    this.reactor.requestTurn();
  }

  #endIfDone(): void {
    const settled = this.#accepted + this.#failed;
    if (this.#stopping ? settled >= this.#issued : settled === this.options.count) this.#end(null);
  }

  #end(error: string | null): void {
    if (this.#ending) return;
    this.#ending = true;
    this.#stopping = true;
    this.#error = error;
    this.#cpu = process.cpuUsage(this.#cpuAtStart);
    for (const timer of this.#timers) clearInterval(timer);
    for (const slot of this.#slots) slot.finish();
    this.reactor.requestTurn();
    this.#timers.push(setTimeout(() => this.#close(), GOODBYE_MS));
    this.closed();
  }

  #close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timers.at(-1));
    for (const slot of this.#slots) slot.destroy();
    const codes = [...this.#codes].sort(([a], [b]) => a - b).map(([code, count]) => [String(code), count] as const);
    this.#resolve({
      accepted: this.#accepted,
      failed: this.#failed,
      codes: Object.fromEntries(codes),
      reconnects: this.#reconnects,
      bytes: this.#bytes,
      startedMs: this.#startedMs,
      seconds: (this.#lastMs - this.#startMs) / 1000,
      latency: summarize(this.#latency),
      cpuSeconds: (this.#cpu.user + this.#cpu.system) / 1e6,
      error: this.#error,
    });
  }
}

/** Starts a load. It shares `reactor` when one is given, and makes and closes its own otherwise. */
export function startLoad(options: LoadOptions, reactor?: Reactor): RunningLoad {
  assert(options.concurrency >= 1, "a load has at least one connection");
  assert(options.count !== null || options.durationMs !== null, "a load has an end");
  const own = reactor === undefined ? loadNative().createReactor({ arenaBytes: ARENA_BYTES, onTurn: () => {} }) : null;
  const run = new Run(options, reactor ?? (own as Reactor));
  run.start();
  const done = run.done.then((result) => {
    own?.close();
    return result;
  });
  return { done, progress: () => run.progress(), stop: () => run.stop() };
}
