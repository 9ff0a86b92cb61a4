/**
 * The long form: `npm run torture -- --minutes 30 --seed 7 --rounds 200 --only kill`. Runs each scenario in turn, with the
 * next seed each time round, until the time is over (each at least once); ends with 1 at the first broken rule and says
 * how to repeat it.
 */
import { parseArgs } from "node:util";
import { scenarios } from "./scenarios.js";

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    seed: { type: "string" },
    rounds: { type: "string", default: "25" },
    only: { type: "string", multiple: true },
  },
});
const minutes = Number(values.minutes);
const rounds = Number(values.rounds);
const first = values.seed === undefined ? Date.now() % 1_000_000_007 : Number(values.seed);
const wanted = scenarios.filter(({ name }) => values.only === undefined || values.only.includes(name));
if (!(minutes >= 0) || !Number.isSafeInteger(rounds) || rounds < 1 || !Number.isSafeInteger(first)) {
  console.error("torture: --minutes, --rounds and --seed are numbers, --rounds at least 1");
  process.exit(2);
}
if (wanted.length === 0) {
  console.error(`torture: --only takes one of ${scenarios.map(({ name }) => name).join(", ")}`);
  process.exit(2);
}

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
