/**
 * Whether mail is taken now, and if not, why: the one list of reasons, for liveness, metrics and notices. Workers read
 * their part of it from the shared flags and counters, and have a reply of its own for each.
 *
 * Runs on   the main thread
 * Owns      the guards of disk and memory, the bits of `SharedState.flags`, a timer, and what was told of (`Restless`)
 * When full nothing here grows
 * On failure nothing can fail; what a guard cannot measure is its own matter
 */
import type { CompiledConfig } from "../config/compiled.js";
import type { Native } from "../native/binding.js";
import { ProcessFlag, type SharedState } from "../protocol/layout/shared-state.js";
import { Counter } from "../protocol/metrics.js";
import { clientRoom } from "../protocol/socket-limits.js";
import type { DescriptorBudget } from "./descriptors.js";
import { DiskGuard } from "./disk-guard.js";
import { MemoryGuard, type MemoryLevel } from "./memory-guard.js";
import { Restless } from "./restless.js";

/** Reasons for taking no mail, in the order in which they are told. */
export const SHED_REASONS = [
  "stopping",
  "starting",
  "memory",
  "disk",
  "spool",
  "log",
  "lag",
  "queue",
  "descriptors",
] as const;
/** See {@link SHED_REASONS}. */
export type ShedReason = (typeof SHED_REASONS)[number];

const LOOK_MS = 1000;
const UNLIMITED: DescriptorBudget = { limit: Number.POSITIVE_INFINITY, sockets: Number.POSITIVE_INFINITY };
const MIB = 1024 * 1024;

/** What health is made of. */
export interface HealthParts {
  readonly config: CompiledConfig;
  readonly shared: SharedState;
  readonly native: Native;
  /** A clock that does not jump. */
  readonly nowMs: () => number;
  readonly notice: (line: string) => void;
  readonly scarce: () => void;
}

/** What health looks like in numbers; bytes and counts, Infinity for no limit. */
export interface HealthFigures {
  readonly reasons: readonly { readonly reason: ShedReason; readonly inForce: boolean }[];
  readonly used: number;
  readonly soft: number;
  readonly low: number;
  readonly files: number;
  readonly sockets: number;
}

/** See the file's header. */
export class Health {
  readonly #shared: SharedState;
  readonly #scarce: () => void;
  readonly #disk: DiskGuard;
  readonly #memory: MemoryGuard;
  readonly #timer: NodeJS.Timeout;
  readonly #told: Restless<ShedReason | "low memory">;
  #starting = true;
  #diskLow: string | null = null;
  #descriptors: DescriptorBudget = UNLIMITED;

  /** @param parts `scarce` is told when memory gets low. */
  constructor({ config, shared, native, nowMs, notice, scarce }: HealthParts) {
    this.#shared = shared;
    this.#told = new Restless(nowMs, notice);
    this.#scarce = scarce;
    this.#disk = new DiskGuard(native, config.spool, [config.spool.path, config.log.dir], (low) => {
      this.#diskLow = low;
      this.#setFlag(ProcessFlag.diskLow, low !== null);
      this.#tell();
    });
    this.#memory = new MemoryGuard(
      config.memory,
      (level) => this.#onMemory(level),
      () => native.trimMemory(),
    );
    this.#timer = setInterval(() => this.#tell(), LOOK_MS);
    this.#timer.unref();
  }

  /** Looks at what no worker knows, before the first client comes. */
  async look(): Promise<void> {
    await Promise.all([this.#disk.look(), this.#memory.look()]);
  }

  /** Everything listens, with so many descriptors for it. */
  started(descriptors: DescriptorBudget): void {
    this.#starting = false;
    this.#descriptors = descriptors;
    if (Number.isFinite(descriptors.sockets)) this.#shared.maxSockets = descriptors.sockets;
  }

  /** No mail is taken any more. */
  stopping(): void {
    this.#setFlag(ProcessFlag.stopping, true);
  }

  /** Why no mail is taken, null when it is. */
  get refusal(): string | null {
    for (const reason of SHED_REASONS) {
      const why = this.#why(reason);
      if (why !== null) return why;
    }
    return null;
  }

  /** In words, whether and why this reason is in force. */
  #why(reason: ShedReason): string | null {
    const shared = this.#shared;
    switch (reason) {
      case "stopping":
        return (shared.flags & ProcessFlag.stopping) !== 0 ? "stopping" : null;
      case "starting":
        return this.#starting ? "starting" : null;
      case "memory":
        return (shared.flags & ProcessFlag.memoryFull) !== 0 ? this.#memoryText("over the soft limit") : null;
      case "disk":
        return this.#diskLow;
      case "spool":
        return shared.sum(Counter.shardsUnhealthy) > 0 ? "the spool is unhealthy" : null;
      case "log":
        return shared.sum(Counter.logsUnwritable) > 0 ? "the event log cannot be written" : null;
      case "lag":
        return shared.sum(Counter.schedulerLagging) > 0 ? "the scheduler lags behind" : null;
      case "queue":
        return shared.messages >= shared.maxMessages ? "too many messages are waiting" : null;
      case "descriptors":
        return clientRoom(shared, 1) !== "served" ? "too many connections for the limit of open files" : null;
    }
  }

  #onMemory(level: MemoryLevel): void {
    const low = (this.#shared.flags & ProcessFlag.memoryLow) !== 0;
    this.#setFlag(ProcessFlag.memoryLow, level !== "enough");
    this.#setFlag(ProcessFlag.memoryFull, level === "full");
    this.#tell();
    if (!low && level !== "enough") this.#scarce();
  }

  #memoryText(how: string): string {
    const { used, soft, from } = this.#memory.state;
    return `memory is ${how}: ${Math.round(used / MIB)} MiB of ${Math.round(soft / MIB)} MiB (${from})`;
  }

  /** Tells of reasons that came or went. A start and a stop speak for themselves. */
  #tell(): void {
    for (const reason of SHED_REASONS) {
      if (reason === "stopping" || reason === "starting") continue;
      const why = this.#why(reason);
      this.#told.look(reason, why === null ? null : `no mail is accepted: ${why}`, OVER[reason]);
    }
    const isLow = (this.#shared.flags & ProcessFlag.memoryLow) !== 0;
    const low = isLow ? `${this.#memoryText("low")}: caches are given up` : null;
    this.#told.look("low memory", low, "memory is sufficient again");
  }

  #setFlag(bit: ProcessFlag, on: boolean): void {
    this.#shared.flags = on ? this.#shared.flags | bit : this.#shared.flags & ~bit;
  }

  /** Everything as numbers, for metrics. */
  get figures(): HealthFigures {
    const { used, soft } = this.#memory.state;
    const { limit, sockets } = this.#descriptors;
    const reasons = SHED_REASONS.map((reason) => ({ reason, inForce: this.#why(reason) !== null }));
    return { reasons, used, soft, low: this.#memory.lowBytes, files: limit, sockets };
  }

  /** No more looking. */
  stop(): void {
    clearInterval(this.#timer);
    this.#disk.stop();
    this.#memory.stop();
  }
}

/** What is said when a reason is gone. */
const OVER = {
  memory: "memory is below the soft limit again",
  disk: "disk space is sufficient again",
  spool: "the spool is healthy again",
  log: "the event log is written again",
  lag: "the scheduler has caught up",
  queue: "the queue has room again",
  descriptors: "connections are below the limit of open files again",
} as const satisfies Record<Exclude<ShedReason, "stopping" | "starting">, string>;
