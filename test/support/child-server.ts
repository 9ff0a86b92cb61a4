import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "./server.js";

const main = new URL("../../src/cli/main.js", import.meta.url).pathname;

/** A server in a process of its own, whose failures a test can order. */
export class ChildServer {
  readonly dir: string;
  readonly process: ChildProcess;
  /** What it wrote to stderr so far. */
  words = "";
  port = 0;
  http = "";

  private constructor(dir: string, process: ChildProcess) {
    this.dir = dir;
    this.process = process;
    process.stderr?.on("data", (chunk: Buffer) => {
      this.words += chunk.toString();
    });
  }

  /**
   * Starts a server with the configuration in `dir`. `wrap` is put in front of its command line, for namespaces; it must
   * `exec` what follows, so that the process is the server.
   */
  static async start(dir: string, wrap: readonly string[] = []): Promise<ChildServer> {
    const ready = join(dir, "ready.json");
    rmSync(ready, { force: true });
    const line = [process.execPath, main, "start", "--config", join(dir, "hikyaku.toml"), "--ready-file", ready];
    const [command, ...rest] = [...wrap, ...line, "--no-events"];
    const child = spawn(command as string, rest, {
      stdio: ["ignore", "ignore", "pipe"],
      env: { ...process.env, HIKYAKU_FAULTS: join(dir, "faults") },
    });
    const server = new ChildServer(dir, child);
    await until(() => existsSync(ready) || child.exitCode !== null, "the server");
    if (child.exitCode !== null) throw new Error(`the server ended: ${server.words}`);
    const where = JSON.parse(readFileSync(ready, "utf8")) as { smtp: { port: number }[]; http: { port: number }[] };
    server.port = where.smtp[0]?.port ?? 0;
    server.http = `http://127.0.0.1:${where.http[0]?.port}`;
    return server;
  }

  /** Puts these failures in force, and no others. */
  order(...lines: readonly string[]): void {
    writeFileSync(join(this.dir, "faults"), `${lines.join("\n")}\n`);
  }

  /** The status of the liveness check. */
  async liveness(): Promise<number> {
    return (await fetch(`${this.http}/api/check-liveness/v1`)).status;
  }

  /** The value of a metric's only series, or of the one with these labels as printed. */
  async metric(name: string): Promise<number> {
    const [value] = await this.metrics(name);
    return value as number;
  }

  /** The values of several, of one moment. */
  async metrics(...names: readonly string[]): Promise<number[]> {
    const lines = (await (await fetch(`${this.http}/metrics`)).text()).split("\n");
    return names.map((name) => {
      const line = lines.find((one) => one.startsWith(`${name} `));
      if (line === undefined) throw new Error(`no metric ${name}`);
      return Number(line.slice(name.length + 1));
    });
  }

  async stop(): Promise<void> {
    const gone = once(this.process, "exit");
    this.process.kill("SIGTERM");
    await gone;
  }

  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = once(this.process, "exit");
    this.process.kill("SIGKILL");
    await gone;
  }
}
