/**
 * How fast mail flows to a healthy destination while another that is dead holds a queue: everything in processes of its own,
 * so that only the server is shared.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { ListenAddress } from "../../src/config/compiled.js";
import { Child, type Program } from "../../src/load/bench/child.js";
import { type ProcessUsage, processUsage, usageBetween } from "../../src/load/bench/process-usage.js";
import { DEFAULT_LOAD } from "../../src/load/options.js";
import { startLoad } from "../../src/load/run.js";

/** Ways to be dead: connections are refused, or never answered, or the host greets after a minute. */
export const DEATHS = ["refuses", "drops", "tarpit"] as const;

/** See {@link DEATHS}; `none`: there is no dead destination. */
export type Death = (typeof DEATHS)[number] | "none";

/** What to measure. */
export interface DeadRun {
  readonly death: Death;
  /** Messages for the dead destination. */
  readonly dead: number;
  /** Messages for the healthy one that are measured, after as many that are not. */
  readonly healthy: number;
  readonly retry: string;
  readonly workers: number;
}

/** What was measured. */
export interface DeadFigures {
  /** From the first message's beginning to the last one's arrival. */
  readonly perSecond: number;
  /** CPU of the whole server and of its scheduler's thread, for each message to the healthy destination. */
  readonly cpuUs: number;
  readonly schedulerUs: number;
  /** Attempts that failed while it was measured. */
  readonly putOff: number;
  /** Messages in the queue when it was over. */
  readonly waiting: number;
}

interface Ready {
  readonly smtp: readonly ListenAddress[];
  readonly http: readonly ListenAddress[];
}

const program: Program = {
  file: process.execPath,
  args: [new URL("../../src/cli/main.js", import.meta.url).pathname],
};

/** Runs once, in a directory of its own. */
export async function runBesideDead(directory: string, run: DeadRun): Promise<DeadFigures> {
  mkdirSync(directory, { recursive: true });
  const children: Child[] = [];
  const ends: (() => Promise<void>)[] = [];
  const start = async (name: string, ...args: string[]): Promise<{ child: Child; ready: Ready }> => {
    const child = new Child(name, program, [...args, "--ready-file", Child.READY], directory);
    children.push(child);
    return { child, ready: (await child.ready()) as Ready };
  };
  try {
    const listen = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    const sink = (await start("healthy", "sink", ...listen)).ready;
    const tarpit = async () => (await start("tarpit", "sink", ...listen, "--latency", "60s")).ready.smtp[0]!;
    const deaths: Readonly<Record<Death, () => Promise<ListenAddress>>> = {
      none: async () => ({ host: "127.0.0.1", port: 9 }),
      refuses: async () => ({ host: "127.0.0.1", port: 9 }),
      drops: () => startDropping(ends),
      tarpit,
    };
    const dead = await deaths[run.death]();
    writeFileSync(join(directory, "hikyaku.toml"), configOf(sink.smtp[0]!, dead, run));
    writeFileSync(join(directory, "shaping.toml"), '["default"]\nprohibited_hosts = []\nenable_tls = "Disabled"\n');
    const { child, ready } = await start("server", "start", "--config", join(directory, "hikyaku.toml"));
    const server = new Measured(child, ready, sink.http[0]!);
    await server.load("healthy.example", run.healthy);
    await server.arrived(run.healthy);
    if (run.death !== "none") await server.load("dead.example", run.dead);
    // What is under way at once comes to its rest: the first connections have failed, or hang.
    await sleep(500);
    return await server.measure(run.healthy);
  } finally {
    for (const child of children.reverse()) await child.stop();
    for (const end of ends) await end();
  }
}

/** The server under test, seen from outside. */
class Measured {
  readonly #child: Child;
  readonly #smtp: ListenAddress;
  readonly #metrics: string;
  readonly #totals: string;

