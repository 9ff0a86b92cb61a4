import { availableParallelism } from "node:os";
import { type Command, InvalidArgumentError, Option } from "commander";
import type { Durability } from "../config/compiled.js";
import type { BenchOptions } from "../load/bench/bench.js";
import type { BaselineKind, RunSettings } from "../load/bench/figures.js";
import { smtpPeersRefuse } from "../load/bench/smtp-peers.js";
import { defaultWorkers } from "../load/bench/sweep.js";
import { MOST_DOMAINS, zipfDomains } from "../load/domains.js";
import { sizeRefusal } from "../load/mail.js";
import { DEFAULT_LOAD } from "../load/options.js";
import {
  durationArgument,
  percentArgument,
  rateArgument,
  sizesArgument,
  wholeArgument,
  wholeListArgument,
  zipfArgument,
} from "./arguments.js";

const SECOND_MS = 1000;
const DEFAULT_COUNT = 20_000;
const DEFAULT_ROUNDS_OF_MANY = 3;
/** By how much worse than a report of before something may be, when nothing is said. */
export const DEFAULT_TOLERANCE_PERCENT = 10;
const MOST_WORKERS = 256;
const MOST_CONNECTIONS = 100_000;

/** The options of `hikyaku bench`, read. */
export interface BenchFlags {
  readonly count?: number;
  readonly duration?: number;
  readonly warmup: number;
  readonly size: string;
  readonly concurrency: number;
  readonly messagesPerConnection?: number;
  readonly pipelining: boolean;
  readonly tls?: boolean;
  readonly rate?: number;
  readonly load?: number;
  readonly domains: number;
  readonly zipf?: number;
  readonly defer: number;
  readonly bounce: number;
  readonly retry?: number;
  readonly workers?: number;
  readonly durability: Durability;
  readonly rounds?: number;
  readonly sweep?: readonly number[] | boolean;
  readonly sweepConnections?: readonly number[];
  readonly baseline?: BaselineKind;
  readonly compare?: string;
  readonly tolerance?: number;
  readonly dir?: string;
  readonly json?: string | boolean;
  readonly html?: string;
  readonly keep?: boolean;
}

/** Adds the options to the command. */
export function addBenchOptions(command: Command): Command {
  return command
    .option("--count <N>", `messages to send (default: ${DEFAULT_COUNT})`, wholeArgument(1, 1_000_000_000))
    .option("--duration <TIME>", "send for so long instead (30s, 5m)", durationArgument(SECOND_MS))
    .option("--warmup <N>", "messages sent before counting begins", wholeArgument(0, 1_000_000_000), 2000)
    .option("--size <SIZE>", 'whole message: 1k, 10KiB, 2000, or "mixed"', checkedSize, "1k")
    .option("--concurrency <N>", "connections of the generator", wholeArgument(1, MOST_CONNECTIONS), 40)
    .option("--messages-per-connection <N>", "open a new connection after so many", wholeArgument(1, 1_000_000_000))
    .option("--no-pipelining", "the generator sends one command at a time")
    .option("--tls", "the server sends over TLS: the sink offers STARTTLS, with a certificate of its own making")
    .option("--rate <N>", "messages per second (default: as many as the server takes)", rateArgument)
    .option(
      "--load <PERCENT>",
      "measure the maximum first, then latency and the rest at this part of it",
      shareArgument,
    )
    .option("--domains <N>", "domains of recipients", wholeArgument(1, MOST_DOMAINS), 1)
    .option("--zipf <S>", "weights of the --domains are 1 / rank^S (default: 0, all alike)", zipfArgument)
    .option("--defer <PERCENT>", "the sink refuses this share of the attempts for now (4xx)", percentArgument, 0)
    .option("--bounce <PERCENT>", "the sink refuses this share of the attempts for good (5xx)", percentArgument, 0)
    .option("--retry <TIME>", "what --defer refused: try again after this, and count to the end", retryArgument)
    .option("--workers <N>", "worker threads of the server (default: its own choice)", wholeArgument(1, MOST_WORKERS))
    .addOption(
      new Option("--durability <MODE>", "what the server promises before it accepts")
        .choices(["flushed", "committed", "deferred"])
        .default("flushed"),
    )
    .option("--rounds <N>", "measure so often, the median counts (default: 1; 3 for sweep, baseline)", roundsArgument)
    .option("--sweep [LIST]", "find the best number of workers, among 1,2,4-8", wholeListArgument(1, MOST_WORKERS))
    .option("--sweep-connections <LIST>", "find the best number of connections", wholeListArgument(1, MOST_CONNECTIONS))
    .addOption(
      new Option("--baseline <KIND>", "measure source and sink alone beside: our own, or Postfix's").choices([
        "own",
        "smtp",
      ]),
    )
    .option("--compare <FILE>", "fail when this is worse than the report in FILE (of --json)")
    .option(
      "--tolerance <PERCENT>",
      `by how much worse it may be (default: ${DEFAULT_TOLERANCE_PERCENT})`,
      toleranceArgument,
    )
    .option("--dir <DIR>", "where the temporary directory is made (default: the system's)")
    .option("--json [FILE]", "write the report as JSON, to standard output when no file is named")
    .option("--html <FILE>", "write the report as one page with plots")
    .option("--keep", "leave spools, logs and configurations behind");
}

