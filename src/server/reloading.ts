import { isDeepStrictEqual } from "node:util";
import { Fault } from "../base/fault.js";
import type { CompiledConfig } from "../config/compiled.js";
import type { LivePolicy } from "../config/live-policy.js";
import type { MxRouter } from "../dns/router.js";
import { SiteRollup } from "../dns/site-rollup.js";
import type { DownMessage } from "../protocol/messages.js";
import type { Scheduler } from "../scheduler/scheduler.js";
import { LiveConfig } from "../threads/live-config.js";
import type { Supervisor } from "../threads/supervisor.js";
import type { ServerEvents } from "./events.js";

/** When a worker whose ring was full, or which is being replaced, is told again. */
const TELL_AGAIN_MS = 50;

/** Whom a reload concerns. */
export interface Reloadable {
  readonly config: CompiledConfig;
  readonly events: ServerEvents;
  readonly policy: LivePolicy;
  readonly router: MxRouter;
  /** Made later than the configuration. */
  readonly scheduler: () => Scheduler;
  readonly supervisor: () => Supervisor;
  /** Has the scheduler take a turn. */
  readonly wake: () => void;
}

/**
 * What it is:  what a reload changes where: policy, routes, scheduler, workers.
 * Runs on:     the main thread.
 * Owns:        the configuration in force; the look-ups of shaping blocks' sites; what workers are still to be told.
 * When full:   one order for each worker at most: a newer one takes its place.
 * On failure:  what has become wrong between its check and its use is noticed, and the old part stays.
 */
export class Reloading {
  readonly live: LiveConfig;
  readonly #parts: Reloadable;
  #rollup: SiteRollup;
  #untold = new Set<number>();
  #timer: NodeJS.Timeout | null = null;
  #stopped = false;

  constructor(parts: Reloadable) {
    const { config, policy, router, events } = parts;
    this.#parts = parts;
    this.#rollup = new SiteRollup(policy, router);
    policy.onLearnt = () => this.#renew();
    this.live = new LiveConfig(config, {
      apply: (next, before) => this.#apply(next, before),
      notice: (line) => events.notice(line),
    });
  }

  stop(): void {
    this.#stopped = true;
    this.live.stop();
    this.#rollup.stop();
    if (this.#timer !== null) clearTimeout(this.#timer);
  }

  /** Resolves when DNS is asked as `next` says, too: a large zone file is read in small steps. */
  async #apply(next: CompiledConfig, before: CompiledConfig): Promise<void> {
    this.#parts.policy.swap(next);
    this.#lookAgain();
    this.#tellAll(next);
    // The digest of the zone file's content is part of it.
    if (isDeepStrictEqual(next.dns, before.dns)) return;
    try {
      if (await this.#parts.router.reconfigure(next.dns)) this.#lookAgain();
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.#parts.events.notice(`dns: ${error.message}`);
    }
  }

  #lookAgain(): void {
    if (this.#stopped) return;
    const { policy, router } = this.#parts;
    this.#rollup.stop();
    this.#rollup = new SiteRollup(policy, router);
    this.#renew();
  }

  #tellAll(next: CompiledConfig): void {
    for (let worker = 0; worker < next.threads.workers; worker++) this.#untold.add(worker);
    this.#tell();
  }

  #renew(): void {
    this.#parts.scheduler().reconfigure();
    this.#parts.wake();
  }

  /** Workers hear of listeners and name servers; of paths they hear when they open a session. */
  #tell(): void {
    const { smtpListeners, dns } = this.live.config;
    const order: DownMessage = { kind: "reconfigure", listeners: smtpListeners, dns };
    for (const worker of [...this.#untold]) {
      if (this.#parts.supervisor().tell(worker, order)) this.#untold.delete(worker);
    }
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = this.#untold.size === 0 ? null : setTimeout(() => this.#tell(), TELL_AGAIN_MS);
  }
}
