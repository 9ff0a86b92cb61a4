/**
 * The load benchmark: a server, a sink and a generator, each a process of its own, in a directory of their own.
 *
 * Runs on   the `bench` command's main thread, which only waits meanwhile
 * Owns      three processes and a temporary directory
 * When full nothing here fills up
 * On failure every process is stopped and the directory removed; a fault says which process failed and what it printed
 */
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { Fault } from "../../base/fault.js";
import type { Durability, ListenAddress } from "../../config/compiled.js";
import { formatSocketAddress } from "../../config/text-kinds.js";
import { Child, type Program } from "./child.js";
import { benchConfig, SHAPING_FILE, SHAPING_TEXT } from "./config.js";
import { type ProcessUsage, processUsage, usageBetween } from "./process-usage.js";
import type { BenchReport } from "./report.js";

const POLL_MS = 50;
/** With no new message at the sink for so long, the rest is not coming. */
const STALL_MS = 60_000;
const TMPFS = 0x01021994;

/** What to measure. */
export interface BenchOptions {
  /** How to start commands of this program. */
  readonly program: Program;
  /** Arguments of `generate` that say how much to send: `--count 20000` or `--duration 30s`. */
  readonly amount: readonly string[];
  /** As `generate --size` takes it. */
  readonly size: string;
  readonly concurrency: number;
  readonly pipelining: boolean;
  /** Null for the server's own default. */
  readonly workers: number | null;
  readonly durability: Durability;
  /** Where the temporary directory is made; null for the system's. */
  readonly directory: string | null;
  /** Leave the directory behind. */
  readonly keep: boolean;
  /** Ends the bench early. */
  readonly signal: AbortSignal;
}

const address = z.object({ host: z.string(), port: z.number() });
const readyShape = z.object({ smtp: z.array(address), http: z.array(address), workers: z.number().optional() });
const statsShape = z.object({ messages: z.number(), last: z.number() });
const generatedShape = z.object({
  accepted: z.number(),
  failed: z.number(),
  started: z.number(),
  seconds: z.number(),
  messages_per_second: z.number(),
  mebibytes_per_second: z.number(),
  latency_ms: z.record(z.string(), z.number()),
  generator_cpu_seconds: z.number(),
  error: z.string().nullable(),
});
type Generated = z.infer<typeof generatedShape>;

/** Runs the benchmark once. @throws {Fault} `worker.lost` when a process fails or messages do not arrive. */
export async function runBench(options: BenchOptions): Promise<BenchReport> {
  const directory = mkdtempSync(join(options.directory ?? tmpdir(), "hikyaku-bench-"));
  const children: Child[] = [];
  const start = (name: string, ...args: string[]): Child => {
    const child = new Child(name, options.program, args, directory);
    children.push(child);
    return child;
  };
  try {
    return await measure(options, directory, start);
  } finally {
    for (const child of children.reverse()) await child.stop();
    if (!options.keep) rmSync(directory, { recursive: true, force: true });
  }
}

