import { type Random, randomInt } from "../../src/base/random.js";
import type { PathConfig, PoolConfig, QueueConfig } from "../../src/config/compiled.js";
import type { Route } from "../../src/protocol/messages.js";
import type { QueueName } from "../../src/protocol/queue-name.js";
import type { Policy, Router } from "../../src/scheduler/ports.js";
import { pathConfig, queueConfig } from "../scheduler/support.js";

const POOLS: Readonly<Record<string, readonly number[]>> = {
  unspecified: [1],
  pair: [3, 1],
  many: [1, 2, 0, 5],
  empty: [0],
};

/** A configuration made up from a seed: every queue and path has options of its own, small enough to be met. */
export class FakePolicy implements Policy {
  readonly #random: Random;
  readonly #queues = new Map<string, QueueConfig>();
  readonly #paths = new Map<string, PathConfig>();

  constructor(random: Random) {
    this.#random = random;
  }

  queue(name: QueueName): QueueConfig {
    return this.byName(`${name.campaign}:${name.tenant}@${name.domain}`);
  }

  byName(name: string): QueueConfig {
    let config = this.#queues.get(name);
    if (config === undefined) {
      const random = this.#random;
      const pools = Object.keys(POOLS);
      const pool = random.next() < 0.03 ? "empty" : (pools[randomInt(random, 0, 2)] as string);
      config = queueConfig({
        retryIntervalMs: randomInt(random, 1, 60) * 1000,
        maxRetryIntervalMs: random.next() < 0.5 ? 120_000 : null,
        maxAgeMs: randomInt(random, 300, 7200) * 1000,
        reapIntervalMs: randomInt(random, 5, 60) * 1000,
        egressPool: pool,
        priority: randomInt(random, 0, 2),
        weight: randomInt(random, 1, 3),
        protocol: random.next() < 0.04 ? { kind: "null" } : { kind: "smtp", mxList: null, listSecure: false },
      });
      this.#queues.set(name, config);
    }
    return config;
  }

  path(_domain: string, source: string, site: string): PathConfig {
    const key = `${source}/${site}`;
    let config = this.#paths.get(key);
    if (config === undefined) {
      const random = this.#random;
      config = pathConfig({
        connectionLimit: randomInt(random, 1, 8),
        maxDeliveriesPerConnection: randomInt(random, 1, 20),
        maxReady: randomInt(random, 1, 50),
        consecutiveConnectionFailuresBeforeDelay: randomInt(random, 0, 3),
        idleTimeoutMs: randomInt(random, 1, 10) * 1000,
      });
      this.#paths.set(key, config);
    }
    return config;
  }

  pool(name: string): PoolConfig {
    const weights = POOLS[name] ?? [];
    return { name, entries: weights.map((weight, at) => ({ name: `${name}-${at}`, weight })) };
  }

  source(name: string) {
    return { name, sourceAddress: null, ehloDomain: null, remotePort: null, proxy: null };
  }
}

/** Routes that change: domains move between sites, vanish, fail; answers come at once or later. */
export class FakeRouter implements Router {
  readonly #random: Random;
  readonly #sites: number;
  #late: (() => void)[] = [];
  /** From now on every domain has hosts. */
  calm = false;

  constructor(random: Random, sites: number) {
    this.#random = random;
    this.#sites = sites;
  }

  route(queue: QueueName, _config: QueueConfig, answer: (route: Route) => void): void {
    if (this.#random.next() < 0.3) answer(this.#answer(queue));
    else this.#late.push(() => answer(this.#answer(queue)));
  }

  /** Gives some of the answers that are still owed; returns how many. */
  step(): number {
    const batch = this.calm ? this.#late : this.#late.filter(() => this.#random.next() < 0.5);
    this.#late = this.#late.filter((late) => !batch.includes(late));
    for (const late of batch) late();
    return batch.length;
  }

  #answer(queue: QueueName): Route {
    const random = this.#random;
    const ttlMs = [0, 5000, 60_000, Number.POSITIVE_INFINITY][randomInt(random, 0, this.calm ? 2 : 3)] as number;
    const dice = this.calm ? 1 : random.next();
    if (dice < 0.02) return { kind: "null-mx", ttlMs };
    if (dice < 0.04) return { kind: "no-such-domain", ttlMs };
    if (dice < 0.14) return { kind: "failed", reason: "no answer", ttlMs };
    const moved = random.next() < 0.1 ? 1 : 0;
    const site = ((queue.domain.length * 7 + queue.domain.charCodeAt(1) + moved) % this.#sites) + 1;
    // Two host sets whose names print alike.
    const twin = random.next() < 0.05 ? "'" : "";
    return {
      kind: "hosts",
      site: `site${site}`,
      key: `site${site}${twin}`,
      hosts: [],
      explicit: false,
      sts: "none",
      secure: false,
      ttlMs,
    };
  }
}
