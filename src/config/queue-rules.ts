import type { QueueConfig, QueueRule } from "./compiled.js";
import { QUEUE_DEFAULTS } from "./queue-settings.js";

/** A queue as the rules see it. */
export interface QueueIdentity {
  /** Lower case. */
  readonly domain: string;
  readonly tenant: string | null;
  readonly campaign: string | null;
}

/** Most combinations of rules that are remembered; a full memory is emptied, for the answers are cheap to make again. */
const MAX_REMEMBERED = 4096;

/**
 * The `[[queue]]` rules: the first match wins, missing keys come from the next match, and what no rule gives from the
 * built-in defaults. Queues that meet the same rules share one object.
 */
export class QueueRules {
  readonly #rules: readonly QueueRule[];
  readonly #made = new Map<string, QueueConfig>();

  constructor(rules: readonly QueueRule[]) {
    this.#rules = rules;
  }

  /** The options of one queue, complete. Linear in the number of rules: callers keep the answer with the queue. */
  resolve(queue: QueueIdentity): QueueConfig {
    const numbers: number[] = [];
    for (const [number, rule] of this.#rules.entries()) if (matches(rule, queue)) numbers.push(number);
    const key = numbers.join();
    let config = this.#made.get(key);
    if (config === undefined) {
      if (this.#made.size >= MAX_REMEMBERED) this.#made.clear();
      // Merged from the last match to the first, so that the first one has the last word.
      config = QUEUE_DEFAULTS;
      for (const number of numbers.reverse()) config = { ...config, ...this.#rules[number]?.options };
      this.#made.set(key, config);
    }
    return config;
  }
}

function matches(rule: QueueRule, queue: QueueIdentity): boolean {
  return (
    (rule.domain === "*" || rule.domain === queue.domain) &&
    (rule.tenant === "*" || rule.tenant === queue.tenant) &&
    (rule.campaign === "*" || rule.campaign === queue.campaign)
  );
}
