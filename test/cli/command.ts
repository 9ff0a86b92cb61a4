/** The `hikyaku` command as a process. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

const main = new URL("../../src/cli/main.js", import.meta.url).pathname;

/** A command that has ended. */
export interface Finished {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** A command that runs: its output so far, and its end. */
export interface Launched {
  readonly child: ChildProcess;
  out(): string;
  err(): string;
  readonly finished: Promise<Finished>;
}

/** Where a command runs, and with what in its environment besides ours. */
export interface Surroundings {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Standard input: nothing, or a pipe that stays open. */
  readonly input?: "ignore" | "pipe";
}

/** Starts a command. */
export function launch(...args: string[]): Launched {
  return launchIn({}, ...args);
}

/** Starts a command somewhere. */
export function launchIn({ cwd, env, input = "ignore" }: Surroundings, ...args: string[]): Launched {
  const child = spawn(process.execPath, [main, ...args], {
    stdio: [input, "pipe", "pipe"],
    ...(cwd === undefined ? {} : { cwd }),
    env: { ...process.env, ...env },
  });
  let out = "";
  let err = "";
  child.stdout?.on("data", (chunk: Buffer) => (out += chunk.toString()));
  child.stderr?.on("data", (chunk: Buffer) => (err += chunk.toString()));
  const finished = once(child, "close").then(() => ({ code: child.exitCode, out, err }));
  return { child, out: () => out, err: () => err, finished };
}

/** Runs a command to its end. */
export function run(...args: string[]): Promise<Finished> {
  return launch(...args).finished;
}

/** Runs a command somewhere to its end. */
export function runIn(where: Surroundings, ...args: string[]): Promise<Finished> {
  return launchIn(where, ...args).finished;
}
