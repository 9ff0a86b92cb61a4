import type { BenchReport, RunFigures } from "../../../src/load/bench/figures.js";

const latencyMs = { mean: 2, min: 1, max: 9, p50: 2, p75: 3, p90: 4, p95: 5, p99: 8, "p99.9": 9 };

/** A run whose figures are made up. */
export const EXAMPLE_RUN: RunFigures = {
  connections: 40,
  workers: 2,
  ratePerSecond: null,
  accepted: 1000,
  refused: 0,
  delivered: 940,
  bounced: 20,
  waiting: 40,
  injection: { seconds: 0.5, messagesPerSecond: 2000, mebibytesPerSecond: 2, latencyMs },
  endToEnd: { seconds: 0.6, messagesPerSecond: 1567 },
  transit: {
    count: 940,
    early: 1,
    latencyMs,
    curve: [
      [0, 1],
      [50, 2],
      [90, 4],
      [99, 8],
      [100, 9],
    ],
  },
  timeline: { stepSeconds: 0.1, taken: [400, 400, 200, 0], delivered: [300, 300, 300, 40] },
  server: {
    cpuUsPerMessage: 110,
    threads: [
      { id: 7, name: "node", cpuUsPerMessage: 80 },
      { id: 5, name: "scheduler", cpuUsPerMessage: 6 },
    ],
    maxRssBytes: 150 * 2 ** 20,
  },
  spool: { batches: 50, operations: 2000, operationsPerBatch: 40 },
  sinkCpuUsPerMessage: 20,
  generatorCpuUsPerMessage: 21,
};

/** A whole report, made up. */
export const EXAMPLE_REPORT: BenchReport = {
  program: { version: "1.2.3", command: "hikyaku bench --size 1k --dir '/a b'" },
  machine: { cpus: 2, cpuModel: "A <fast> one", memoryBytes: 8 * 2 ** 30, system: "linux", node: "v20", tmpfs: false },
  settings: {
    size: "1k",
    connections: 40,
    pipelining: true,
    tls: false,
    messagesPerConnection: null,
    domains: 1,
    zipf: 0,
    defer: 4,
    bounce: 2,
    retryMs: null,
    durability: "flushed",
    workers: 2,
  },
  amount: { warmup: 100, count: 1000, durationMs: null, ratePerSecond: null },
  result: EXAMPLE_RUN,
  rounds: [1567, 1500, 1600],
  load: null,
  baseline: {
    kind: "own",
    rounds: [{ messagesPerSecond: 6000, cpuUsPerMessage: 40 }],
    ratios: { throughput: 0.26, cpu: 2.75 },
  },
  sweeps: [
    {
      of: "workers",
      candidates: [
        { value: 1, messagesPerSecond: [1000, 1100] },
        { value: 2, messagesPerSecond: [1500, 1567] },
      ],
      best: 2,
      noise: 0.04,
      doubtful: false,
      toml: "[threads]\nworkers = 2\n",
    },
  ],
  directory: null,
};
