import type { Histogram } from "./histogram.js";

/** Latencies in milliseconds: from the first command of a message to the answer to its end. */
export interface LatencySummary {
  readonly mean: number;
  readonly min: number;
  readonly max: number;
  readonly p50: number;
  readonly p75: number;
  readonly p90: number;
  readonly p95: number;
  readonly p99: number;
  readonly p999: number;
}

/** What came of a load. */
export interface LoadResult {
  readonly accepted: number;
  /** Messages refused for good or for now, at any step. */
  readonly failed: number;
  /** The refusals by code. */
  readonly codes: Readonly<Record<string, number>>;
  /** Connections that were lost or given up (421, 451 4.5.3, time-outs); their messages were sent again, uncounted. */
  readonly reconnects: number;
  /** Connections that were secured, the warm-up included, and how the last one was; null when there was none. */
  readonly tls: { readonly connections: number; readonly version: string; readonly cipher: string } | null;
  /** Content of the accepted messages. */
  readonly bytes: number;
  /** When the run began, ms since 1970. */
  readonly startedMs: number;
  /** The same on the machine's monotonic clock, µs. */
  readonly startedUs: number;
  /** From the start to the last answer. */
  readonly seconds: number;
  readonly latency: LatencySummary;
  /** CPU of the process that generated, over the run. */
  readonly cpuSeconds: number;
  /** Why the run ended before its time; null when it did not. */
  readonly error: string | null;
}

/** Sums up latencies that were recorded in microseconds. */
export function summarize(histogram: Histogram): LatencySummary {
  const ms = (us: number) => Math.round(us) / 1000;
  return {
    mean: ms(histogram.mean),
    min: ms(histogram.min),
    max: ms(histogram.max),
    p50: ms(histogram.percentile(50)),
    p75: ms(histogram.percentile(75)),
    p90: ms(histogram.percentile(90)),
    p95: ms(histogram.percentile(95)),
    p99: ms(histogram.percentile(99)),
    p999: ms(histogram.percentile(99.9)),
  };
}

/** Latencies by the names that reports use. */
export function latencyJson(latency: LatencySummary): Record<string, number> {
  const { mean, min, max, p50, p75, p90, p95, p99, p999 } = latency;
  return { mean, min, max, p50, p75, p90, p95, p99, "p99.9": p999 };
}

/** Accepted messages per second; 0 for a run without length. */
export function messagesPerSecond(result: LoadResult): number {
  return result.seconds === 0 ? 0 : result.accepted / result.seconds;
}

/** The result as `--json` prints it: keys in snake_case, the unit in the key, rates included. */
export function resultJson(result: LoadResult): Record<string, unknown> {
  return {
    accepted: result.accepted,
    failed: result.failed,
    codes: result.codes,
    reconnects: result.reconnects,
    tls: result.tls,
    bytes: result.bytes,
    started: result.startedMs,
    started_us: Math.round(result.startedUs),
    seconds: round(result.seconds, 3),
    messages_per_second: round(messagesPerSecond(result), 1),
    mebibytes_per_second: round(result.seconds === 0 ? 0 : result.bytes / result.seconds / 2 ** 20, 3),
    latency_ms: latencyJson(result.latency),
    generator_cpu_seconds: round(result.cpuSeconds, 3),
    error: result.error,
  };
}

/** The result as people read it. */
export function resultText(result: LoadResult): string {
  const { mean, min, max, p50, p75, p90, p95, p99, p999 } = result.latency;
  const perSecond = messagesPerSecond(result);
  const mib = result.seconds === 0 ? 0 : result.bytes / result.seconds / 2 ** 20;
  const failures = Object.entries(result.codes).map(([code, count]) => `${code}: ${count}`);
  const lines = [
    ...(result.error === null ? [] : [`ended early ${result.error}`]),
    `accepted    ${result.accepted} in ${result.seconds.toFixed(2)} s`,
    `failed      ${result.failed}${failures.length === 0 ? "" : ` (${failures.join(", ")})`}`,
    `reconnects  ${result.reconnects}`,
    ...(result.tls === null
      ? []
      : [`TLS         ${result.tls.connections} connections, ${result.tls.version}, ${result.tls.cipher}`]),
    `rate        ${perSecond.toFixed(0)} msgs/s, ${(perSecond * 60).toFixed(0)} msgs/min, ` +
      `${(perSecond * 3600).toFixed(0)} msgs/h, ${mib.toFixed(2)} MiB/s`,
    `latency ms  mean ${mean}, min ${min}, max ${max}`,
    `            p50 ${p50}, p75 ${p75}, p90 ${p90}, p95 ${p95}, p99 ${p99}, p99.9 ${p999}`,
    `own CPU     ${result.cpuSeconds.toFixed(2)} s`,
  ];
  return `${lines.join("\n")}\n`;
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}
