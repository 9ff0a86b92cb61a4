/**
 * A process of the bench: one command of this program, started, waited for, stopped.
 *
 * Runs on   the bench's main thread
 * Owns      the child and the file of its output
 * When full output goes to a file, nothing is kept in memory
 * On failure a child that ends before its time is a fault with the end of its output; one that does not stop is killed
 */
import { type ChildProcess, spawn } from "node:child_process";
import { closeSync, openSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Fault } from "../../base/fault.js";

const POLL_MS = 20;
const START_MS = 30_000;
const STOP_MS = 15_000;
const TAIL_CHARS = 2000;

/** How to start a command of this program: the interpreter's arguments before the command's own. */
export interface Program {
  readonly file: string;
  readonly args: readonly string[];
}

/** See the file's header. */
export class Child {
  readonly name: string;
  /** Where its output goes. */
  readonly outputFile: string;
  readonly #process: ChildProcess;
  readonly #readyFile: string;
  readonly #ended: Promise<void>;
  #exitCode: number | null = null;
  #over = false;

  /** Starts `program` with `args`; in `directory` it leaves `NAME.out` and, when it is asked to, `NAME.ready`. */
  constructor(name: string, program: Program, args: readonly string[], directory: string) {
    this.name = name;
    this.outputFile = join(directory, `${name}.out`);
    this.#readyFile = join(directory, `${name}.ready`);
    rmSync(this.#readyFile, { force: true });
    const output = openSync(this.outputFile, "a");
    const written = args.map((arg) => (arg === Child.READY ? this.#readyFile : arg));
    this.#process = spawn(program.file, [...program.args, ...written], { stdio: ["pipe", output, output] });
    // Who ends before it has read everything is told apart by its exit status.
    this.#process.stdin?.on("error", () => {});
    closeSync(output);
    this.#ended = new Promise((resolve) => {
      const over = (code: number | null) => {
        this.#over = true;
        this.#exitCode = code;
        resolve();
      };
      this.#process.once("error", () => over(null));
      this.#process.once("exit", over);
    });
  }

  /** Stands for the name of the ready file among the arguments. */
  static readonly READY = "{ready-file}";

  /** The process's id; 0 when it could not be started. */
  get pid(): number {
    return this.#process.pid ?? 0;
  }

  /** Says a line to its standard input. */
  say(line: string): void {
    this.#process.stdin?.write(`${line}\n`);
  }

  /**
   * Waits for the ready file and gives what it holds.
   * @throws {Fault} `worker.lost` when the process ends or does not get ready in `limitMs`.
   */
  async ready(limitMs = START_MS, signal?: AbortSignal): Promise<unknown> {
    const deadline = performance.now() + limitMs;
    while (performance.now() < deadline) {
      this.check();
      signal?.throwIfAborted();
      try {
        return JSON.parse(readFileSync(this.#readyFile, "utf8"));
      } catch {
        await sleep(POLL_MS);
      }
    }
    throw this.#fault("did not get ready");
  }

  /** @throws {Fault} `worker.lost` when the process has ended. */
  check(): void {
    if (this.#over) throw this.#fault(`ended with status ${this.#exitCode}`);
  }

  /** Waits for the end and gives the exit status; null for a signal. */
  async end(): Promise<number | null> {
    await this.#ended;
    return this.#exitCode;
  }

  /** What it has printed. */
  output(): string {
    return readFileSync(this.outputFile, "utf8");
  }

  /** Asks it to stop, waits, and kills it when it does not. */
  async stop(): Promise<void> {
    if (this.#over) return;
    this.#process.kill("SIGTERM");
    const timer = setTimeout(() => this.#process.kill("SIGKILL"), STOP_MS);
    await this.#ended;
    clearTimeout(timer);
  }

  #fault(what: string): Fault {
    return new Fault("worker.lost", `the ${this.name} ${what}: ${this.output().slice(-TAIL_CHARS).trim()}`);
  }
}
