import type { PathId, QueueRef, Row, SessionId, ShardIndex, SpoolKey, WorkerIndex } from "../../src/base/brands.js";
import { ManualClock } from "../../src/base/clock.js";
import { SeededRandom } from "../../src/base/random.js";
import type { PathConfig, QueueConfig, SuspendRule } from "../../src/config/compiled.js";
import { type CloseReason, OutcomeFlag, OutcomeKind, SessionChange } from "../../src/protocol/layout/frames.js";
import { SpoolKeys } from "../../src/protocol/message-id.js";
import type { Dispose, PathDefinition, Route, Sentence, SetAside } from "../../src/protocol/messages.js";
import { audit } from "../../src/scheduler/audit.js";
import type { Suspects, WorkerEvents, WorkerPort } from "../../src/scheduler/ports.js";
import { Scheduler } from "../../src/scheduler/scheduler.js";
import { pathConfig, queueConfig } from "./support.js";

/** A delivery that a worker was told to make. */
export interface Delivery {
  readonly session: SessionId;
  readonly row: Row;
  readonly shard: ShardIndex;
  readonly key: SpoolKey;
  readonly attempts: number;
  readonly more: boolean;
}

/** A port that writes down what it is told; the test says what the worker sends. */
export class RecordingPort implements WorkerPort {
  readonly index: WorkerIndex;
  freeRoom = 1_000_000;
  readonly defined: PathDefinition[] = [];
  readonly forgotten: PathId[] = [];
  readonly opened: { readonly session: SessionId; readonly path: PathId }[] = [];
  /** Deliveries that the test has not answered. */
  deliveries: Delivery[] = [];
  readonly closed: { readonly session: SessionId; readonly reason: CloseReason }[] = [];
  readonly retired: { readonly row: Row; readonly key: SpoolKey }[] = [];
  readonly rescheduled: { readonly key: SpoolKey; readonly attempts: number; readonly dueMs: number }[] = [];
  readonly disposed: Dispose[] = [];
  readonly aside: SetAside[] = [];
  readonly #up: ((sink: WorkerEvents) => void)[] = [];

  constructor(index: number) {
    this.index = index as WorkerIndex;
  }

  room(): number {
    return this.freeRoom;
  }
  roomForRare(): boolean {
    return this.freeRoom > 0;
  }
  definePath(path: PathDefinition): void {
    this.defined.push(path);
  }
  forgetPath(id: PathId): void {
    this.forgotten.push(id);
  }
  open(session: SessionId, path: PathId): void {
    this.opened.push({ session, path });
  }
  deliver(session: SessionId, row: Row, shard: ShardIndex, key: SpoolKey, attempts: number, more: boolean): void {
    this.deliveries.push({ session, row, shard, key, attempts, more });
  }
  close(session: SessionId, reason: CloseReason): void {
    this.closed.push({ session, reason });
  }
  retire(row: Row, _shard: ShardIndex, key: SpoolKey): void {
    this.retired.push({ row, key });
  }
  reschedule(_shard: ShardIndex, key: SpoolKey, attempts: number, dueMs: number): void {
    this.rescheduled.push({ key, attempts, dueMs });
  }
  dispose(message: Dispose): void {
    this.disposed.push(message);
  }
  setAside(order: SetAside): void {
    this.aside.push(order);
  }
  drain(sink: WorkerEvents, max: number): number {
    const batch = this.#up.splice(0, max);
    for (const frame of batch) frame(sink);
    return batch.length;
  }
  publish(): void {}

  /** Has the worker send a frame. */
  send(frame: (sink: WorkerEvents) => void): void {
    this.#up.push(frame);
  }
}

/** A scheduler with recording ports, options by queue and path, and routes by domain. */
export class Harness {
  readonly clock = new ManualClock();
  readonly ports: RecordingPort[];
  readonly scheduler: Scheduler;
  readonly queues = new Map<string, Partial<QueueConfig>>();
  readonly paths = new Map<string, Partial<PathConfig>>();
  /** Options of paths that are one domain's alone. */
  readonly domains = new Map<string, Partial<PathConfig>>();
  readonly pools = new Map<string, readonly { name: string; weight: number }[]>();
  /** Sources that the configuration does not have. */
  readonly missing = new Set<string>();
  readonly addresses = new Map<string, string>();
  readonly suspends = new Map<string, SuspendRule>();
  readonly routes = new Map<string, Route>();
  /** Questions that the router has not answered; by default every one is answered at once. */
  readonly asked: { readonly domain: string; readonly answer: (route: Route) => void }[] = [];
  answerLate = false;
  questions = 0;
  /** Messages that workers died of often enough. */
  readonly sentenced = new Map<SpoolKey, Sentence>();
  /** What the scheduler told about suspects, in order. */
  readonly heard: string[] = [];
  readonly #keys: SpoolKeys[];
  readonly #refs = new Map<string, QueueRef>();

