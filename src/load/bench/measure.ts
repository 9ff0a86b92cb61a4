/**
 * One run of the load benchmark: a sink, a server and a generator, each a process of its own, in a directory of their
 * own. The generator warms up and waits; when the sink has had everything of it, counting begins.
 *
 * Runs on   the `bench` command's main thread, which only waits meanwhile
 * Owns      three processes and a directory
 * When full nothing here fills up
 * On failure every process is stopped and the directory removed; a fault says which process failed and what it printed
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { ListenAddress } from "../../config/compiled.js";
import { formatSocketAddress } from "../../config/text-kinds.js";
import { readyOf, type SinkSums, type SpoolCounters, spoolOf, sumsOf, warmOf } from "./answers.js";
import { Child, type Program } from "./child.js";
import { benchConfig, SHAPING_FILE, shapingText } from "./config.js";
import type { BaselineFigures, RunAmount, RunFigures, RunSettings } from "./figures.js";
import { type ProcessUsage, processUsage, usageBetween } from "./process-usage.js";
import { joinTimes } from "./transit.js";
import { arrival, counted, type Watching } from "./watch.js";

const US = 1e6;
const NO_SUMS: SinkSums = { messages: 0, bounced: 0, deferred: 0 };
const SOURCE_TIMES = "source.times";
const SINK_TIMES = "sink.times";

/** What every run needs. */
export interface RunContext extends Watching {
  /** How to start commands of this program. */
  readonly program: Program;
  /** Leave the directory behind. */
  readonly keep: boolean;
}

/** Starts a command of this program, for as long as the run lasts. */
type Start = (name: string, ...args: string[]) => Child;

/** Runs the server under a load. @throws {Fault} `worker.lost` when a process fails or messages do not arrive. */
export function measureServer(
  context: RunContext,
  directory: string,
  settings: RunSettings,
  amount: RunAmount,
): Promise<RunFigures> {
  return inDirectory(context, directory, async (start) => {
    const refusals = ["--defer", String(settings.defer), "--bounce", String(settings.bounce)];
    const sink = start("sink", ...sinkArgs(directory), ...refusals, ...(settings.tls ? ["--tls", "required"] : []));
    const sinkReady = await readyOf(sink);

    const config = join(directory, "hikyaku.toml");
    writeFileSync(config, benchConfig(sinkReady.smtp, settings));
    writeFileSync(join(directory, SHAPING_FILE), shapingText(settings));
    const server = start("server", "start", "--config", config, "--ready-file", Child.READY);
    const serverReady = await readyOf(server);

    const arrivals = { http: sinkReady.http, needed: [sink, server], retryMs: settings.retryMs };
    const generator = start("generator", ...generateArgs(directory, serverReady.smtp, settings, amount));
    const warmup = await warmOf(generator, context.signal);
    const sumsBefore = await arrival(context, arrivals, warmup, NO_SUMS);
    const look = async () => {
      const spool = await spoolOf(serverReady.http);
      return { spool, server: usageOf(server), sink: usageOf(sink) };
    };
    const before = await look();
    const generated = await counted(context, generator, arrivals, sumsBefore);
    const sums = await arrival(context, arrivals, generated.accepted, sumsBefore);
    const after = await look();
    await sink.stop();

    const joined = joinTimes(join(directory, SOURCE_TIMES), join(directory, SINK_TIMES), generated.started_us);
    const bounced = sums.bounced - sumsBefore.bounced;
    const usage = between(before.server, after.server);
    const perMessage = perMessageOf(generated.accepted);
    const seconds = Math.max(0.001, joined.seconds);
    return {
      connections: settings.connections,
      workers: serverReady.workers ?? settings.workers,
      ratePerSecond: amount.ratePerSecond,
      accepted: generated.accepted,
      refused: generated.failed,
      delivered: joined.delivered,
      bounced,
      waiting: generated.accepted - joined.delivered - bounced,
      injection: {
        seconds: generated.seconds,
        messagesPerSecond: generated.messages_per_second,
        mebibytesPerSecond: generated.mebibytes_per_second,
        latencyMs: generated.latency_ms,
      },
      endToEnd: {
        seconds: Math.round(seconds * 1000) / 1000,
        messagesPerSecond: Math.round((joined.delivered / seconds) * 10) / 10,
      },
      transit: joined.transit,
      timeline: joined.timeline,
      server: {
        cpuUsPerMessage: usage === null ? null : perMessage(usage.cpuUs),
        threads: (usage?.threads ?? []).map((thread) => ({
          id: thread.id,
          name: thread.id === server.pid ? "scheduler" : thread.name,
          cpuUsPerMessage: perMessage(thread.cpuUs),
        })),
        maxRssBytes: usage?.maxRssBytes ?? 0,
      },
      spool: spoolBetween(before.spool, after.spool),
      sinkCpuUsPerMessage: cpuOf(between(before.sink, after.sink), perMessage),
      generatorCpuUsPerMessage: perMessage(generated.generator_cpu_seconds * US),
    };
  });
}

