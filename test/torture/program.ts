/**
 * The server as a process of its own, which a test may stop, signal and kill.
 *
 * Runs on   the test's thread
 * Owns      one child process; whoever launches it waits for its end
 * When full nothing here grows but what the child prints
 * On failure a child that ends before it is ready is told by {@link Program.ready} returning null
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { until } from "../support/server.js";

const main = new URL("../../src/cli/main.js", import.meta.url).pathname;

const address = z.object({ host: z.string(), port: z.number() });
const readySchema = z.object({ pid: z.number(), smtp: z.array(address), http: z.array(address), workers: z.number() });

/** How a server is launched, beyond its directory. */
export interface LaunchOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** User and group to run as. */
  readonly uid?: number;
  /** Words before the command, for tracers. */
  readonly prefix?: readonly string[];
}

/** How a server ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: string | null;
}

/** Where a server listens. */
export interface Where {
  readonly smtp: number;
  readonly http: string;
}

/** See the file's header. */
export class Program {
  readonly child: ChildProcess;
  /** Resolves when the process has gone and its output is read. */
  readonly ended: Promise<Ended>;
  readonly #readyFile: string;
  #out = "";
  #err = "";
  #gone = false;

  private constructor(child: ChildProcess, readyFile: string) {
    this.child = child;
    this.#readyFile = readyFile;
    child.stdout?.on("data", (chunk: Buffer) => (this.#out += chunk.toString()));
    child.stderr?.on("data", (chunk: Buffer) => (this.#err += chunk.toString()));
    this.ended = once(child, "close").then(([code, signal]) => {
      this.#gone = true;
      return { code: typeof code === "number" ? code : null, signal: typeof signal === "string" ? signal : null };
    });
  }

  /** Launches the server of `dir` (see `writeConfig`) and does not wait. */
  static launch(dir: string, options: LaunchOptions = {}): Program {
    const readyFile = join(dir, "ready.json");
    rmSync(readyFile, { force: true });
    const words = [
      ...(options.prefix ?? []),
      process.execPath,
      main,
      "start",
      "--no-events",
      "--config",
      join(dir, "hikyaku.toml"),
      "--ready-file",
      readyFile,
    ];
    const identity = options.uid === undefined ? {} : { uid: options.uid, gid: options.uid };
    const child = spawn(words[0] as string, words.slice(1), {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...options.env },
      ...identity,
    });
    return new Program(child, readyFile);
  }

  /** Resolves when everything listens; null when the process has ended before. */
  async ready(): Promise<Where | null> {
    await until(() => this.#gone || existsSync(this.#readyFile), "the server to be ready");
    if (this.#gone) return null;
    const told = readySchema.parse(JSON.parse(readFileSync(this.#readyFile, "utf8")));
    return { smtp: told.smtp[0]?.port ?? 0, http: `http://127.0.0.1:${told.http[0]?.port ?? 0}` };
  }

  get out(): string {
    return this.#out;
  }

  /** What it said on standard error so far. */
  get err(): string {
    return this.#err;
  }

  get gone(): boolean {
    return this.#gone;
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  /** Ends it as a crash would, and waits until it has gone. */
  kill(): Promise<Ended> {
    this.child.kill("SIGKILL");
    return this.ended;
  }

  /** Ends it in order, and waits until it has gone. */
  stop(): Promise<Ended> {
    this.child.kill("SIGTERM");
    return this.ended;
  }
}

/** One metric of a server, all its series together; 0 when it is not there. */
export async function metric(where: Where, name: string): Promise<number> {
  const page = await (await fetch(`${where.http}/metrics`)).text();
  let sum = 0;
  for (const line of page.split("\n")) {
    if (line.startsWith(`${name} `) || line.startsWith(`${name}{`)) sum += Number(line.slice(line.lastIndexOf(" ")));
  }
  return sum;
}

/** Waits until a server holds no message any more. */
export async function drained(where: Where, limitMs: number): Promise<void> {
  const deadlineMs = performance.now() + limitMs;
  while ((await metric(where, "message_count")) > 0) {
    if (performance.now() > deadlineMs) throw new Error(`the queue was not empty after ${limitMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
