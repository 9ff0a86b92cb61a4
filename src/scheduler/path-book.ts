import { assert } from "../base/assert.js";
import type { PathId, WorkerIndex } from "../base/brands.js";
import type { PathDefinition, Route } from "../protocol/messages.js";
import type { Claim } from "../shaping/leases.js";
import type { Core } from "./core.js";
import { EgressPath } from "./egress-path.js";
import type { EgressSource } from "./egress-source.js";
import { Chain } from "./links.js";
import { holdLimits, releaseLimits } from "./path-limits.js";
import { Lane } from "./ready-queue.js";
import type { ScheduledQueue } from "./scheduled-queue.js";

/** How long a path without messages and sessions is kept (reference §13). */
const REAP_MS = 600_000;
/** Idle paths that are kept; beyond this the one that is idle longest goes at once. */
const MAX_IDLE = 10_000;
/** When to try again to tell a worker, whose ring is full, that a path is gone. */
const FORGET_RETRY_MS = 1000;

/**
 * What it is:  all egress paths, by identity and by printed name.
 * Runs on:     the scheduler's thread.
 * Owns:        the paths, their numbers and names; which worker has been told of which.
 * When full:   as many paths as have messages or sessions, and 10,000 idle ones.
 * On failure:  a lost worker knows no path any more; it is told again when a session is opened there.
 */
export class PathBook {
  readonly #core: Core;
  readonly #byKey = new Map<string, EgressPath>();
  readonly #byName = new Map<string, EgressPath>();
  readonly #idle = new Chain<EgressPath>();
  #lastId = 0;

  constructor(core: Core) {
    this.#core = core;
  }

  get size(): number {
    return this.#byKey.size;
  }

  all(): IterableIterator<EgressPath> {
    return this.#byKey.values();
  }

  find(name: string): EgressPath | undefined {
    return this.#byName.get(name);
  }

