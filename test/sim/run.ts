import { parseArgs } from "node:util";
import { simulate } from "./simulate.js";

/**
 * Runs one simulated world: `node run.js --seed N --steps M`. Prints the seed and what was seen; exits 1 with the seed and
 * the step when a rule was broken. Without `--seed` a fresh one is taken and printed.
 */
const { values } = parseArgs({ options: { seed: { type: "string" }, steps: { type: "string", default: "2000" } } });
const seed = values.seed === undefined ? Date.now() % 1_000_000_007 : Number(values.seed);
const result = simulate(seed, Number(values.steps));
if (result.ok) {
  console.log(`seed ${seed}, ${values.steps} steps: ${JSON.stringify(result.summary)}`);
} else {
  console.error(`seed ${seed}: a rule was broken at step ${result.step} of ${values.steps}`);
  console.error(result.error);
  process.exitCode = 1;
}
