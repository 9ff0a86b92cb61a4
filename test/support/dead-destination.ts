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

/** See {@link DEATHS}. Mail for `DEATH.example` goes to such a host. */
export type Death = (typeof DEATHS)[number];

/** How the server runs. */
export interface DeadOptions {
  /** `retry_interval` of the dead destinations. */
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

/** A server between a healthy destination and three dead ones, all in processes of their own. */
export class DeadWorld {
  readonly #children: Child[] = [];
  readonly #directory: string;
  #dropping: Dropping | null = null;
  #server: Child | null = null;
  #smtp: ListenAddress = { host: "127.0.0.1", port: 0 };
  #metrics = "";
  #totals = "";
  /** Messages for the healthy destination so far. */
  #sent = 0;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Starts everything; `directory` is the world's own. */
  static async start(directory: string, options: DeadOptions): Promise<DeadWorld> {
    mkdirSync(directory, { recursive: true });
    const world = new DeadWorld(directory);
    try {
      await world.#start(options);
    } catch (error) {
      await world.stop();
      throw error;
    }
    return world;
  }

  async #start(options: DeadOptions): Promise<void> {
    const listen = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    const healthy = await this.#child("healthy", "sink", ...listen);
    const tarpit = await this.#child("tarpit", "sink", ...listen, "--latency", "60s");
    this.#dropping = await startDropping();
    const hosts = {
      healthy: healthy.ready.smtp[0]!,
      // Nobody listens on the port of `discard`.
      refuses: { host: "127.0.0.1", port: 9 },
      drops: this.#dropping.address,
      tarpit: tarpit.ready.smtp[0]!,
    };
    writeFileSync(join(this.#directory, "hikyaku.toml"), configOf(hosts, options));
    const shaping = '["default"]\nprohibited_hosts = []\nenable_tls = "Disabled"\n';
    writeFileSync(join(this.#directory, "shaping.toml"), shaping);
    const config = join(this.#directory, "hikyaku.toml");
    const { child, ready } = await this.#child("server", "start", "--config", config);
    this.#server = child;
    this.#smtp = ready.smtp[0]!;
    this.#metrics = `http://127.0.0.1:${ready.http[0]!.port}/metrics`;
    this.#totals = `http://127.0.0.1:${healthy.ready.http[0]!.port}/totals`;
  }

  async #child(name: string, ...args: string[]): Promise<{ child: Child; ready: Ready }> {
    const child = new Child(name, program, [...args, "--ready-file", Child.READY], this.#directory);
    this.#children.push(child);
    return { child, ready: (await child.ready()) as Ready };
  }

  /** Ends everything. */
  async stop(): Promise<void> {
    for (const child of this.#children.reverse()) await child.stop();
    await this.#dropping?.stop();
  }

  /** The server's process id. */
  get pid(): number {
    return this.#server?.pid ?? 0;
  }

  /** Fills the queue of a dead destination, and waits until its first connections have failed, or hang. */
  async fill(death: Death, count: number): Promise<void> {
    await this.#load(`${death}.example`, count);
    await sleep(500);
  }

  /** Messages to the healthy destination, from the first one's beginning to the last one's arrival. */
  async measure(count: number): Promise<DeadFigures> {
    const before = this.#usage();
    const failedBefore = await this.#metric("total_messages_transfail");
    const from = performance.now();
    this.#sent += count;
    await this.#load("healthy.example", count);
    await this.#arrived();
    const seconds = (performance.now() - from) / 1000;
    const used = usageBetween(before, this.#usage());
    const scheduler = used.threads.find(({ id }) => id === this.pid);
    return {
      perSecond: count / seconds,
      cpuUs: used.cpuUs / count,
      schedulerUs: (scheduler?.cpuUs ?? 0) / count,
      putOff: (await this.#metric("total_messages_transfail")) - failedBefore,
      waiting: await this.#metric("message_count"),
    };
  }

  async #load(domain: string, count: number): Promise<void> {
    const domains = [{ name: domain, weight: 1 }];
    const { accepted, error } = await startLoad({ ...DEFAULT_LOAD, target: this.#smtp, count, domains }).done;
    if (accepted !== count) throw new Error(`${accepted} of ${count} accepted: ${error}`);
  }

  /** Waits until the healthy destination has everything. */
  async #arrived(): Promise<void> {
    for (;;) {
      this.#server?.check();
      const { messages } = (await (await fetch(this.#totals)).json()) as { messages: number };
      if (messages >= this.#sent) return;
      await sleep(10);
    }
  }

  #usage(): ProcessUsage {
    const usage = processUsage(this.pid);
    if (usage === null) throw new Error("no /proc, or no server");
    return usage;
  }

  async #metric(name: string): Promise<number> {
    const text = await (await fetch(this.#metrics)).text();
    return Number(new RegExp(`^${name}(?:\\{.*\\})? (\\d+)`, "m").exec(text)?.[1] ?? Number.NaN);
  }
}

interface Dropping {
  readonly address: ListenAddress;
  stop(): Promise<void>;
}

/**
 * A listener whose queue of connections is full and that takes none: the kernel drops every further attempt, as a firewall
 * does. It is a program that has been stopped.
 */
async function startDropping(): Promise<Dropping> {
  const script = `const server = require("node:net").createServer();
server.listen({ host: "127.0.0.1", port: 0, backlog: 1 }, () => {
  console.log(server.address().port);
  process.kill(process.pid, "SIGSTOP");
});`;
  const child = spawn(process.execPath, ["-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const [said] = (await once(child.stdout, "data")) as [Buffer];
  const address = { host: "127.0.0.1", port: Number(said.toString()) };
  // Those that find room in the queue; the last ones find none.
  const filling = Array.from({ length: 4 }, () => connect(address.port, address.host).on("error", () => {}));
  await once(filling[0]!, "connect");
  await sleep(200);
  return {
    address,
    async stop() {
      for (const socket of filling) socket.destroy();
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}

function configOf(hosts: Readonly<Record<Death | "healthy", ListenAddress>>, { retry, workers }: DeadOptions): string {
  const queues = Object.entries(hosts).map(
    ([name, { host, port }]) => `[[queue]]
match = { domain = "${name}.example" }
retry_interval = "${retry}"
max_retry_interval = "${retry}"
protocol = { smtp = { mx_list = ["${host}:${port}"] } }
`,
  );
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
${queues.join("")}`;
}
