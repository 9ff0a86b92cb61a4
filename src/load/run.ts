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
import { messageOf } from "../base/fault.js";
import { SeededRandom } from "../base/random.js";
import { TimesWriter } from "../base/times-file.js";
import type { Reactor } from "../native/binding.js";
import { loadNative } from "../native/load.js";
import { type Mail, MailMaker } from "./mail.js";
import type { LoadOptions } from "./options.js";
import { Pace } from "./pace.js";
import type { LoadResult } from "./result.js";
import { Slot, type SlotOwner } from "./slot.js";
import { Tally } from "./tally.js";

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
  /** Resolves when the warm-up is over and everything of it answered, or when the run ends before. */
  readonly warm: Promise<LoadProgress>;
  /** Begins to count, when the run was told to hold. */
  go(): void;
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
  readonly warm: Promise<LoadProgress>;
  readonly #maker: MailMaker;
  readonly #times: TimesWriter | null;
  readonly #slots: Slot[] = [];
  readonly #timers: NodeJS.Timeout[] = [];
  readonly #again: Mail[] = [];
  #pace: Pace | null = null;
  #resolve: (result: LoadResult) => void = () => {};
  #isWarm: (progress: LoadProgress) => void = () => {};
  #phase: "warm-up" | "held" | "counting" = "warm-up";
  #tally: Tally;
  /** Messages of this phase that were given to a connection. */
  #issued = 0;
  /** Connections lost since a server last greeted or answered. */
  #failures = 0;
  #everUp = false;
  /** Connections whose server has greeted. */
  #upCount = 0;
  /** Since when connections fail while there is no other, null while there is one or none has failed. */
  #downSinceMs: number | null = null;
  #downReason = "";
  #stopping = false;
  #ending = false;
  #closed = false;
  #error: string | null = null;
  #tls: LoadResult["tls"] = null;

  constructor(options: LoadOptions, reactor: Reactor) {
    this.options = options;
    this.reactor = reactor;
    this.clock = new SystemClock();
    this.#maker = new MailMaker(options, new SeededRandom(options.seed), this.clock);
    this.#times = options.times === null ? null : new TimesWriter(options.times);
    this.#tally = new Tally(this.clock);
    this.done = new Promise((resolve) => {
      this.#resolve = resolve;
    });
    this.warm = new Promise((resolve) => {
      this.#isWarm = resolve;
    });
  }

  start(): void {
    for (let i = 0; i < this.options.concurrency; i++) this.#slots.push(new Slot(this));
    this.#timers.push(setInterval(() => this.#sweep(), SWEEP_MS));
    for (const slot of this.#slots) slot.open();
    this.#endIfDone();
    this.reactor.requestTurn();
  }

  progress(): LoadProgress {
    const { accepted, failed } = this.#tally;
    return { accepted, failed, seconds: this.#tally.secondsAt(this.clock.monoMs()) };
  }

  go(): void {
    if (this.#phase !== "held" || this.#ending) return;
    const { ratePerSecond, durationMs } = this.options;
    this.#phase = "counting";
    this.#issued = 0;
    this.#tally = new Tally(this.clock);
    if (ratePerSecond !== null) {
      this.#pace = new Pace(ratePerSecond, this.clock.monoMs());
      this.#timers.push(setInterval(() => this.#wake(), TICK_MS));
    }
    if (durationMs !== null) this.#timers.push(setTimeout(() => this.stop(), durationMs));
    this.#wake();
  }

  stop(): void {
    this.#stopping = true;
    this.#endIfDone();
  }

  // ── for the slots ──────────────────────────────────────────────────────────────────────────────────────────────

  take(): Mail | null {
    const wanted = this.#wantedCount;
    if (this.#stopping || (wanted !== null && this.#issued >= wanted)) return null;
    if (this.#pace !== null && !this.#pace.take(this.clock.monoMs())) return null;
    this.#issued++;
    return this.#again.pop() ?? this.#maker.next();
  }

  settled(mail: Mail, code: number, tookMs: number): void {
    if (this.#phase === "counting" && code < 400) this.#note(mail);
    this.#tally.answered(code, mail.bytes, tookMs, this.clock.monoMs());
    this.#failures = 0;
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

  secured(version: string, cipher: string): void {
    this.#tls = { connections: (this.#tls?.connections ?? 0) + 1, version, cipher };
  }

  down(): void {
    this.#upCount--;
  }

  lost(reason: string): boolean {
    if (this.#ending) return false;
    this.#tally.reconnects++;
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
    const underWay = this.#issued - this.#tally.settled;
    const stuck = underWay > 0 || this.#again.length > 0 || this.#failures > 0;
    if (stuck && now - this.#tally.lastMs > PATIENCE * this.options.timeoutMs)
      this.#end("nothing was answered for too long");
    this.reactor.requestTurn();
  }

  /** Messages of this phase; null for as many as its time allows. */
  get #wantedCount(): number | null {
    if (this.#phase === "counting") return this.options.count;
    return this.#phase === "warm-up" ? this.options.warmup : 0;
  }

  #note(mail: Mail): void {
    try {
      this.#times?.note(mail.number);
    } catch (error) {
      this.#end(messageOf(error));
    }
  }

  #endIfDone(): void {
    const { settled } = this.#tally;
    if (this.#stopping) {
      if (settled >= this.#issued) this.#end(null);
    } else if (this.#phase === "counting") {
      if (settled === this.options.count) this.#end(null);
    } else if (this.#phase === "warm-up" && settled === this.options.warmup) {
      this.#phase = "held";
      this.#isWarm(this.progress());
      if (!this.options.hold) this.go();
    }
  }

  #end(error: string | null): void {
    if (this.#ending) return;
    this.#ending = true;
    this.#stopping = true;
    this.#error = error;
    this.#isWarm(this.progress());
    // What belongs to the warm-up is not a result.
    if (this.#phase !== "counting") this.#tally = new Tally(this.clock);
    this.#tally.stop();
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
    this.#resolve(this.#tally.result(this.#closeTimes() ?? this.#error, this.#tls));
  }

  /** Closes the file of moments; gives what went wrong, or null. */
  #closeTimes(): string | null {
    try {
      this.#times?.close();
      return null;
    } catch (error) {
      return messageOf(error);
    }
  }
}

/**
 * Starts a load. It shares `reactor` when one is given, and makes and closes its own otherwise.
 * @throws {Fault} `log.unwritable` when the file of moments cannot be made.
 */
export function startLoad(options: LoadOptions, reactor?: Reactor): RunningLoad {
  assert(options.concurrency >= 1, "a load has at least one connection");
  assert(options.count !== null || options.durationMs !== null, "a load has an end");
  const own = reactor === undefined ? loadNative().createReactor({ arenaBytes: ARENA_BYTES, onTurn: () => {} }) : null;
  let run: Run;
  try {
    run = new Run(options, reactor ?? (own as Reactor));
  } catch (error) {
    own?.close();
    throw error;
  }
  run.start();
  const done = run.done.then((result) => {
    own?.close();
    return result;
  });
  const { warm } = run;
  return { done, warm, progress: () => run.progress(), go: () => run.go(), stop: () => run.stop() };
}
