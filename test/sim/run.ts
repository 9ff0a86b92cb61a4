/**
 * Runs one simulated world: `npm run sim -- --seed N --steps M`. Prints the seed and what was seen; exits 1 with the seed
 * and the step when a rule was broken, 2 when it was called wrongly. Without `--seed` a fresh one is taken and printed.
 */
import { Command } from "commander";
import { wholeArgument } from "../../src/cli/arguments.js";
import { freshSeed, readOptions } from "../support/long-form.js";
import { simulate } from "./simulate.js";

const command = new Command("npm run sim --")
  .description("run one simulated world, step by step, with every rule checked after each")
  .option("--seed <N>", "which world (default: a fresh one, which is printed)", wholeArgument(0, 0xffff_ffff))
  .option("--steps <N>", "how many steps", wholeArgument(1, 100_000_000), 2000);
const options = readOptions<{ readonly seed?: number; readonly steps: number }>(command);
const { seed = freshSeed(), steps } = options;
const result = simulate(seed, steps);
if (result.ok) {
  console.log(`seed ${seed}, ${steps} steps: ${JSON.stringify(result.summary)}`);
} else {
  console.error(`seed ${seed}: a rule was broken at step ${result.step} of ${steps}`);
  console.error(result.error);
  process.exitCode = 1;
}
