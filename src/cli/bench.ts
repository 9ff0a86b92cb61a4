import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Command, Option } from "commander";
import type { Durability } from "../config/compiled.js";
import { runBench } from "../load/bench/bench.js";
import { reportJson, reportText } from "../load/bench/report.js";
import { durationArgument, sizeArgument, wholeArgument } from "./arguments.js";
import { reportFaults } from "./command-fault.js";

const SECOND_MS = 1000;
const DEFAULT_COUNT = 20_000;

interface BenchFlags {
  readonly count?: number;
  readonly duration?: number;
  readonly size: string;
  readonly concurrency: number;
  readonly pipelining: boolean;
  readonly workers?: number;
  readonly durability: Durability;
  readonly dir?: string;
  readonly json?: string | boolean;
  readonly keep?: boolean;
}

/** Adds `hikyaku bench` to the command line. */
export function addBenchCommand(program: Command): void {
  program
    .command("bench")
    .description(
      "measure this machine: a server, a generator and a sink of its own, each a process, in a directory of its own",
    )
    .option("--count <N>", `messages to send (default: ${DEFAULT_COUNT})`, wholeArgument(1, 1_000_000_000))
    .option("--duration <TIME>", "send for so long instead (30s, 5m)", durationArgument(SECOND_MS))
    .option("--size <SIZE>", 'whole message: 1k, 10KiB, 2000, or "mixed"', checkedSize, "1k")
    .option("--concurrency <N>", "connections of the generator", wholeArgument(1, 100_000), 40)
    .option("--no-pipelining", "the generator sends one command at a time")
    .option("--workers <N>", "worker threads of the server (default: its own choice)", wholeArgument(1, 256))
    .addOption(
      new Option("--durability <MODE>", "what the server promises before it accepts")
        .choices(["flushed", "committed", "deferred"])
        .default("flushed"),
    )
    .option("--dir <DIR>", "where the temporary directory is made (default: the system's)")
    .option("--json [FILE]", "write the report as JSON, to standard output when no file is named")
    .option("--keep", "leave spool, logs and configuration behind")
    .action((flags: BenchFlags) => reportFaults("bench", () => bench(flags)));
}

function checkedSize(text: string): string {
  if (text !== "mixed") sizeArgument(text);
  return text;
}

async function bench(flags: BenchFlags): Promise<void> {
  const interrupted = new AbortController();
  const stop = () => interrupted.abort();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, stop);
  const main = fileURLToPath(new URL("./main.js", import.meta.url));
  try {
    const report = await runBench({
      program: { file: process.execPath, args: [main] },
      amount: amountOf(flags),
      size: flags.size,
      concurrency: flags.concurrency,
      pipelining: flags.pipelining,
      workers: flags.workers ?? null,
      durability: flags.durability,
      directory: flags.dir ?? null,
      keep: flags.keep ?? false,
      signal: interrupted.signal,
    });
    const json = `${JSON.stringify(reportJson(report), null, 2)}\n`;
    if (typeof flags.json === "string") writeFileSync(flags.json, json);
    process.stdout.write(flags.json === true ? json : reportText(report));
    if (report.failed > 0) process.exitCode = 1;
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    process.stderr.write("hikyaku bench: interrupted\n");
    process.exitCode = 130;
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.removeListener(signal, stop);
  }
}

function amountOf(flags: BenchFlags): string[] {
  const amount: string[] = [];
  if (flags.count !== undefined || flags.duration === undefined)
    amount.push("--count", String(flags.count ?? DEFAULT_COUNT));
  if (flags.duration !== undefined) amount.push("--duration", `${flags.duration}ms`);
  return amount;
}