  constructor(child: Child, ready: Ready, sinkHttp: ListenAddress) {
    this.#child = child;
    this.#smtp = ready.smtp[0]!;
    this.#metrics = `http://127.0.0.1:${ready.http[0]!.port}/metrics`;
    this.#totals = `http://127.0.0.1:${sinkHttp.port}/totals`;
  }

  async load(domain: string, count: number): Promise<void> {
    const domains = [{ name: domain, weight: 1 }];
    const { accepted, error } = await startLoad({ ...DEFAULT_LOAD, target: this.#smtp, count, domains }).done;
    if (accepted !== count) throw new Error(`${accepted} of ${count} accepted: ${error}`);
  }

  /** Waits until the healthy destination has so many messages. */
  async arrived(count: number): Promise<void> {
    for (;;) {
      this.#child.check();
      const { messages } = (await (await fetch(this.#totals)).json()) as { messages: number };
      if (messages >= count) return;
      await sleep(10);
    }
  }

  async measure(count: number): Promise<DeadFigures> {
    const before = this.#usage();
    const failedBefore = await this.#metric("total_messages_transfail");
    const from = performance.now();
    await this.load("healthy.example", count);
    await this.arrived(2 * count);
    const seconds = (performance.now() - from) / 1000;
    const used = usageBetween(before, this.#usage());
    const scheduler = used.threads.find(({ id }) => id === this.#child.pid);
    return {
      perSecond: count / seconds,
      cpuUs: used.cpuUs / count,
      schedulerUs: (scheduler?.cpuUs ?? 0) / count,
      putOff: (await this.#metric("total_messages_transfail")) - failedBefore,
      waiting: await this.#metric("message_count"),
    };
  }

  #usage(): ProcessUsage {
    const usage = processUsage(this.#child.pid);
    if (usage === null) throw new Error("no /proc, or no server");
    return usage;
  }

  async #metric(name: string): Promise<number> {
    const text = await (await fetch(this.#metrics)).text();
    return Number(new RegExp(`^${name}(?:\\{.*\\})? (\\d+)`, "m").exec(text)?.[1] ?? Number.NaN);
  }
}

/**
 * A listener whose queue of connections is full and that takes none: the kernel drops every further attempt, as a firewall
 * does. It is a program that has been stopped.
 */
async function startDropping(ends: (() => Promise<void>)[]): Promise<ListenAddress> {
  const script = `const s = require("node:net").createServer();
s.listen({ host: "127.0.0.1", port: 0, backlog: 1 }, () => { console.log(s.address().port); process.kill(process.pid, "SIGSTOP"); });`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const [said] = (await once(child.stdout, "data")) as [Buffer];
  const address = { host: "127.0.0.1", port: Number(said.toString()) };
  const filling = Array.from({ length: 4 }, () => connect(address.port, address.host).on("error", () => {}));
  ends.push(async () => {
    for (const socket of filling) socket.destroy();
    const gone = once(child, "exit");
    child.kill("SIGKILL");
    await gone;
  });
  await once(filling[0]!, "connect");
  await sleep(200);
  return address;
}

function configOf(healthy: ListenAddress, dead: ListenAddress, { retry, workers }: DeadRun): string {
  const queue = (domain: string, to: ListenAddress): string =>
    `[[queue]]\nmatch = { domain = "${domain}" }\nretry_interval = "${retry}"\nmax_retry_interval = "${retry}"\nprotocol = { smtp = { mx_list = ["${to.host}:${to.port}"] } }\n`;
  return `[node]
hostname = "bench.invalid"
data_dir = "var"
[threads]
workers = ${workers}
[delivery]
mode = "live"
[spool]
durability = "flushed"
min_free_space = "1%"
[[smtp_listener]]
listen = "127.0.0.1:0"
relay_hosts = ["127.0.0.0/8"]
[[http_listener]]
listen = "127.0.0.1:0"
[shaping]
files = ["shaping.toml"]
${queue("healthy.example", healthy)}${queue("dead.example", dead)}`;
}
