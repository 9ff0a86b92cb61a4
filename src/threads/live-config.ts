/**
 * The configuration in force, and how it becomes another one while the server runs.
 *
 * Runs on   the main thread; files are read and checked on a thread of their own
 * Owns      the configuration in force, its count, the watch over its files
 * When full one reading at a time; whoever asks meanwhile shares the next one
 * On failure a wrong file changes nothing and is told to whoever asked, and in a notice
 *
 *     a file changes ─┐
 *     SIGHUP ─────────┼─▶ read ▸ check ─▶ wrong: refused, all stays
 *     HTTP, command ──┘                 └▶ good: what is live comes into force, what needs a restart is named
 */
import { isDeepStrictEqual } from "node:util";
import type { CompiledConfig } from "../config/compiled.js";
import type { LoadedConfig } from "../config/load.js";
import { formatProblems, type Problem } from "../config/problems.js";
import type { Reloaded, ReloadFigures } from "../config/reloaded.js";
import { needsRestart, type WrittenValues } from "../config/restart.js";
import { type ConfigReading, readConfig } from "./config-reading.js";
import { FileWatch } from "./file-watch.js";

/** What the configuration's owner does with another one. */
export interface LiveEvents {
  /** `next` is in force from now on; what takes its time is so when the promise resolves. It does not reject. */
  apply(next: CompiledConfig, before: CompiledConfig): Promise<void>;
  notice(line: string): void;
}

/** See the file's header. */
export class LiveConfig {
  readonly #events: LiveEvents;
  readonly #read: (path: string) => Promise<ConfigReading>;
  #config: CompiledConfig;
  #path: string | null = null;
  #written: WrittenValues = {};
  #digest = "";
  #watch: FileWatch | null = null;
  #epoch = 0;
  #applied = 0;
  #refused = 0;
  #stale = false;
  #needsRestart: readonly string[] = [];
  /** The reading under way, and the one that begins after it. */
  #running: Promise<Reloaded> | null = null;
  #following: Promise<Reloaded> | null = null;
  #stopped = false;

  constructor(config: CompiledConfig, events: LiveEvents, read = readConfig) {
    this.#config = config;
    this.#events = events;
    this.#read = read;
  }

  /** The configuration in force. */
  get config(): CompiledConfig {
    return this.#config;
  }

  get figures(): ReloadFigures {
    return {
      epoch: this.#epoch,
      applied: this.#applied,
      refused: this.#refused,
      stale: this.#stale,
      needsRestart: this.#needsRestart.length,
    };
  }

  /**
   * Where the configuration came from: from now on its files are watched.
   * @param readMs when it was read, ms since 1970.
   */
  watch(path: string, loaded: LoadedConfig, digest: string, readMs: number): void {
    this.#path = path;
    this.#written = loaded.written;
    this.#digest = digest;
    this.#watch = new FileWatch(loaded.files, readMs, () => void this.reload("a file of it has changed", false));
  }

  /**
   * Reads the configuration again and puts it into force.
   * @param why for the notice.
   * @param always also when nothing has changed: whoever asks by hand counts on a new epoch.
   */
  reload(why: string, always = true): Promise<Reloaded> {
    if (this.#running === null) {
      this.#running = this.#reload(why, always).finally(() => {
        this.#running = null;
      });
      return this.#running;
    }
    // The reading under way may have begun before what the caller knows of was written.
    this.#following ??= this.#running.then(() => {
      this.#following = null;
      return this.reload(why, always);
    });
    return this.#following;
  }

  /** Looks at the files no more. */
  stop(): void {
    this.#stopped = true;
    this.#watch?.stop();
  }

  async #reload(why: string, always: boolean): Promise<Reloaded> {
    if (this.#path === null) return this.#refuse("this server was started without a configuration file", []);
    const readMs = Date.now();
    const reading = await this.#read(this.#path);
    if (this.#stopped) return this.#refuse("the server is stopping", []);
    if (reading.kind === "wrong") {
      this.#events.notice(`the configuration was read again (${why}) and is wrong, the old one stays in force:`);
      for (const line of reading.reason.split("\n")) this.#events.notice(`  ${line}`);
      return this.#refuse(reading.reason, reading.problems);
    }
    const { loaded, digest } = reading;
    this.#stale = false;
    const unchanged = digest === this.#digest;
    if (!unchanged || always) await this.#apply(loaded, digest, why, unchanged);
    await this.#watch?.follow(loaded.files, readMs);
    return { kind: "applied", epoch: this.#epoch, warnings: loaded.warnings, needsRestart: this.#needsRestart };
  }

  #apply(loaded: LoadedConfig, digest: string, why: string, unchanged: boolean): Promise<void> {
    const before = this.#config;
    this.#config = merged(before, loaded.config);
    this.#digest = digest;
    this.#epoch++;
    this.#applied++;
    this.#needsRestart = needsRestart(this.#written, loaded.written);
    const applied = this.#events.apply(this.#config, before);
    const what = unchanged ? "and has not changed" : "and is in force";
    this.#events.notice(`the configuration was read again (${why}) ${what}, epoch ${this.#epoch}`);
    if (loaded.warnings.length > 0 && !unchanged) {
      for (const line of formatProblems(loaded.warnings).split("\n")) this.#events.notice(`  ${line}`);
    }
    if (this.#needsRestart.length > 0) {
      this.#events.notice(`  changed, but needs a restart: ${this.#needsRestart.join(", ")}`);
    }
    return applied;
  }

  #refuse(reason: string, problems: readonly Problem[]): Reloaded {
    this.#refused++;
    this.#stale = this.#path !== null;
    return { kind: "refused", reason, problems };
  }
}

/** What of another configuration comes into force while the server runs; the rest stays as it was at the start. */
function merged(before: CompiledConfig, next: CompiledConfig): CompiledConfig {
  return {
    ...before,
    sources: next.sources,
    pools: next.pools,
    queues: next.queues,
    shaping: next.shaping,
    dns: next.dns,
    smtpListeners: before.smtpListeners.map((listener, index) => {
      const other = next.smtpListeners[index];
      // One that still listens where it did takes its other options.
      if (other === undefined || !isDeepStrictEqual(listener.listen, other.listen)) return listener;
      // The node's own name is that of the start.
      return other.hostname === next.node.hostname ? { ...other, hostname: before.node.hostname } : other;
    }),
  };
}
