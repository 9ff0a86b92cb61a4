import type { Clock } from "../base/clock.js";
import { machineUs } from "../base/times-file.js";
import { Histogram } from "./histogram.js";
import { type LoadResult, summarize } from "./result.js";

/**
 * What came of the messages of one phase of a run.
 *
 * Runs on   the generator's thread
 * Owns      the counts and latencies, from its making until `stop`
 * When full counters are doubles: exact to 2^53
 * On failure nothing in it fails
 */
export class Tally {
  accepted = 0;
  failed = 0;
  reconnects = 0;
  /** When the last answer came, monotonic. */
  lastMs: number;
  readonly #startMs: number;
  readonly #startedMs: number;
  readonly #startedUs = machineUs();
  readonly #latency = new Histogram();
  readonly #codes = new Map<number, number>();
  readonly #cpuAtStart = process.cpuUsage();
  #cpu: NodeJS.CpuUsage | null = null;
  #bytes = 0;

  constructor(clock: Clock) {
    this.#startMs = clock.monoMs();
    this.#startedMs = clock.wallMs();
    this.lastMs = this.#startMs;
  }

  /** Messages that were answered for good. */
  get settled(): number {
    return this.accepted + this.failed;
  }

  /** Counts an answer. */
  answered(code: number, bytes: number, tookMs: number, nowMs: number): void {
    if (code < 400) {
      this.accepted++;
      this.#bytes += bytes;
      this.#latency.record(tookMs * 1000);
    } else {
      this.failed++;
      this.#codes.set(code, (this.#codes.get(code) ?? 0) + 1);
    }
    this.lastMs = nowMs;
  }

  /** Seconds since the start. */
  secondsAt(nowMs: number): number {
    return (nowMs - this.#startMs) / 1000;
  }

  /** Ends the measurement of CPU. */
  stop(): void {
    this.#cpu = process.cpuUsage(this.#cpuAtStart);
  }

  /** Everything together. */
  result(error: string | null, tls: LoadResult["tls"]): LoadResult {
    const codes = [...this.#codes].sort(([a], [b]) => a - b).map(([code, count]) => [String(code), count] as const);
    const cpu = this.#cpu ?? process.cpuUsage(this.#cpuAtStart);
    return {
      accepted: this.accepted,
      failed: this.failed,
      codes: Object.fromEntries(codes),
      reconnects: this.reconnects,
      tls,
      bytes: this.#bytes,
      startedMs: this.#startedMs,
      startedUs: this.#startedUs,
      seconds: this.secondsAt(this.lastMs),
      latency: summarize(this.#latency),
      cpuSeconds: (cpu.user + cpu.system) / 1e6,
      error,
    };
  }
}
