/** What benches of the scheduler alone are made of: one policy, sites by number, and a port that answers from typed arrays. */
import type { PathId, Row, SessionId, ShardIndex, WorkerIndex } from "../src/base/brands.js";
import type { PathConfig, QueueConfig } from "../src/config/compiled.js";
import { UNSPECIFIED_SOURCE } from "../src/config/egress-settings.js";
import type { Policy, Router, WorkerEvents, WorkerPort } from "../src/scheduler/ports.js";

/** The same queue and path for everybody, one source. */
export function onePolicy(queue: QueueConfig, path: PathConfig): Policy {
  return {
    queue: () => queue,
    standsAlone: () => false,
    path: () => path,
    pool: (name) => ({ name, entries: [{ name: "unspecified", weight: 1 }] }),
    source: (name) => ({ ...UNSPECIFIED_SOURCE, name }),
  };
}

/** Routes each domain to one of `sites`, by the number in its name, at once. */
export function numberedSites(sites: number): Router {
  return {
    route(name, _config, answer) {
      const site = `site${Number(/\d+/.exec(name.domain)?.[0]) % sites}`;
      answer({
        kind: "hosts",
        site,
        key: site,
        hosts: [],
        explicit: false,
        sts: "none",
        secure: false,
        ttlMs: Number.POSITIVE_INFINITY,
      });
    },
  };
}

/**
 * A worker that remembers what it was told in typed arrays and answers when it is drained: first that rows are gone, then
 * what became of deliveries, then, up to the derived class, new mail.
 */
export abstract class TypedPort implements WorkerPort {
  readonly index: WorkerIndex;
  readonly #ring: number;
  readonly #rows: Uint32Array;
  readonly #sessions: Uint32Array;
  readonly #owned: Uint8Array;
  readonly #gone: Uint32Array;
  #deliveries = 0;
  #goneCount = 0;

  /** @param ring deliveries that it takes at a time. */
  constructor(index: number, ring: number) {
    this.index = index as WorkerIndex;
    this.#ring = ring;
    this.#rows = new Uint32Array(ring);
    this.#sessions = new Uint32Array(ring);
    this.#owned = new Uint8Array(ring);
    this.#gone = new Uint32Array(4 * ring);
  }

  room(): number {
    return this.#ring - this.#deliveries;
  }
  roomForRare(): boolean {
    return true;
  }
  definePath(): void {}
  forgetPath(_id: PathId): void {}
  open(): void {}
  close(): void {}
  reschedule(): void {}
  dispose(): void {}
  setAside(): void {}
  publish(): void {}

  deliver(session: SessionId, row: Row, shard: ShardIndex): void {
    const at = this.#deliveries++;
    this.#rows[at] = row;
    this.#sessions[at] = session;
    this.#owned[at] = shard === (this.index as number) ? 1 : 0;
  }

  retire(row: Row): void {
    this.#gone[this.#goneCount++] = row;
  }

  drain(sink: WorkerEvents, max: number): number {
    const gone = this.#goneCount;
    for (let at = 0; at < gone; at++) sink.retired(this.index, this.#gone[at] as Row);
    this.#goneCount = 0;
    const count = this.#deliveries;
    this.#deliveries = 0;
    for (let at = 0; at < count; at++) {
      const row = this.#rows[at] as Row;
      const isGone = this.attempt(sink, row, this.#sessions[at] as SessionId, this.#owned[at] === 1);
      if (isGone) this.#gone[this.#goneCount++] = row;
    }
    return this.announce(sink, max, gone + count);
  }

  /** Says what became of a delivery; returns whether this worker, which owns the row, has removed it. */
  protected abstract attempt(sink: WorkerEvents, row: Row, session: SessionId, owned: boolean): boolean;

  /** Announces new mail, `frames` having been said already of at most `max`. Returns how many were said in all. */
  protected abstract announce(sink: WorkerEvents, max: number, frames: number): number;
}
