import { killRounds } from "./kill.js";
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

/** All scenarios of the long form, in their order. */
export const scenarios: readonly Scenario[] = [
  {
    name: "kill",
    run: async ({ seed, rounds }, tell) =>
      describeSummary(await killRounds({ seed, rounds, durability: "flushed", workers: 1 + (seed % 3) }, tell)),
  },
  {
    name: "kill-committed",
    run: async ({ seed, rounds }, tell) =>
      describeSummary(await killRounds({ seed, rounds, durability: "committed", workers: 2 }, tell)),
  },
];
