/**
 * A real program that a test runs: found in the system or where set-up unpacked it, started in a directory of its own,
 * ended by its own process id, also when the test's process is killed.
 *
 * Runs on   the test's thread
 * Owns      the process group, and what it wrote
 * When full output beyond a megabyte is dropped
 * On failure `start` throws with what the program said
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import {
  accessSync,
  chmodSync,
  chownSync,
  constants,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
} from "node:fs";
import { isIPv4 } from "node:net";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { projectRoot } from "../root.js";
import { removeDir } from "../server.js";
import { untestable } from "../untestable.js";

/** A row of `scripts/peers.json`, which says where programs come from. */
interface PeerRow {
  readonly program: string;
  readonly packages: readonly string[];
}

/** Whether tests run as root: programs are then run as somebody else, where they can be. */
export const root: boolean = process.getuid?.() === 0;
/** Who that is: nobody. */
export const NOBODY = 65_534;

const caches = [
  "/var/cache/hikyaku-peers",
  join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "hikyaku-peers"),
];
const MAX_OUTPUT = 1_048_576;
const START_MS = 20_000;
const STOP_MS = 5_000;

/** A program as it can be run. */
export interface FoundProgram {
  readonly path: string;
  /** Folders of libraries that were unpacked with it; it finds them by itself. */
  readonly libraries: readonly string[];
}

/** Finds a program: unpacked by set-up, or the system's. */
export function findProgram(name: string): FoundProgram | null {
  const homes = caches.flatMap((cache) => folders(cache, () => true));
  const system = [...(process.env["PATH"] ?? "").split(":"), "/usr/sbin", "/sbin", "/usr/lib/postfix/sbin"];
  for (const folder of [...homes.map((home) => join(home, "launch")), ...system]) {
    try {
      accessSync(join(folder, name), constants.X_OK);
    } catch {
      continue;
    }
    const home = homes.find((one) => folder.startsWith(one));
    const libraries = home === undefined ? [] : folders(join(home, "usr/lib"), (one) => one.includes("-linux-"));
    return { path: join(folder, name), libraries };
  }
  return null;
}

function folders(path: string, wanted: (name: string) => boolean): string[] {
  return existsSync(path)
    ? readdirSync(path)
        .filter(wanted)
        .map((name) => join(path, name))
    : [];
}

/** Whether programs are here; without one the test says which package brings it, and fails where all must be tested. */
export function present(t: TestContext, ...names: readonly string[]): boolean {
  const missing = names.filter((name) => findProgram(name) === null);
  if (missing.length === 0) return true;
  const rows = JSON.parse(readFileSync(join(projectRoot, "scripts/peers.json"), "utf8")) as PeerRow[];
  const packages = rows.filter((row) => missing.includes(row.program)).flatMap((row) => row.packages);
  return untestable(t, `${missing.join(", ")} missing (Debian: ${packages.join(", ")}; npm test fetches them)`);
}

/** A new directory for a peer, which those it runs as may enter; its owner is `uid`. */
export function peerDir(uid?: number): string {
  const dir = mkdtempSync(join(tmpdir(), "hikyaku-peer-"));
  chmodSync(dir, 0o755);
  if (uid !== undefined && root) chownSync(dir, uid, uid);
  return dir;
}

/** The port that every peer listens on, each at an address of its own. */
export const PEER_PORT = 2525;
let addresses = 0;

/** A loopback address that nobody else on this machine uses: it is made of our process id. Linux has all of 127/8. */
export function ownAddress(): string {
  const pid = process.pid % 65_536;
  if (++addresses > 190) throw new Error("190 peers in one test file");
  return `127.${63 + addresses}.${pid >> 8}.${pid & 255}`;
}

/** How to start a program. */
export interface ProgramOptions {
  readonly args: readonly string[];
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** User and group, by number, when tests run as root. */
  readonly uid?: number;
  /** Started when it listens here; */
  readonly listens?: { readonly host: string; readonly port: number };
  /** or when its output says so. */
  readonly says?: RegExp;
  /** Other places in which it writes what it does; part of {@link Program.log}. */
  readonly logs?: readonly string[];
}

