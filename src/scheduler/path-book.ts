import type { PathId, WorkerIndex } from "../base/brands.js";
import type { Route } from "../protocol/messages.js";
import type { Agenda } from "./agenda.js";
import { EgressPath } from "./egress-path.js";
import { Chain } from "./links.js";
import type { MessageTable } from "./message-table.js";
import type { Policy } from "./ports.js";
import { Lane } from "./ready-queue.js";
import type { ScheduledQueue } from "./scheduled-queue.js";
import type { Workers } from "./workers.js";

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
  readonly #policy: Policy;
  readonly #table: MessageTable;
  readonly #agenda: Agenda;
  readonly #workers: Workers;
  readonly #byKey = new Map<string, EgressPath>();
  readonly #byName = new Map<string, EgressPath>();
  readonly #idle = new Chain<EgressPath>();
  #lastId = 0;

  constructor(policy: Policy, table: MessageTable, agenda: Agenda, workers: Workers) {
    this.#policy = policy;
    this.#table = table;
    this.#agenda = agenda;
    this.#workers = workers;
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
    const lane = new Lane(queue, path, entry, this.#workers.count);
    queue.lanes[entry] = lane;
    return lane;
  }

  /** Tells the worker of the path unless it knows; false when its ring has no room. */
  define(path: EgressPath, worker: WorkerIndex): boolean {
    if (path.defined[worker]) return true;
    const port = this.#workers.ports[worker];
    if (port === null || !port.roomForRare()) return false;
    port.definePath(path.definition);
    path.defined[worker] = true;
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
    const reapMs = path.idleSinceMs + REAP_MS;
    if (reapMs <= nowMs) this.#reap(path, nowMs);
    else this.#agenda.pathAlarms.ringBy(path.alarm, reapMs);
  }

  #reap(path: EgressPath, nowMs: number): void {
    for (let worker = 0; worker < this.#workers.count; worker++) {
      const port = this.#workers.ports[worker];
      if (!path.defined[worker] || port === null) continue;
      if (!port.roomForRare()) {
        this.#agenda.pathAlarms.ringBy(path.alarm, nowMs + FORGET_RETRY_MS);
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
    this.#agenda.pathAlarms.clear(path.alarm);
    this.#byKey.delete(path.key);
    this.#byName.delete(path.definition.name);
  }

  #path(queue: ScheduledQueue, sourceName: string, route: Route & { kind: "hosts" }): EgressPath {
    const key = `${sourceName}\n${route.key}`;
    const known = this.#byKey.get(key);
    if (known !== undefined) return known;
    const source = this.#policy.source(sourceName);
    const path = new EgressPath(
      {
        id: this.#nextId(),
        name: this.#freeName(sourceName, route.site),
        site: route.site,
        source: {
          name: source.name,
          address: source.sourceAddress,
          ehloDomain: source.ehloDomain,
          remotePort: source.remotePort,
          proxy: source.proxy,
        },
        pool: queue.pool.name,
        hosts: route.hosts,
        explicit: route.explicit,
        sts: route.sts,
        secure: route.secure,
        config: this.#policy.path(queue.destination, sourceName, route.site),
      },
      key,
      this.#table,
      this.#workers.count,
    );
    this.#byKey.set(key, path);
    this.#byName.set(path.definition.name, path);
    // Whoever serves it will see that it is idle when nothing comes after all.
    this.#agenda.serviceable.append(path.serviceLink);
    return path;
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
