import { churnedFile } from "./churn.js";
import { clockRefusal, clockSteps } from "./clock.js";
import { crashImages, traceRefusal } from "./crash-images.js";
import { killRounds } from "./kill.js";
import { stopUnderLoad, stopWhileStarting } from "./signals.js";
import { damagedRecords, otherWorkers, refusedSpools, tornLog } from "./spool.js";
import { describeSummary } from "./verdict.js";

/** What every scenario is given. */
export interface ScenarioOptions {
  readonly seed: number;
  readonly rounds: number;
}

/** One thing that can be done to a server. */
export interface Scenario {
  readonly name: string;
  /** Throws at the first broken rule; resolves with what was seen. */
  readonly run: (options: ScenarioOptions, tell: (line: string) => void) => Promise<string>;
}

/** The long form has a machine to itself, on which no turn of the server takes so long. */
const longestWindowMs = 1000;

/** All scenarios of the long form, in their order. */
export const scenarios: readonly Scenario[] = [
  {
    name: "kill",
    run: async ({ seed, rounds }, tell) =>
      describeSummary(
        await killRounds({ seed, rounds, durability: "flushed", workers: 1 + (seed % 3), longestWindowMs }, tell),
      ),
  },
  {
    name: "kill-committed",
    run: async ({ seed, rounds }, tell) =>
      describeSummary(await killRounds({ seed, rounds, durability: "committed", workers: 2, longestWindowMs }, tell)),
  },
  {
    name: "kill-deferred",
    run: async ({ seed, rounds }, tell) =>
      describeSummary(await killRounds({ seed, rounds, durability: "deferred", workers: 2, longestWindowMs }, tell)),
  },
  {
    name: "signals",
    run: ({ seed }) => {
      const signals: NodeJS.Signals[] = seed % 2 === 0 ? ["SIGTERM", "SIGHUP", "SIGTERM"] : ["SIGINT", "SIGTERM"];
      return stopUnderLoad({ seed, signals, latencyMs: 50 * (1 + (seed % 10)), withinMs: 10_000 });
    },
  },
  { name: "signals-start", run: ({ seed, rounds }, tell) => stopWhileStarting(seed, rounds, tell) },
  {
    name: "stop-bound",
    run: ({ seed }) => stopUnderLoad({ seed, signals: ["SIGTERM"], latencyMs: 120_000, withinMs: 20_000 }),
  },
  { name: "clock", run: async ({ seed }) => clockRefusal() ?? (await clockSteps(seed)) },
  { name: "crash-images", run: async ({ seed }) => traceRefusal() ?? (await crashImages(seed, 1000)) },
  { name: "workers", run: ({ seed }) => otherWorkers(seed) },
  { name: "damage", run: ({ seed }) => damagedRecords(seed) },
  { name: "refused", run: ({ seed }) => refusedSpools(seed) },
  { name: "torn-log", run: ({ seed }) => tornLog(seed) },
  { name: "churn", run: ({ seed }) => churnedFile(seed) },
];
