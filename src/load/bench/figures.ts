import type { Durability } from "../../config/compiled.js";

/** The load of one run and the server that takes it: what a report must agree in to be compared with another. */
export interface RunSettings {
  /** As `generate --size` takes it: `1k`, `mixed`. */
  readonly size: string;
  /** Connections of the generator. */
  readonly connections: number;
  readonly pipelining: boolean;
  /** The server sends over TLS. */
  readonly tls: boolean;
  /** Messages of one connection before it is closed and opened again; null for no end. */
  readonly messagesPerConnection: number | null;
  readonly domains: number;
  /** Exponent of the domains' weights (Zipf's law). */
  readonly zipf: number;
  /** Percent of the attempts that the sink refuses for now, and for good. */
  readonly defer: number;
  readonly bounce: number;
  /** When what was refused for now is tried again, ms; null for not within the run. */
  readonly retryMs: number | null;
  readonly durability: Durability;
  /** Worker threads that were asked for; null for the server's own choice. */
  readonly workers: number | null;
}

/** How much is sent, and how fast. */
export interface RunAmount {
  /** Messages before counting begins. */
  readonly warmup: number;
  readonly count: number | null;
  readonly durationMs: number | null;
  /** Messages per second; null for as many as the server takes. */
  readonly ratePerSecond: number | null;
}

/** Latencies in ms: mean, min, max and percentiles by name. */
export type Latencies = Readonly<Record<string, number>>;

/** From the server's 250 to the sink's 250, by message. */
export interface Transit {
  /** Messages that were seen at both ends. */
  readonly count: number;
  /** Of them, those that were at the sink before the generator's process had come to read the server's 250: latency 0. */
  readonly early: number;
  readonly latencyMs: Latencies;
  /** `[percent, ms]`, percent rising. */
  readonly curve: readonly (readonly [number, number])[];
}

/** Messages by time, in equal steps from the beginning of the count. */
export interface Timeline {
  readonly stepSeconds: number;
  readonly taken: readonly number[];
  readonly delivered: readonly number[];
}

/** CPU of one thread. */
export interface ThreadFigures {
  readonly id: number;
  /** `scheduler` for the main thread, the kernel's name for others. */
  readonly name: string;
  readonly cpuUsPerMessage: number;
}

/** What one run found. */
export interface RunFigures {
  readonly connections: number;
  /** As the server had it; null when it did not say. */
  readonly workers: number | null;
  /** The limit that was set; null for none. */
  readonly ratePerSecond: number | null;
  /** Accepted = delivered + bounced + waiting. */
  readonly accepted: number;
  /** Refused by the server itself. */
  readonly refused: number;
  readonly delivered: number;
  readonly bounced: number;
  readonly waiting: number;
  /** From the beginning of the count to the server's last answer. */
  readonly injection: {
    readonly seconds: number;
    readonly messagesPerSecond: number;
    readonly mebibytesPerSecond: number;
    /** From a message's first command to the answer to its end. */
    readonly latencyMs: Latencies;
  };
  /** Delivered messages, from the beginning of the count to the last delivery. */
  readonly endToEnd: { readonly seconds: number; readonly messagesPerSecond: number };
  readonly transit: Transit;
  readonly timeline: Timeline;
  /** CPU is null where the system has no `/proc`. */
  readonly server: {
    readonly cpuUsPerMessage: number | null;
    /** Most CPU first. */
    readonly threads: readonly ThreadFigures[];
    readonly maxRssBytes: number;
  };
  /** Null when the server has no such metrics. */
  readonly spool: {
    readonly batches: number;
    readonly operations: number;
    readonly operationsPerBatch: number;
  } | null;
  readonly sinkCpuUsPerMessage: number | null;
  readonly generatorCpuUsPerMessage: number;
}

/** What stands beside the server's figures: source and sink alone, without a server between them. */
export type BaselineKind = "own" | "smtp";

/** What one run without a server found. */
export interface BaselineFigures {
  readonly messagesPerSecond: number;
  /** Source and sink together; null when it was not measured. */
  readonly cpuUsPerMessage: number | null;
}

/** Rounds of one baseline, and what the server makes of it. */
export interface Baseline {
  readonly kind: BaselineKind;
  readonly rounds: readonly BaselineFigures[];
  /** Medians over rounds of server by baseline: messages per second (more is better), CPU per message (less is better). */
  readonly ratios: { readonly throughput: number; readonly cpu: number | null };
}

/** One value that a sweep tried. */
export interface Candidate {
  readonly value: number;
  /** End to end, by round. */
  readonly messagesPerSecond: readonly number[];
}

/** What a sweep found. */
export interface Sweep {
  readonly of: "workers" | "connections";
  readonly candidates: readonly Candidate[];
  /** The smallest value that is within the noise of the fastest. */
  readonly best: number;
  /** How much rounds of one value differ, as a part of 1. */
  readonly noise: number;
  /** The noise is so great that the choice means little. */
  readonly doubtful: boolean;
  /** Lines for the configuration; null where the value is not the server's. */
  readonly toml: string | null;
}

/** A whole benchmark. */
export interface BenchReport {
  readonly program: {
    readonly version: string;
    /** As it was typed, quoted for a shell. */
    readonly command: string;
  };
  readonly machine: {
    readonly cpus: number;
    readonly cpuModel: string;
    readonly memoryBytes: number;
    readonly system: string;
    readonly node: string;
    /** The spool was in memory, so that flushing cost nothing. */
    readonly tmpfs: boolean;
  };
  readonly settings: RunSettings;
  readonly amount: RunAmount;
  /** The round with the median throughput; with `share`, the run at that share of the maximum. */
  readonly result: RunFigures;
  /** End to end messages per second of each round. */
  readonly rounds: readonly number[];
  /** Part of the maximum that `result` was measured at, with the maximum; null without `--load`. */
  readonly load: { readonly share: number; readonly maximum: RunFigures } | null;
  readonly baseline: Baseline | null;
  readonly sweeps: readonly Sweep[];
  /** Where spools and logs were left; null when they were removed. */
  readonly directory: string | null;
}

/** The value in the middle; of two, their mean. 0 of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}
