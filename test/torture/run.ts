/**
 * The long form: `npm run torture -- --minutes 30 --seed 7 --rounds 200 --only kill`. Runs each scenario in turn, with the
 * next seed each time round, until the time is over (each at least once); ends with 1 at the first broken rule and says
 * how to repeat it.
 * 2 is wrong usage.
 */
import { Command, InvalidArgumentError } from "commander";
import { wholeArgument } from "../../src/cli/arguments.js";
import { freshSeed, minutesArgument, readOptions } from "../support/long-form.js";
import { scenarios } from "./scenarios.js";

const NAMES = scenarios.map(({ name }) => name);

function scenarioArgument(text: string, before: readonly string[] = []): readonly string[] {
  if (NAMES.includes(text)) return [...before, text];
  throw new InvalidArgumentError(`Expected one of ${NAMES.join(", ")}.`);
}

interface TortureFlags {
  readonly minutes: number;
  readonly seed?: number;
  readonly rounds: number;
  readonly only?: readonly string[];
}

const command = new Command("npm run torture --")
  .description("kill, stop, damage and mislead servers under load, and see whether anything was lost")
  .option("--minutes <N>", "for how long, each scenario at least once", minutesArgument, 10)
  .option("--seed <N>", "where chance begins (default: a fresh one, which is printed)", wholeArgument(0, 1e15))
  .option("--rounds <N>", "how many deaths on one directory", wholeArgument(1, 1_000_000), 25)
  .option("--only <NAME>", `this scenario, repeatable: ${NAMES.join(", ")}`, scenarioArgument);
const { minutes, rounds, seed: first = freshSeed(), only } = readOptions<TortureFlags>(command);
const wanted = scenarios.filter(({ name }) => only === undefined || only.includes(name));

const endMs = performance.now() + minutes * 60_000;
const say = (line: string): void => console.log(`${(performance.now() / 1000).toFixed(1).padStart(7)} s  ${line}`);
for (let seed = first; ; seed++) {
  for (const { name, run } of wanted) {
    if (seed > first && performance.now() >= endMs) {
      say(`done: seeds ${first} to ${seed}, nothing broken`);
      process.exit(0);
    }
    say(`${name}, seed ${seed}`);
    try {
      say(`${name}, seed ${seed}: ${await run({ seed, rounds }, (line) => say(`  ${line}`))}`);
    } catch (error) {
      console.error(error);
      console.error(`broken: npm run torture -- --only ${name} --seed ${seed} --rounds ${rounds} --minutes 0`);
      process.exit(1);
    }
  }
}
