import type { Route } from "../protocol/messages.js";
import type { Core } from "./core.js";
import type { Router } from "./ports.js";
import type { ScheduledQueue } from "./scheduled-queue.js";
import type { Withdrawal } from "./withdrawal.js";

/** An answer of the router that waits for the next turn. */
interface Noted {
  readonly queue: ScheduledQueue;
  readonly route: Route;
}

/** An answer is used for this long at least, or a time to live of 0 would ask for each message. */
const MIN_TTL_MS = 1000;

/**
 * What it is:  where each queue's mail goes: questions to the router, and what its answers change.
 * Runs on:     the scheduler's thread; answers may come at any time and are only noted, unless a queue's first is known.
 * Owns:        the noted answers.
 * When full:   one question per queue at a time.
 * On failure:  an answer of kind `failed` is used like any other until its time is over.
 */
export class Routes {
  readonly #core: Core;
  readonly #router: Router;
  readonly #withdrawal: Withdrawal;
  #noted: Noted[] = [];
  /** Scratch: the answer to the first question of a queue when it comes at once. */
  #atOnce: Route | null = null;
  #asking: ScheduledQueue | null = null;

  constructor(core: Core, router: Router, withdrawal: Withdrawal) {
    this.#core = core;
    this.#withdrawal = withdrawal;
    this.#router = router;
  }

  /** Answers that wait for the next turn. */
  get pending(): number {
    return this.#noted.length;
  }

  /**
   * The queue's route; null, and the queue is on hold, while it must be waited for. When known hosts have outlived their
   * time they are asked for again, and used until the answer is here.
   */
  of(queue: ScheduledQueue): Route | null {
    const { route } = queue;
    if (route !== null && this.#core.nowMs < queue.routeUntilMs) return route;
    if (!queue.asking) {
      const answer = this.#ask(queue);
      if (answer !== null) return answer;
    }
    if (route?.kind === "hosts") return route;
    queue.hold = "route";
    return null;
  }

  /** Asks; returns the answer when it is a queue's first and is known: then it has no lanes that could be wrong. */
  #ask(queue: ScheduledQueue): Route | null {
    queue.asking = true;
    if (queue.route === null) this.#asking = queue;
    this.#router.route(queue.parts, queue.config, (route) => {
      if (this.#asking === queue) this.#atOnce = route;
      else this.#noted.push({ queue, route });
    });
    const route = this.#atOnce;
    this.#asking = null;
    this.#atOnce = null;
    if (route !== null) this.#accept(queue, route);
    return route;
  }

  /** Puts at most `max` noted answers into force; returns how many. */
  apply(max: number): number {
    if (this.#noted.length === 0) return 0;
    const batch = this.#noted.splice(0, max);
    for (const { queue, route } of batch) if (!queue.gone) this.#apply(queue, route);
    return batch.length;
  }

  #apply(queue: ScheduledQueue, route: Route): void {
    if (queue.askAgain) {
      // A reload has changed what is to be asked. What is due asks anew.
      queue.asking = false;
      queue.askAgain = false;
    } else this.#accept(queue, route);
    if (queue.hold === "route") queue.hold = "none";
    if (queue.due.length > 0 && queue.hold === "none") this.#core.agenda.promotable.ensure(queue.agendaLink);
  }

  #accept(queue: ScheduledQueue, route: Route): void {
    queue.asking = false;
    queue.route = route;
    queue.routeUntilMs = this.#core.nowMs + Math.max(MIN_TTL_MS, route.ttlMs);
    // A failure to ask does not make the old hosts worse: what is ready stays ready.
    if (route.kind === "failed") return;
    const key = route.kind === "hosts" ? route.key : "";
    // Without hosts there were no lanes.
    if (queue.lanesKey !== key && queue.lanesKey !== "") this.#withdrawal.queue(queue);
    queue.lanesKey = key;
  }
}
