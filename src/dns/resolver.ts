/**
 * The resolver: static zone, cache, name servers in turn; aliases followed; one question at a time per name and type.
 * Runs on: any thread; each thread has its own.
 * Owns: the cache, and the questions under way.
 * When full: beyond `maxConcurrent` questions wait, beyond `maxWaiting` they fail with `dns.busy`.
 * On failure: a failure is an answer too (`failed`), kept for a minute; no lookup ever rejects.
 */
import type { Clock } from "../base/clock.js";
import { type Random, randomInt } from "../base/random.js";
import type { ListenAddress } from "../config/compiled.js";
import { TtlCache } from "./cache.js";
import type { Exchange } from "./exchange.js";
import { interpret, MAX_ALIASES } from "./interpret.js";
import { canonicalName, failure, type Lookup, MAX_NEGATIVE_TTL_MS, type RecordType, type Step } from "./lookup.js";
import { type Meter, NO_METER } from "./meter.js";
import { ServerTraits } from "./server-traits.js";
import type { StaticZone } from "./static-zone.js";

/** Questions under way at once, unless configured. */
export const MAX_CONCURRENT = 128;
/** Questions that wait for their turn, unless configured. */
export const MAX_WAITING = 16_384;
const DEFAULT_CACHE_ENTRIES = 65_536;

/** Tries per question: at least two, so that one lost packet is no failure; at most one for each of four servers. */
const MIN_TRIES = 2;
const MAX_TRIES = 4;

/** What a resolver is made of. */
export interface ResolverOptions {
  readonly clock: Clock;
  /** For the numbers of questions: unpredictable outside of tests. */
  readonly random: Random;
  readonly exchange: Exchange;
  /** At least one. */
  readonly servers: readonly ListenAddress[];
  /** For one question, all tries together. */
  readonly timeoutMs: number;
  /** Whether the servers' AD bit is asked for and believed. */
  readonly trustAuthentic?: boolean;
  readonly zone?: StaticZone | null;
  readonly cacheEntries?: number;
  readonly maxConcurrent?: number;
  readonly maxWaiting?: number;
  /** Longest life of a negative answer. */
  readonly negativeTtlMs?: number;
  readonly meter?: Meter;
}

/** Looks names up. */
export class Resolver {
  readonly #options: ResolverOptions;
  readonly #meter: Meter;
  readonly #traits: ServerTraits;
  readonly #cache: TtlCache<Step>;
  readonly #underWay = new Map<string, Promise<Step>>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;
  #turn = 0;

  constructor(options: ResolverOptions) {
    this.#options = options;
    this.#meter = options.meter ?? NO_METER;
    this.#traits = new ServerTraits(options.random);
    this.#cache = new TtlCache(options.clock, options.cacheEntries ?? DEFAULT_CACHE_ENTRIES);
  }

  /** Questions under way or waiting. */
  get inProgress(): number {
    return this.#underWay.size;
  }

  /** Looks up the records of a name. Never rejects. */
  async lookup(name: string, type: RecordType): Promise<Lookup> {
    const first = canonicalName(name);
    if (first === null) return { kind: "nxdomain", ttlMs: MAX_NEGATIVE_TTL_MS, authentic: false };
    const seen = new Set<string>();
    let at = first;
    let lifeMs = Number.POSITIVE_INFINITY;
    let authentic = true;
    while (seen.size <= MAX_ALIASES && !seen.has(at)) {
      seen.add(at);
      const step = this.#options.zone?.lookup(at, type) ?? (await this.#cached(at, type));
      if (step.kind !== "alias") return shortened(step, lifeMs, authentic);
      lifeMs = Math.min(lifeMs, step.ttlMs);
      authentic = authentic && step.authentic;
      at = step.target;
    }
    this.#meter.failed("dns.loop");
    const what = seen.has(at) ? "aliases in a circle" : `more than ${MAX_ALIASES} aliases`;
    return failure("dns.loop", `${what} behind ${first}`);
  }

  /** Whether the static zone has the answer to this question. */
  isStatic(name: string, type: RecordType): boolean {
    const asked = canonicalName(name);
    return asked !== null && (this.#options.zone?.lookup(asked, type) ?? null) !== null;
  }

  /** Forgets every cached answer. */
  flush(): void {
    this.#cache.clear();
  }

  #cached(name: string, type: RecordType): Step | Promise<Step> {
    const key = `${type} ${name}`;
    const hit = this.#cache.get(key);
    if (hit !== undefined) {
      this.#meter.cacheHit();
      return { ...hit.value, ttlMs: hit.leftMs };
    }
    const before = this.#underWay.get(key);
    if (before !== undefined) return before;
    if (this.#waiting.length >= (this.#options.maxWaiting ?? MAX_WAITING)) {
      this.#meter.failed("dns.busy");
      return failure("dns.busy", "too many questions at once", 0);
    }
    const begunMs = this.#options.clock.monoMs();
    this.#meter.begun();
    const asked = this.#ask(name, type).then((step) => {
      this.#underWay.delete(key);
      this.#meter.ended(this.#options.clock.monoMs() - begunMs);
      if (step.kind === "failed") this.#meter.failed(step.code);
      this.#cache.set(key, step, step.ttlMs);
      return step;
    });
    this.#underWay.set(key, asked);
    return asked;
  }

  async #ask(name: string, type: RecordType): Promise<Step> {
    if (this.#running >= (this.#options.maxConcurrent ?? MAX_CONCURRENT))
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running++;
    try {
      return await this.#askServers(name, type);
    } finally {
      // The place goes straight to who waits longest, or comes free.
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }

  /** Asks the servers in turn until one answers. A server that has failed for good is not asked again. */
  async #askServers(name: string, type: RecordType): Promise<Step> {
    const { servers, timeoutMs, random, exchange, trustAuthentic = false } = this.#options;
    const { negativeTtlMs = MAX_NEGATIVE_TTL_MS } = this.#options;
    const tries = Math.min(MAX_TRIES, Math.max(MIN_TRIES, servers.length));
    const first = this.#turn++;
    const useless = new Set<ListenAddress>();
    let last: Step = failure("dns.servfail", "no name servers");
    for (let attempt = 0; attempt < tries; attempt++) {
      const server = servers[(first + attempt) % servers.length];
      if (server === undefined || useless.has(server)) continue;
      this.#meter.asked();
      const id = randomInt(random, 0, 0xffff);
      const question = { id, name, type, wantAuthentic: trustAuthentic, ...this.#traits.form(server, name) };
      const reply = await exchange(server, question, timeoutMs / tries);
      const again = this.#traits.learn(server, question, reply);
      const step = reply.kind === "response" ? interpret(reply, name, type, { trustAuthentic, negativeTtlMs }) : reply;
      if (step.kind !== "failed") return step;
      if (step.code !== "dns.timeout" && !again) useless.add(server);
      // What a server said tells more than the silence of another one.
      if (last.kind !== "failed" || attempt === 0 || step.code !== "dns.timeout") last = step;
    }
    return last;
  }
}

/** The end of a chain lives no longer than its links, and is no more authentic than they are. */
function shortened(end: Lookup, lifeMs: number, authentic: boolean): Lookup {
  const ttlMs = Math.min(end.ttlMs, lifeMs);
  return end.kind === "failed" ? { ...end, ttlMs } : { ...end, ttlMs, authentic: end.authentic && authentic };
}
