/**
 * A whole benchmark: rounds, a baseline beside them, sweeps, a second run at a part of the maximum.
 *
 * Runs on   the `bench` command's main thread, which only waits meanwhile
 * Owns      the directory that the runs' own are made in
 * When full nothing here fills up
 * On failure the directory is removed and the run's fault goes on
 */
import { mkdtempSync, rmSync, statfsSync } from "node:fs";
import { arch, cpus, platform, release, tmpdir, totalmem } from "node:os";
import { join } from "node:path";
import { assert } from "../../base/assert.js";
import { causeOf, Fault } from "../../base/fault.js";
import { counted } from "./described.js";
import {
  type Baseline,
  type BaselineFigures,
  type BaselineKind,
  type BenchReport,
  median,
  type RunAmount,
  type RunFigures,
  type RunSettings,
  type Sweep,
} from "./figures.js";
import { measureAlone, measureServer, type RunContext } from "./measure.js";
import { measureSmtpPeers } from "./smtp-peers.js";
import { chooseBest, orderOf } from "./sweep.js";

const TMPFS = 0x01021994;

/** What to measure. */
export interface BenchOptions extends RunContext {
  /** What is said of the program in the report. */
  readonly said: BenchReport["program"];
  /** Hears what is measured next. */
  readonly step: (title: string) => void;
  readonly settings: RunSettings;
  readonly amount: RunAmount;
  /** How often everything is measured, at least 1; the median counts. */
  readonly rounds: number;
  readonly baseline: BaselineKind | null;
  /** Worker threads to try; null for no sweep. */
  readonly sweepWorkers: readonly number[] | null;
  /** Connections of the generator to try, with the best number of workers; null for no sweep. */
  readonly sweepConnections: readonly number[] | null;
  /** Part of the maximum at which the result is measured, above 0; null for the maximum itself. */
  readonly share: number | null;
  /** Where the temporary directory is made; null for the system's. */
  readonly directory: string | null;
}

/** Runs the benchmark. @throws {Fault} `worker.lost` when a process fails or messages do not arrive. */
export async function runBench(options: BenchOptions): Promise<BenchReport> {
  const parent = options.directory ?? tmpdir();
  let directory: string;
  try {
    directory = mkdtempSync(join(parent, "hikyaku-bench-"));
  } catch (error) {
    throw new Fault("spool.unwritable", `no directory can be made in ${parent}: ${causeOf(error)}`, { cause: error });
  }
  try {
    return await new Bench(options, directory).report();
  } finally {
    if (!options.keep) rmSync(directory, { recursive: true, force: true });
  }
}

/** Several settings, measured in turn; by candidate and round. */
interface Stage {
  readonly runs: readonly (readonly RunFigures[])[];
  /** By round. */
  readonly alone: readonly BaselineFigures[];
}

class Bench {
  readonly #options: BenchOptions;
  readonly #directory: string;
  #runs = 0;

  constructor(options: BenchOptions, directory: string) {
    assert(options.rounds >= 1, "a benchmark has at least one round");
    this.#options = options;
    this.#directory = directory;
  }

  async report(): Promise<BenchReport> {
    const options = this.#options;
    const sweeps: Sweep[] = [];
    let { settings } = options;
    let runs: readonly RunFigures[] = [];
    let alone: readonly BaselineFigures[] = [];
    for (const { of, values } of this.#sweepsWanted()) {
      const variants = values.map((value) => ({ ...settings, [of]: value }));
      const stage = await this.#stage(variants, of === this.#sweepsWanted().at(-1)?.of);
      const sweep = chooseBest(
        of,
        values.map((value, i) => ({ value, messagesPerSecond: rates(stage.runs[i] ?? []) })),
      );
      sweeps.push(sweep);
      const best = values.indexOf(sweep.best);
      settings = variants[best] as RunSettings;
      runs = stage.runs[best] as readonly RunFigures[];
      alone = stage.alone;
    }
    if (sweeps.length === 0) {
      const stage = await this.#stage([settings], true);
      runs = stage.runs[0] as readonly RunFigures[];
      alone = stage.alone;
    }
    const typical = middleRun(runs);
    const { share } = options;
    const result = share === null ? typical : await this.#atShare(settings, typical, share);
    return {
      program: options.said,
      machine: machineOf(this.#directory),
      settings,
      amount: options.amount,
      result,
      rounds: rates(runs),
      load: share === null ? null : { share, maximum: typical },
      baseline: options.baseline === null ? null : baselineOf(options.baseline, runs, alone),
      sweeps,
      directory: options.keep ? this.#directory : null,
    };
  }

  #sweepsWanted(): { readonly of: Sweep["of"]; readonly values: readonly number[] }[] {
    const { sweepWorkers, sweepConnections } = this.#options;
    return [
      ...(sweepWorkers === null ? [] : [{ of: "workers" as const, values: sweepWorkers }]),
      ...(sweepConnections === null ? [] : [{ of: "connections" as const, values: sweepConnections }]),
    ];
  }