async function measure(
  options: BenchOptions,
  directory: string,
  start: (name: string, ...args: string[]) => Child,
): Promise<BenchReport> {
  const sink = start("sink", "sink", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--ready-file", Child.READY);
  const sinkReady = readyShape.parse(await sink.ready());
  const sinkSmtp = first(sinkReady.smtp, sink);
  const page = `http://${formatSocketAddress(first(sinkReady.http, sink))}/stats`;

  const config = join(directory, "hikyaku.toml");
  writeFileSync(config, benchConfig({ sink: sinkSmtp, workers: options.workers, durability: options.durability }));
  writeFileSync(join(directory, SHAPING_FILE), SHAPING_TEXT);
  const server = start("server", "start", "--config", config, "--ready-file", Child.READY);
  const serverReady = readyShape.parse(await server.ready());
  const target = formatSocketAddress(first(serverReady.smtp, server));

  const before = usageOf(server);
  const sinkBefore = usageOf(sink);
  const generator = start("generator", "generate", "--target", target, ...generateArgs(options));
  const generated = await generatedBy(generator, options.signal);
  const lastMs = await arrival(page, generated.accepted, [server, sink], options.signal);
  const usage = usageBetween(before, usageOf(server));
  const sinkUsage = usageBetween(sinkBefore, usageOf(sink));
  return report(options, directory, {
    generated,
    lastMs,
    usage,
    sinkUsage,
    pid: server.pid,
    workers: serverReady.workers,
  });
}

function generateArgs(options: BenchOptions): string[] {
  const args = [...options.amount, "--size", options.size, "--concurrency", String(options.concurrency), "--json"];
  return options.pipelining ? args : [...args, "--no-pipelining"];
}

function first(addresses: readonly ListenAddress[], child: Child): ListenAddress {
  const found = addresses[0];
  if (found === undefined) throw new Fault("worker.lost", `the ${child.name} does not listen`);
  return found;
}

function usageOf(child: Child): ProcessUsage {
  child.check();
  return processUsage(child.pid) ?? { cpuUs: 0, threads: [], maxRssBytes: 0 };
}

async function generatedBy(generator: Child, signal: AbortSignal): Promise<Generated> {
  const stopped = () => void generator.stop();
  signal.addEventListener("abort", stopped, { once: true });
  await generator.end();
  signal.removeEventListener("abort", stopped);
  signal.throwIfAborted();
  const line = generator.output().trim().split("\n").at(-1) ?? "";
  const parsed = line.startsWith("{") ? generatedShape.safeParse(JSON.parse(line)) : null;
  if (parsed === null || !parsed.success) throw new Fault("worker.lost", `the generator failed: ${generator.output()}`);
  if (parsed.data.accepted === 0) throw new Fault("worker.lost", `nothing was accepted: ${parsed.data.error ?? line}`);
  return parsed.data;
}

/** Waits until the sink has `wanted` messages; gives when the last of them came, ms since 1970. */
async function arrival(page: string, wanted: number, needed: readonly Child[], signal: AbortSignal): Promise<number> {
  let seen = -1;
  let seenAtMs = performance.now();
  for (;;) {
    for (const child of needed) child.check();
    const stats = statsShape.parse(await (await fetch(page)).json());
    if (stats.messages >= wanted) return stats.last;
    if (stats.messages > seen) {
      seen = stats.messages;
      seenAtMs = performance.now();
    }
    if (performance.now() - seenAtMs > STALL_MS) {
      throw new Fault("worker.lost", `only ${seen} of ${wanted} messages reached the sink`);
    }
    await sleep(POLL_MS, undefined, { signal });
  }
}

interface Measured {
  readonly generated: Generated;
  readonly lastMs: number;
  readonly usage: ProcessUsage;
  readonly sinkUsage: ProcessUsage;
  readonly pid: number;
  readonly workers: number | undefined;
}

function report(options: BenchOptions, directory: string, measured: Measured): BenchReport {
  const { generated, lastMs, usage, sinkUsage, pid } = measured;
  const { accepted } = generated;
  const seconds = Math.max(0.001, (lastMs - generated.started) / 1000);
  const perMessage = (us: number) => Math.round((us / accepted) * 100) / 100;
  return {
    settings: {
      amount: options.amount.join(" "),
      size: options.size,
      concurrency: options.concurrency,
      pipelining: options.pipelining,
      durability: options.durability,
      workers: measured.workers ?? options.workers,
      node: process.version,
      tmpfs: statfsSync(directory).type === TMPFS,
    },
    accepted,
    failed: generated.failed,
    injection: {
      seconds: generated.seconds,
      messagesPerSecond: generated.messages_per_second,
      mebibytesPerSecond: generated.mebibytes_per_second,
      latencyMs: generated.latency_ms,
    },
    endToEnd: { seconds, messagesPerSecond: Math.round(accepted / seconds) },
    server: {
      cpuUsPerMessage: perMessage(usage.cpuUs),
      threads: usage.threads.map((thread) => ({
        id: thread.id,
        name: thread.id === pid ? "scheduler" : thread.name,
        cpuUsPerMessage: perMessage(thread.cpuUs),
      })),
      maxRssBytes: usage.maxRssBytes,
    },
    sinkCpuUsPerMessage: perMessage(sinkUsage.cpuUs),
    generatorCpuUsPerMessage: perMessage(generated.generator_cpu_seconds * 1e6),
    directory: options.keep ? directory : null,
  };
}
