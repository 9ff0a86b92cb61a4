import { Chain } from "./links.js";
import type { ScheduledQueue } from "./scheduled-queue.js";

/** Queues of one reap interval. */
interface SameInterval {
  readonly intervalMs: number;
  readonly chain: Chain<ScheduledQueue>;
}

/**
 * Queues without messages, the one that has been empty longest first, in one chain for each reap interval: so the first
 * of each chain is the next to go, and nothing is sorted. There are as many chains as the configuration has intervals.
 */
export class EmptyQueues {
  readonly #intervals: SameInterval[] = [];

  get length(): number {
    let length = 0;
    for (let i = 0; i < this.#intervals.length; i++) length += this.#intervals[i].chain.length;
    return length;
  }

  /** Adds a queue whose last message has left just now. It leaves by its `emptyLink`. */
  add(queue: ScheduledQueue): void {
    this.#chainOf(queue.config.reapIntervalMs).append(queue.emptyLink);
  }

  /** When the first one has been empty for its reap interval; Infinity when there is none. */
  nextMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (let i = 0; i < this.#intervals.length; i++) {
      const { chain, intervalMs } = this.#intervals[i];
      if (chain.first !== null) next = Math.min(next, chain.first.owner.emptySinceMs + intervalMs);
    }
    return next;
  }

  /** A queue that has been empty for its reap interval; null when there is none. */
  due(nowMs: number): ScheduledQueue | null {
    for (let i = 0; i < this.#intervals.length; i++) {
      const { chain, intervalMs } = this.#intervals[i];
      if (chain.first !== null && chain.first.owner.emptySinceMs + intervalMs <= nowMs) return chain.first.owner;
    }
    return null;
  }

  /** The queue that has been empty longest; null when there is none. */
  longest(): ScheduledQueue | null {
    let longest: ScheduledQueue | null = null;
    for (let i = 0; i < this.#intervals.length; i++) {
      const first = this.#intervals[i].chain.first?.owner ?? null;
      if (first !== null && (longest === null || first.emptySinceMs < longest.emptySinceMs)) longest = first;
    }
    return longest;
  }

  #chainOf(intervalMs: number): Chain<ScheduledQueue> {
    for (let i = 0; i < this.#intervals.length; i++) {
      if (this.#intervals[i].intervalMs === intervalMs) return this.#intervals[i].chain;
    }
    const chain = new Chain<ScheduledQueue>();
    this.#intervals.push({ intervalMs, chain });
    return chain;
  }
}