function checkedSize(text: string): string {
  sizesArgument(text);
  return text;
}

function shareArgument(text: string): number {
  return wholeArgument(1, 200)(text.replace(/%$/, "")) / 100;
}

function toleranceArgument(text: string): number {
  return Math.min(99, percentArgument(text));
}

function retryArgument(text: string): number {
  const value = durationArgument(SECOND_MS)(text);
  if (value >= SECOND_MS && value % SECOND_MS === 0) return value;
  throw new InvalidArgumentError("Expected whole seconds, at least 1s: the server's retries know no smaller step.");
}

const roundsArgument = wholeArgument(1, 1000);

/** Why flags do not go together; null when they do. */
export function conflictOf(flags: BenchFlags): string | null {
  if (flags.defer + flags.bounce > 100) return "--defer and --bounce are more than 100 together";
  if (flags.sweep !== undefined && flags.workers !== undefined) return "--sweep and --workers exclude each other";
  if (flags.load !== undefined && flags.rate !== undefined) return "--load and --rate exclude each other";
  if (flags.count !== undefined && flags.duration !== undefined) return "--count and --duration exclude each other";
  if (flags.zipf !== undefined && flags.domains === 1) return "--zipf does nothing without --domains, 2 or more";
  if (flags.tolerance !== undefined && flags.compare === undefined) return "--tolerance does nothing without --compare";
  if (flags.retry !== undefined && flags.defer === 0) return "--retry does nothing without --defer: nothing is refused";
  const settings = settingsOf(flags);
  const domains = zipfDomains(settings.domains, settings.zipf);
  const tooSmall = sizeRefusal({ ...DEFAULT_LOAD, sizes: sizesArgument(flags.size), domains });
  if (tooSmall !== null) return tooSmall;
  if (flags.baseline === "smtp") return smtpPeersRefuse(settings, amountOf(flags));
  return null;
}

/** The load that flags describe. */
export function settingsOf(flags: BenchFlags): RunSettings {
  return {
    size: flags.size,
    connections: flags.concurrency,
    pipelining: flags.pipelining,
    tls: flags.tls === true,
    messagesPerConnection: flags.messagesPerConnection ?? null,
    domains: flags.domains,
    zipf: flags.zipf ?? 0,
    defer: flags.defer,
    bounce: flags.bounce,
    retryMs: flags.retry ?? null,
    durability: flags.durability,
    workers: flags.workers ?? null,
  };
}

/** How much of it. */
export function amountOf(flags: BenchFlags): BenchOptions["amount"] {
  const endless = flags.count === undefined && flags.duration === undefined;
  return {
    warmup: flags.warmup,
    count: flags.count ?? (endless ? DEFAULT_COUNT : null),
    durationMs: flags.duration ?? null,
    ratePerSecond: flags.rate ?? null,
  };
}

/** The measurements that flags ask for, on this machine. */
export function planOf(
  flags: BenchFlags,
): Pick<BenchOptions, "rounds" | "baseline" | "sweepWorkers" | "sweepConnections" | "share" | "directory" | "keep"> {
  const { sweep } = flags;
  const many = sweep !== undefined || flags.sweepConnections !== undefined || flags.baseline !== undefined;
  const named = typeof sweep === "object" ? sweep : defaultWorkers(availableParallelism());
  return {
    rounds: flags.rounds ?? (many ? DEFAULT_ROUNDS_OF_MANY : 1),
    baseline: flags.baseline ?? null,
    sweepWorkers: sweep === undefined ? null : named,
    sweepConnections: flags.sweepConnections ?? null,
    share: flags.load ?? null,
    directory: flags.dir ?? null,
    keep: flags.keep ?? false,
  };
}
