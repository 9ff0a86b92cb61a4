import { type Random, randomInt } from "../../src/base/random.js";
import type { Rate } from "../../src/base/units.js";
import type { PathConfig, PoolConfig, QueueConfig, SourceConfig } from "../../src/config/compiled.js";
import type { Route } from "../../src/protocol/messages.js";
import type { QueueName } from "../../src/protocol/queue-name.js";
import type { Policy, Router } from "../../src/scheduler/ports.js";
import { pathConfig, queueConfig } from "../scheduler/support.js";

/** Most recipients that any path of a made-up configuration puts into a transaction. */
export const MAX_BATCH = 6;

const POOLS: Readonly<Record<string, readonly number[]>> = {
  unspecified: [1],
  pair: [3, 1],
  many: [1, 2, 0, 5],
  empty: [0],
};

/** Limits that several paths share. */
const SHARED = ["north", "south"];

/**
 * A configuration made up from a seed: every queue and path has options of its own, small enough to be met. A reload
 * makes up others; what a queue's retries go by stays, for the world counts on it.
 */
export class FakePolicy implements Policy {
  readonly #random: Random;
  readonly #retries = new Map<string, Partial<QueueConfig>>();
  readonly #queues = new Map<string, QueueConfig>();
  readonly #paths = new Map<string, PathConfig>();
  readonly #sources = new Map<string, SourceConfig>();
  #pools = new Map(Object.entries(POOLS));

  constructor(random: Random) {
    this.#random = random;
  }

  /** Another configuration: some queues and paths with other options, other pools, sources that come and go. */
  reload(): void {
    const random = this.#random;
    for (const known of [this.#queues, this.#paths, this.#sources]) {
      for (const name of [...known.keys()]) if (random.next() < 0.5) known.delete(name);
    }
    this.#pools = new Map(
      Object.entries(POOLS).map(([name, weights]) => [
        name,
        weights.map((weight) => (random.next() < 0.3 ? randomInt(random, 0, 3) : weight)),
      ]),
    );
    // No configuration for ever without a way out.
    this.#pools.set("unspecified", [1]);
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
        ...this.#retriesOf(name),
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

  #retriesOf(name: string): Partial<QueueConfig> {
    let retries = this.#retries.get(name);
    if (retries === undefined) {
      const random = this.#random;
      retries = {
        retryIntervalMs: randomInt(random, 1, 60) * 1000,
        maxRetryIntervalMs: random.next() < 0.5 ? 120_000 : null,
        maxAgeMs: randomInt(random, 300, 7200) * 1000,
      };
      this.#retries.set(name, retries);
    }
    return retries;
  }

  standsAlone(): boolean {
    return false;
  }

  path(_domain: string, source: string, site: string): PathConfig {
    const key = `${source}/${site}`;
    let config = this.#paths.get(key);
    if (config === undefined) {
      const random = this.#random;
      const maybe = (written: () => Rate): Rate | null => (random.next() < 0.2 ? written() : null);
      const some = (): Rate => ({
        quantity: randomInt(random, 1, 20),
        periodSeconds: randomInt(random, 1, 10),
        maxBurst: randomInt(random, 1, 5),
        local: false,
      });
      config = pathConfig({
        connectionLimit: randomInt(random, 1, 8),
        additionalConnectionLimits: Object.fromEntries(
          SHARED.filter(() => random.next() < 0.2).map((name) => [name, randomInt(random, 1, 6)]),
        ),
        maxConnectionRate: maybe(some),
        sourceSelectionRate: maybe(some),
        additionalSourceSelectionRates: random.next() < 0.1 ? { shared: { ...some(), periodSeconds: 1 } } : {},
        maxDeliveriesPerConnection: randomInt(random, 1, 20),
        maxRecipientsPerBatch: randomInt(random, 1, MAX_BATCH),
        maxReady: randomInt(random, 1, 50),
        consecutiveConnectionFailuresBeforeDelay: randomInt(random, 0, 3),
        idleTimeoutMs: randomInt(random, 1, 10) * 1000,
        smtpPort: randomInt(random, 25, 27),
      });
      this.#paths.set(key, config);
    }
    return config;
  }

  pool(name: string): PoolConfig {
    const weights = this.#pools.get(name) ?? [];
    return { name, entries: weights.map((weight, at) => ({ name: `${name}-${at}`, weight })) };
  }

  source(name: string): SourceConfig | null {
    const [pool, at] = name.split("-");
    // As a reload of the real one refuses: a source that a pool names exists.
    if ((this.#pools.get(pool as string)?.[Number(at)] ?? 0) === 0) return null;
    let source = this.#sources.get(name);
    if (source === undefined) {
      const random = this.#random;
      const suspends =
        random.next() < 0.5
          ? { failures: randomInt(random, 1, 3), periodMs: 10_000, durationMs: randomInt(random, 1, 60) * 1000 }
          : null;
      source = {
        name,
        sourceAddress: null,
        ehloDomain: null,
        remotePort: random.next() < 0.2 ? 2525 : null,
        proxy: null,
        freeBind: false,
        suspendWhenUnplumbed: suspends,
        suspendWhenProxyUnhealthy: suspends,
      };
      this.#sources.set(name, source);
    }
    return source;
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