  /** Measures each of the settings once a round, the baseline at the beginning of the round. */
  async #stage(variants: readonly RunSettings[], withBaseline: boolean): Promise<Stage> {
    const { rounds, baseline, amount } = this.#options;
    const runs: RunFigures[][] = variants.map(() => []);
    const alone: BaselineFigures[] = [];
    for (let round = 0; round < rounds; round++) {
      const which = rounds === 1 ? "" : `round ${round + 1} of ${rounds}, `;
      if (withBaseline && baseline !== null) {
        const measured = baseline === "own" ? measureAlone : measureSmtpPeers;
        alone.push(
          await this.#run(`${which}source and sink alone`, (context, directory) =>
            measured(context, directory, variants[0] as RunSettings, amount),
          ),
        );
      }
      for (const i of orderOf(variants.length, round)) {
        const settings = variants[i] as RunSettings;
        const found = await this.#run(`${which}${titleOf(settings)}`, (context, directory) =>
          measureServer(context, directory, settings, amount),
        );
        (runs[i] as RunFigures[]).push(found);
      }
    }
    return { runs, alone };
  }

  #atShare(settings: RunSettings, maximum: RunFigures, share: number): Promise<RunFigures> {
    const ratePerSecond = Math.max(1, Math.round(maximum.endToEnd.messagesPerSecond * share));
    const amount = { ...this.#options.amount, ratePerSecond };
    return this.#run(`at ${ratePerSecond} msgs/s, ${titleOf(settings)}`, (context, directory) =>
      measureServer(context, directory, settings, amount),
    );
  }

  #run<T>(title: string, run: (context: RunContext, directory: string) => Promise<T>): Promise<T> {
    const { program, keep, signal, progress, step } = this.#options;
    signal.throwIfAborted();
    step(title);
    this.#runs++;
    const context = { program, keep, signal, progress: (line: string) => progress(`${title}: ${line}`) };
    return run(context, join(this.#directory, `run-${this.#runs}`));
  }
}

function titleOf(settings: RunSettings): string {
  const workers = settings.workers === null ? "" : `${counted(settings.workers, "worker")}, `;
  return workers + counted(settings.connections, "connection");
}

function rates(runs: readonly RunFigures[]): number[] {
  return runs.map((run) => run.endToEnd.messagesPerSecond);
}

/** A real round, not a mixture of several: that with the median rate, of an even number the lower of the two. */
function middleRun(runs: readonly RunFigures[]): RunFigures {
  const sorted = [...runs].sort((a, b) => a.endToEnd.messagesPerSecond - b.endToEnd.messagesPerSecond);
  return sorted[(sorted.length - 1) >> 1] as RunFigures;
}

function baselineOf(kind: BaselineKind, runs: readonly RunFigures[], rounds: readonly BaselineFigures[]): Baseline {
  const round = (value: number) => Math.round(value * 10_000) / 10_000;
  const throughput = rounds.map((one, i) => (runs[i]?.endToEnd.messagesPerSecond ?? 0) / one.messagesPerSecond);
  const cpu = rounds.map((one, i) => {
    const server = runs[i]?.server.cpuUsPerMessage ?? null;
    return server === null || !one.cpuUsPerMessage ? null : server / one.cpuUsPerMessage;
  });
  const known = cpu.filter((ratio) => ratio !== null);
  return {
    kind,
    rounds,
    ratios: { throughput: round(median(throughput)), cpu: known.length === 0 ? null : round(median(known)) },
  };
}

function machineOf(directory: string): BenchReport["machine"] {
  const all = cpus();
  return {
    cpus: all.length,
    cpuModel: all[0]?.model ?? "unknown",
    memoryBytes: totalmem(),
    system: `${platform()} ${release()} ${arch()}`,
    node: process.version,
    tmpfs: statfsSync(directory).type === TMPFS,
  };
}