  constructor(workers = 1, shards?: readonly (readonly number[])[]) {
    this.ports = Array.from({ length: workers }, (_, index) => new RecordingPort(index));
    const owned = (shards ?? this.ports.map((port) => [port.index])) as readonly (readonly ShardIndex[])[];
    this.#keys = owned.flat().map(() => new SpoolKeys(0));
    this.scheduler = new Scheduler({
      clock: this.clock,
      random: new SeededRandom(7),
      policy: {
        queue: (name) => queueConfig(this.queues.get(name.domain) ?? {}),
        path: (domain, source, site) =>
          pathConfig(this.domains.get(domain) ?? this.paths.get(site) ?? this.paths.get(source) ?? {}),
        standsAlone: (domain) => this.domains.has(domain),
        pool: (name) => ({ name, entries: this.pools.get(name) ?? [{ name: "unspecified", weight: 1 }] }),
        source: (name) =>
          this.missing.has(name)
            ? null
            : {
                name,
                sourceAddress: this.addresses.get(name) ?? null,
                ehloDomain: null,
                remotePort: null,
                proxy: null,
                freeBind: false,
                suspendWhenUnplumbed: this.suspends.get(name) ?? null,
                suspendWhenProxyUnhealthy: this.suspends.get(name) ?? null,
              },
      },
      router: {
        route: (name, _config, answer) => {
          this.questions++;
          if (this.answerLate) this.asked.push({ domain: name.domain, answer });
          else answer(this.routes.get(name.domain) ?? hosts(`mx.${name.domain}`));
        },
      },
      maxMessages: 200_000,
      shards: owned,
      ports: this.ports,
      suspects: this.#suspects(),
    });
  }

  get port(): RecordingPort {
    return this.ports[0];
  }

  #suspects(): Suspects {
    const { sentenced, heard } = this;
    return {
      get size() {
        return sentenced.size;
      },
      sentence: (_shard, key) => sentenced.get(key) ?? null,
      survived: (_shard, key) => heard.push(`survived ${key}`),
      gone: (_shard, key) => {
        heard.push(`gone ${key}`);
        sentenced.delete(key);
      },
    };
  }

  /** Two workers have died of this message. */
  sentence(key: SpoolKey): void {
    this.sentenced.set(key, { shard: 0 as ShardIndex, key, reason: "it kills", depth: "envelope", recorded: false });
  }

  /** Has a worker announce messages; returns their keys. */
  accept(
    queue: string,
    count = 1,
    options: { shard?: number; attempts?: number; dueMs?: number; size?: number; together?: boolean } = {},
  ) {
    const { shard = 0, attempts = 0, dueMs = 0, size = 1000, together = false } = options;
    const port = this.ports[this.scheduler.core.workers.owner[shard]];
    let ref = this.#refs.get(`${port.index} ${queue}`);
    if (ref === undefined) {
      ref = (this.#refs.size + 1) as QueueRef;
      const number = ref;
      this.#refs.set(`${port.index} ${queue}`, ref);
      port.send((sink) => sink.queueNamed(port.index, number, queue));
    }
    const known = ref;
    let first = 0;
    return Array.from({ length: count }, (_, i) => {
      const key = this.#keys[shard].next(this.clock.steadyMs());
      if (i === 0) first = key;
      const nth = together ? key - first : 0;
      port.send((sink) => sink.accepted(port.index, shard as ShardIndex, key, known, size, attempts, dueMs, nth));
      return key;
    });
  }

  /** Takes turns until none is wanted at once; checks everything after each. Returns the wait that was asked for. */
  turns(): number {
    for (let turn = 0; turn < 100_000; turn++) {
      const wait = this.scheduler.turn();
      audit(this.scheduler.core);
      if (wait > 0) return wait;
    }
    throw new Error("the turns never end");
  }

  /** Lets time pass and takes the turns that are wanted then. */
  after(ms: number): number {
    this.clock.advance(ms);
    return this.turns();
  }

  /** Answers a delivery; by default it was delivered, and the worker removes it itself. */
  answer(delivery: Delivery, kind = OutcomeKind.delivered, flags: number = OutcomeFlag.removing): void {
    const port = this.#holder(delivery);
    port.deliveries = port.deliveries.filter((other) => other !== delivery);
    const { row, session } = delivery;
    const removed = kind === OutcomeKind.delivered || kind === OutcomeKind.bounced;
    port.send((sink) =>
      sink.outcome(port.index, row, session, kind, removed ? flags : flags & ~OutcomeFlag.removing, 0),
    );
    if (removed && (flags & OutcomeFlag.removing) !== 0) port.send((sink) => sink.retired(port.index, row));
  }

  /** Reports that a session is up or over. */
  tell(port: RecordingPort, session: SessionId, change: SessionChange): void {
    port.send((sink) => sink.session(port.index, session, change));
  }

  /** Confirms everything that the worker was told to close. */
  confirmClosed(port = this.port): void {
    for (const { session } of port.closed.splice(0)) this.tell(port, session, SessionChange.ended);
  }

  /** Delivers everything, turn after turn, until nothing is handed out; returns the keys in their order. */
  deliverAll(): SpoolKey[] {
    const keys: SpoolKey[] = [];
    for (;;) {
      this.turns();
      const all = this.ports.flatMap((port) => port.deliveries);
      if (all.length === 0) return keys;
      for (const delivery of all) {
        keys.push(delivery.key);
        this.answer(delivery);
      }
    }
  }

  #holder(delivery: Delivery): RecordingPort {
    const port = this.ports.find((candidate) => candidate.deliveries.includes(delivery));
    if (port === undefined) throw new Error("nobody has this delivery in hand");
    return port;
  }
}

/** A route to one host of that name. */
export function hosts(site: string, key = site, ttlMs = Number.POSITIVE_INFINITY): Route {
  return { kind: "hosts", site, key, hosts: [], explicit: false, sts: "none", secure: false, ttlMs };
}