/** See the file's header. */
export class Program {
  readonly name: string;
  readonly #child: ChildProcess;
  readonly #guard: ChildProcess | null;
  readonly #logs: readonly string[];
  #output = "";

  private constructor(name: string, child: ChildProcess, logs: readonly string[]) {
    this.name = name;
    this.#child = child;
    this.#logs = logs;
    this.#guard = child.pid === undefined ? null : guardFor(child.pid);
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (chunk: Buffer) => {
        if (this.#output.length < MAX_OUTPUT) this.#output += chunk.toString("latin1");
      });
    }
  }

  /** Starts a program that {@link findProgram} finds and waits until it is ready. */
  static async start(program: FoundProgram, options: ProgramOptions): Promise<Program> {
    const user = root && options.uid !== undefined ? { uid: options.uid, gid: options.uid } : {};
    const child = spawn(program.path, options.args, {
      // A process group of its own, so that its children end with it.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      cwd: options.cwd ?? "/",
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", ...options.env },
      ...user,
    });
    const running = new Program(program.path, child, options.logs ?? []);
    const failed = once(child, "error").then(([error]) => Promise.reject(error));
    try {
      await Promise.race([running.#ready(options), failed]);
    } catch (error) {
      const log = running.log;
      await running.stop();
      throw new Error(`${program.path} did not start: ${error instanceof Error ? error.message : error}\n${log}`);
    }
    return running;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null && this.#child.pid !== undefined;
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** What it said so far, on its output and in its logs. */
  get log(): string {
    const files = this.#logs.filter((path) => existsSync(path)).map((path) => readFileSync(path, "latin1"));
    return [this.#output, ...files].join("");
  }

  async #ready(options: ProgramOptions): Promise<void> {
    const limit = performance.now() + START_MS;
    for (;;) {
      if (!this.running) throw new Error("it ended");
      if (performance.now() > limit) throw new Error("it was not ready in time");
      const said = options.says === undefined || options.says.test(this.log);
      if (said && (options.listens === undefined || listening(options.listens))) return;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }

  /** Ends it, with its children; after five seconds by force. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.running) {
      const gone = once(this.#child, "exit");
      this.#child.kill(signal);
      const force = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS);
      await gone;
      clearTimeout(force);
    }
    this.#guard?.kill("SIGKILL");
    if (this.pid === 0) return;
    try {
      process.kill(-this.pid, "SIGKILL");
    } catch {
      // Nobody is left in its group.
    }
  }
}

/**
 * Ends a process group when we are gone, whatever becomes of us: it waits for the end of a pipe that only we hold. A
 * death signal of the kernel's would not do, for Postfix loses it when it changes its user.
 */
function guardFor(group: number): ChildProcess {
  const script = 'read -r _; kill -s KILL -- "-$0"';
  return spawn("sh", ["-c", script, `${group}`], { detached: true, stdio: ["pipe", "ignore", "ignore"] });
}

/**
 * Whether somebody listens there, by the kernel's table: a connection to try would be counted, logged and answered by
 * the program under test.
 */
export function listening(where: { readonly host: string; readonly port: number }): boolean {
  const port = where.port.toString(16).toUpperCase().padStart(4, "0");
  // Address bytes are in the machine's order: the last one first.
  const bytes = isIPv4(where.host) ? where.host.split(".").reverse() : [];
  const host = bytes.map((byte) => Number(byte).toString(16).toUpperCase().padStart(2, "0")).join("");
  const table = isIPv4(where.host) ? "/proc/net/tcp" : "/proc/net/tcp6";
  return new RegExp(`^\\s*\\d+: ${host}[0-9A-F]*:${port} [0-9A-F]+:0000 0A `, "m").test(readFileSync(table, "latin1"));
}

/** Stops what a test started, last first, and removes a directory, when the test has ended. */
export function cleanUp(t: TestContext, dir: string, stop: () => Promise<void>): void {
  t.after(async () => {
    await stop();
    removeDir(dir);
  });
}
