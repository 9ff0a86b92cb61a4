/**
 * Whether a dead destination slows others: `node dist/bench/load/dead-destination.js [--dead N] [--count N] [--pairs N]
 * [--retry TIME] [--workers N] [--death refuses|drops|tarpit]…`.
 *
 * Throughput to a healthy sink without and with a queue for a dead destination, in alternating pairs, each with a server of
 * its own that has delivered as many messages before; CPU of the server and of its scheduler's thread for each of these
 * messages; the ratio by pairs, and the median of each kind of death.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { DEATHS, type DeadFigures, DeadWorld } from "../../test/support/dead-destination.js";

const { values } = parseArgs({
  options: {
    dead: { type: "string", default: "100000" },
    count: { type: "string", default: "20000" },
    pairs: { type: "string", default: "5" },
    retry: { type: "string", default: "20m" },
    workers: { type: "string", default: "1" },
    death: { type: "string", multiple: true, default: [...DEATHS] },
  },
});

function print(what: string, { perSecond, cpuUs, schedulerUs, putOff, waiting }: DeadFigures): void {
  process.stdout.write(
    `${what.padEnd(14)} ${perSecond.toFixed(0).padStart(6)} msg/s  ${cpuUs.toFixed(0).padStart(4)} µs CPU a message, ` +
      `scheduler ${schedulerUs.toFixed(1).padStart(5)} µs  ${putOff} put off meanwhile, ${waiting} in the queue\n`,
  );
}

const median = (of: readonly number[]): number => [...of].sort((a, b) => a - b)[Math.floor(of.length / 2)] ?? 0;

const directory = mkdtempSync(join(tmpdir(), "hikyaku-dead-"));
try {
  for (const death of DEATHS.filter((one) => values.death.includes(one))) {
    const ratios: [number, number][] = [];
    for (let pair = 0; pair < Number(values.pairs); pair++) {
      const run = async (filled: boolean): Promise<DeadFigures> => {
        const here = join(directory, `${death}-${pair}-${filled}`);
        const world = await DeadWorld.start(here, { workers: Number(values.workers), retry: values.retry });
        try {
          await world.measure(Number(values.count));
          if (filled) await world.fill(death, Number(values.dead));
          const figures = await world.measure(Number(values.count));
          print(filled ? death : "none", figures);
          return figures;
        } finally {
          await world.stop();
          rmSync(here, { recursive: true });
        }
      };
      // Who goes first takes turns.
      const first = await run(pair % 2 !== 0);
      const second = await run(pair % 2 === 0);
      const [without, beside] = pair % 2 === 0 ? [first, second] : [second, first];
      ratios.push([beside.perSecond / without.perSecond, beside.cpuUs / without.cpuUs]);
    }
    const percent = (at: 0 | 1): string => ratios.map((one) => `${(100 * one[at]).toFixed(0)} %`).join(", ");
    const middle = (at: 0 | 1): string => `${(100 * median(ratios.map((one) => one[at]))).toFixed(0)} %`;
    process.stdout.write(
      `${death}: throughput ${percent(0)}, median ${middle(0)}; CPU ${percent(1)}, median ${middle(1)}\n`,
    );
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