/** The same source and sink without a server between them. @throws {Fault} `worker.lost` when a process fails. */
export function measureAlone(
  context: RunContext,
  directory: string,
  settings: RunSettings,
  amount: RunAmount,
): Promise<BaselineFigures> {
  return inDirectory(context, directory, async (start) => {
    const sink = start("sink", ...sinkArgs(directory));
    const sinkReady = await readyOf(sink);
    const arrivals = { http: sinkReady.http, needed: [sink], retryMs: null };
    const generator = start("generator", ...generateArgs(directory, sinkReady.smtp, settings, amount));
    await warmOf(generator, context.signal);
    const before = usageOf(sink);
    const generated = await counted(context, generator, arrivals, await sumsOf(sinkReady.http));
    const sinkUs = between(before, usageOf(sink))?.cpuUs ?? null;
    const perMessage = perMessageOf(generated.accepted);
    return {
      messagesPerSecond: generated.messages_per_second,
      cpuUsPerMessage: sinkUs === null ? null : perMessage(sinkUs + generated.generator_cpu_seconds * US),
    };
  });
}

async function inDirectory<T>(context: RunContext, directory: string, run: (start: Start) => Promise<T>): Promise<T> {
  mkdirSync(directory, { recursive: true });
  const children: Child[] = [];
  try {
    return await run((name, ...args) => {
      const child = new Child(name, context.program, args, directory);
      children.push(child);
      return child;
    });
  } finally {
    for (const child of children.reverse()) await child.stop();
    if (!context.keep) rmSync(directory, { recursive: true, force: true });
  }
}

function sinkArgs(directory: string): string[] {
  const listen = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--ready-file", Child.READY];
  return ["sink", ...listen, "--times", join(directory, SINK_TIMES)];
}

function generateArgs(directory: string, target: ListenAddress, settings: RunSettings, amount: RunAmount): string[] {
  const { count, durationMs, ratePerSecond, warmup } = amount;
  const args = ["generate", "--target", formatSocketAddress(target), "--json", "--hold", "--ready-file", Child.READY];
  const add = (flag: string, value: string | number | null) => {
    if (value !== null) args.push(flag, String(value));
  };
  add("--times", join(directory, SOURCE_TIMES));
  add("--warmup", warmup);
  add("--count", count);
  add("--duration", durationMs === null ? null : `${durationMs}ms`);
  add("--rate", ratePerSecond);
  add("--size", settings.size);
  add("--concurrency", settings.connections);
  add("--messages-per-connection", settings.messagesPerConnection);
  add("--domains", settings.domains);
  if (settings.domains > 1) add("--zipf", settings.zipf);
  if (!settings.pipelining) args.push("--no-pipelining");
  return args;
}

function usageOf(child: Child): ProcessUsage | null {
  child.check();
  return processUsage(child.pid);
}

function between(before: ProcessUsage | null, after: ProcessUsage | null): ProcessUsage | null {
  return before === null || after === null ? null : usageBetween(before, after);
}

function perMessageOf(messages: number): (us: number) => number {
  return (us) => Math.round((us / messages) * 100) / 100;
}

function cpuOf(usage: ProcessUsage | null, perMessage: (us: number) => number): number | null {
  return usage === null ? null : perMessage(usage.cpuUs);
}

function spoolBetween(before: SpoolCounters | null, after: SpoolCounters | null): RunFigures["spool"] {
  if (before === null || after === null) return null;
  const batches = after.batches - before.batches;
  const operations = after.operations - before.operations;
  return { batches, operations, operationsPerBatch: batches === 0 ? 0 : Math.round((operations / batches) * 10) / 10 };
}