  /** The queue's lane for one entry of its pool; lane and path are made when they do not exist (any more). */
  lane(queue: ScheduledQueue, entry: number, route: Route & { kind: "hosts" }): Lane {
    const known = queue.lanes[entry];
    if (known !== null && !known.path.gone) return known;
    const path = this.#path(queue, queue.pool.sources[entry], route);
    const lane = new Lane(queue, path, entry, this.#core.workers.count);
    queue.lanes[entry] = lane;
    return lane;
  }

  /** Tells the worker of the path unless it knows; false when its ring has no room. */
  define(path: EgressPath, worker: WorkerIndex): boolean {
    if (path.isKnownTo(worker)) return true;
    const port = this.#core.workers.ports[worker];
    if (port === null || !port.roomForRare()) return false;
    port.definePath(path.definition);
    path.defined[worker] = true;
    path.outdated[worker] = false;
    return true;
  }

  /** A worker is lost: its successor knows nothing. */
  undefine(worker: WorkerIndex): void {
    for (const path of this.#byKey.values()) path.defined[worker] = false;
  }

  /** Notes whether the path is idle now, and reaps it when it has been for long enough. */
  tend(path: EgressPath, nowMs: number): void {
    if (!path.idle) {
      path.idleLink.leave();
      return;
    }
    if (!path.idleLink.linked) {
      path.idleSinceMs = nowMs;
      this.#idle.append(path.idleLink);
      if (this.#idle.length > MAX_IDLE) this.#reap((this.#idle.first as { owner: EgressPath }).owner, nowMs);
    }
    if (path.gone) return;
    const reapMs = path.retired ? nowMs : path.idleSinceMs + REAP_MS;
    if (reapMs <= nowMs) this.#reap(path, nowMs);
    else this.#core.agenda.pathAlarms.ringBy(path.alarm, reapMs);
  }

  #reap(path: EgressPath, nowMs: number): void {
    for (let worker = 0; worker < this.#core.workers.count; worker++) {
      const port = this.#core.workers.ports[worker];
      if (!path.defined[worker] || port === null) continue;
      if (!port.roomForRare()) {
        this.#core.agenda.pathAlarms.ringBy(path.alarm, nowMs + FORGET_RETRY_MS);
        return;
      }
      port.forgetPath(path.definition.id);
      path.defined[worker] = false;
    }
    path.gone = true;
    path.idleLink.leave();
    path.serviceLink.leave();
    path.roomyLink.leave();
    path.heldLink.leave();
    path.withdrawLink.leave();
    path.sourceLink.leave();
    releaseLimits(this.#core.throttles, path.limits, this.#core.nowUs);
    this.stopWaiting(path);
    this.#core.agenda.pathAlarms.clear(path.alarm);
    this.#byKey.delete(path.key);
    this.#byName.delete(path.definition.name);
  }

  #path(queue: ScheduledQueue, sourceName: string, route: Route & { kind: "hosts" }): EgressPath {
    const domain = this.domainOf(queue, route.site);
    const key = `${sourceName}\n${route.key}\n${domain}`;
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const source = this.#core.sources.of(sourceName);
    const definition = this.describe(
      source,
      { id: this.#nextId(), name: this.#freeName(sourceName, route.site), pool: queue.pool.name, ...route },
      domain,
    );
    assert(definition !== null, "a queue leads to sources of its own configuration");
    const path = new EgressPath(definition, source, domain, key, this.#core.table, this.#core.workers.count);
    path.epoch = this.#core.epoch;
    path.limits = this.#limitsOf(path);
    source.paths.append(path.sourceLink);
    this.#byKey.set(key, path);
    this.#byName.set(path.definition.name, path);
    // Whoever serves it will see that it is idle when nothing comes after all.
    this.#core.agenda.serviceable.append(path.serviceLink);
    return path;
  }

  /** The domain that the queue's paths to a site are for alone; "" when it shares them with others. */
  domainOf({ destination }: ScheduledQueue, site: string): string {
    return this.#core.policy.standsAlone(destination, site) ? destination : "";
  }

  /** What a path with this identity is now, by its source and the rules; null when its source is not there (any more). */
  describe(
    { name, config: source }: EgressSource,
    { id, name: pathName, site, pool, hosts, explicit, sts, secure }: Omit<PathDefinition, "source" | "config">,
    domain: string,
  ): PathDefinition | null {
    if (source === null) return null;
    return {
      id,
      name: pathName,
      site,
      source: {
        name,
        address: source.sourceAddress,
        freeBind: source.freeBind,
        ehloDomain: source.ehloDomain,
        remotePort: source.remotePort,
        proxy: source.proxy,
      },
      pool,
      hosts,
      explicit,
      sts,
      secure,
      config: this.#core.policy.path(domain, name, site),
    };
  }

  /** The path has other options now: other rates and limits, and workers must be told before they open a session. */
  redefine(path: EgressPath, definition: PathDefinition): void {
    const { throttles, nowUs } = this.#core;
    const before = path.limits;
    path.definition = definition;
    path.config = definition.config;
    path.limits = this.#limitsOf(path);
    // Only now: a throttle that stays is held throughout, and keeps its tokens.
    releaseLimits(throttles, before, nowUs);
    path.outdated.fill(true);
  }

  /** The path waits for no shared limit any more, or does not take what was kept for it: the next one is called. */
  stopWaiting(path: EgressPath): void {
    const { waitsFor } = path;
    if (waitsFor === null) return;
    path.waitsFor = null;
    path.limitedSinceMs = 0;
    this.#core.leases.leave(waitsFor, path);
    this.callNext([{ name: waitsFor, limit: 0 }]);
  }

  /** Leases of these limits may have come free: whoever waits for them is called. */
  callNext(claims: readonly Claim[]): void {
    const { leases, agenda } = this.#core;
    if (claims.length > 0) leases.callNext(claims, (path) => agenda.serviceable.ensure(path.serviceLink));
  }

  #limitsOf(path: EgressPath) {
    const { throttles, nowUs } = this.#core;
    return holdLimits(throttles, path.config, path.definition.name, path.source.name, nowUs);
  }

  /** `SOURCE->SITE@smtp_client`; two host sets whose sites print alike are told apart by `#2` behind the site. */
  #freeName(source: string, site: string): string {
    let name = `${source}->${site}@smtp_client`;
    for (let n = 2; this.#byName.has(name); n++) name = `${source}->${site}#${n}@smtp_client`;
    return name;
  }

  #nextId(): PathId {
    this.#lastId = (this.#lastId + 1) >>> 0 || 1;
    return this.#lastId as PathId;
  }
}
