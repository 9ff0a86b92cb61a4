/**
 * Many domains with one message each, against as many messages for one domain:
 * `node dist/bench/load/domains.js [--count N] [--workers N] [--mode mx_list|sandbox]`.
 *
 *   mx_list   all queues share one path to a sink in a process of its own
 *   sandbox   each domain is a site: as many paths, and connections, as domains
 *
 * Messages per second from the first MAIL to the last one's arrival, CPU of the server and of its scheduler's thread per
 * message, and peak resident memory, first for one domain and then for all; and their ratio.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Child, type Program } from "../../src/load/bench/child.js";
import { benchConfig, SHAPING_FILE, shapingText } from "../../src/load/bench/config.js";
import { processUsage, usageBetween } from "../../src/load/bench/process-usage.js";
import { DEFAULT_LOAD } from "../../src/load/options.js";
import { startLoad } from "../../src/load/run.js";

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "100000" },
    workers: { type: "string", default: "1" },
    mode: { type: "string", multiple: true, default: ["mx_list", "sandbox"] },
  },
});
const count = Number(values.count);
const workers = Number(values.workers);
const program: Program = {
  file: process.execPath,
  args: [new URL("../../src/cli/main.js", import.meta.url).pathname],
};

interface Ready {
  readonly smtp: readonly { readonly host: string; readonly port: number }[];
  readonly http: readonly { readonly host: string; readonly port: number }[];
}

interface Figures {
  readonly perSecond: number;
  readonly cpuUs: number;
  readonly schedulerUs: number;
  readonly rssMb: number;
  /** Messages whose first attempt failed: in the sandbox, where both ends of each connection take a descriptor. */
  readonly putOff: number;
}

function configOf(mode: string, sink: { host: string; port: number } | null): string {
  const settings = { workers, durability: "flushed", retryMs: null } as const;
  if (sink !== null) return benchConfig(sink, settings);
  if (mode !== "sandbox") throw new Error(`no mode ${mode}`);
  const live = benchConfig({ host: "127.0.0.1", port: 1 }, settings);
  return live.slice(0, live.indexOf("[[queue]]")).replace('mode = "live"', 'mode = "sandbox"');
}

async function run(directory: string, mode: string, domain: string): Promise<Figures> {
  const children: Child[] = [];
  const start = async (name: string, ...args: string[]): Promise<{ child: Child; ready: Ready }> => {
    const child = new Child(name, program, [...args, "--ready-file", Child.READY], directory);
    children.push(child);
    return { child, ready: (await child.ready()) as Ready };
  };
  try {
    const listen = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    const sink = mode === "mx_list" ? (await start("sink", "sink", ...listen)).ready.smtp[0]! : null;
    const config = join(directory, "hikyaku.toml");
    writeFileSync(config, configOf(mode, sink).replace("[spool]\n", '[spool]\nmin_free_space = "1%"\n'));
    writeFileSync(join(directory, SHAPING_FILE), shapingText({ tls: false }));
    const server = await start("server", "start", "--config", config);
    const metrics = `http://127.0.0.1:${server.ready.http[0]!.port}/metrics`;
    const before = processUsage(server.child.pid)!;
    const from = performance.now();
    const { done } = startLoad({
      ...DEFAULT_LOAD,
      target: server.ready.smtp[0]!,
      count,
      domains: [{ name: domain, weight: 1 }],
    });
    const result = await done;
    if (result.accepted !== count) throw new Error(`${result.accepted} of ${count} accepted: ${result.error}`);
    let putOff = 0;
    for (let delivered = 0; delivered + putOff < count; ) {
      await sleep(20);
      server.child.check();
      const text = await (await fetch(metrics)).text();
      delivered = Number(/^total_messages_delivered\{.*\} (\d+)/m.exec(text)?.[1]);
      putOff = Number(/^total_messages_transfail\{.*\} (\d+)/m.exec(text)?.[1]);
    }
    const seconds = (performance.now() - from) / 1000;
    const used = usageBetween(before, processUsage(server.child.pid)!);
    const scheduler = used.threads.find(({ id }) => id === server.child.pid);
    return {
      perSecond: count / seconds,
      cpuUs: used.cpuUs / count,
      schedulerUs: (scheduler?.cpuUs ?? 0) / count,
      rssMb: used.maxRssBytes / 1e6,
      putOff,
    };
  } finally {
    for (const child of children.reverse()) await child.stop();
  }
}

function print(what: string, { perSecond, cpuUs, schedulerUs, rssMb, putOff }: Figures): void {
  const failed = putOff === 0 ? "" : `  ${putOff} put off`;
  process.stdout.write(
    `${what.padEnd(32)} ${perSecond.toFixed(0).padStart(6)} msg/s  ${cpuUs.toFixed(0).padStart(5)} µs CPU a message, ` +
      `scheduler ${schedulerUs.toFixed(1).padStart(5)} µs  ${rssMb.toFixed(0).padStart(5)} MB${failed}\n`,
  );
}

const directory = mkdtempSync(join(tmpdir(), "hikyaku-domains-"));
try {
  for (const mode of values.mode) {
    const here = (name: string): string => {
      const path = join(directory, `${mode}-${name}`);
      mkdirSync(path);
      return path;
    };
    const one = await run(here("one"), mode, "example.com");
    print(`${mode}, one domain`, one);
    const many = await run(here("many"), mode, "d{n}.example");
    print(`${mode}, ${count} domains`, many);
    process.stdout.write(`${mode}: ${((100 * many.perSecond) / one.perSecond).toFixed(0)} % of one domain\n`);
  }
} finally {
  rmSync(directory, { recursive: true, force: true });
}
