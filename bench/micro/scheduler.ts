/**
 * The scheduler's CPU per message: `node --expose-gc dist/bench/micro/scheduler.js`.
 *
 * A million messages of 100 queues over 8 sites and 64 sessions, through all of their states, with ports that answer from
 * typed arrays; what the ports cost is part of the figures.
 *
 *   scheduler: steady          512 messages come with each turn; each is delivered by its owner in the turn after
 *   scheduler: backlog         all messages come first, then all are delivered
 *   scheduler: two workers     half of the messages are delivered by the other worker (`retire`), one in ten fails once
 *   scheduler: domains         each message is of a domain of its own, of which there are ever more
 *   scheduler: waiting         resident bytes for each of a million messages that wait for their next attempt
 */
import type { PathId, QueueRef, Row, SessionId, ShardIndex, SpoolKey, WorkerIndex } from "../../src/base/brands.js";
import { ManualClock } from "../../src/base/clock.js";
import { SeededRandom } from "../../src/base/random.js";
import type { PoolConfig } from "../../src/config/compiled.js";
import { OutcomeFlag, OutcomeKind, SessionChange } from "../../src/protocol/layout/frames.js";
import { SpoolKeys } from "../../src/protocol/message-id.js";
import type { Policy, Router, WorkerEvents, WorkerPort } from "../../src/scheduler/ports.js";
import { Scheduler } from "../../src/scheduler/scheduler.js";
import { pathConfig, queueConfig } from "../../test/scheduler/support.js";

const MESSAGES = 1_000_000;
const QUEUES = 100;
/** Numbers that a worker gives to names of queues before it begins anew. */
const REFS = 65_536;
const SITES = 8;
const RING = 16_384;

const queue = queueConfig();
const path = pathConfig({ connectionLimit: 8, maxDeliveriesPerConnection: 1e9, idleTimeoutMs: 1e12 });
const pool: PoolConfig = { name: "unspecified", entries: [{ name: "unspecified", weight: 1 }] };
const policy: Policy = {
  queue: () => queue,
  standsAlone: () => false,
  path: () => path,
  pool: () => pool,
  source: (name) => ({
    name,
    sourceAddress: null,
    ehloDomain: null,
    remotePort: null,
    proxy: null,
    freeBind: false,
    suspendWhenUnplumbed: null,
    suspendWhenProxyUnhealthy: null,
  }),
};
const router: Router = {
  route(name, _config, answer) {
    const site = `site${Number(name.domain.slice(1, 4)) % SITES}`;
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

/** A port that remembers what it was told in typed arrays and answers at the next drain. */
class BenchPort implements WorkerPort {
  readonly index: WorkerIndex;
  /** Messages to announce, and how many with each drain. */
  toAnnounce = 0;
  perDrain = 512;
  /** One delivery in this many fails; 0 for none. */
  failEvery = 0;
  /** Names each message's queue anew, after none that was there before. */
  newDomains = false;
  readonly #clock: ManualClock;
  readonly #keys = new SpoolKeys(0);
  readonly #rows = new Uint32Array(RING);
  readonly #sessions = new Uint32Array(RING);
  readonly #owned = new Uint8Array(RING);
  readonly #gone = new Uint32Array(RING * 2);
  #deliveries = 0;
  #goneCount = 0;
  #named = false;
  #announced = 0;
  #tried = 0;

  constructor(index: number, clock: ManualClock) {
    this.index = index as WorkerIndex;
    this.#clock = clock;
  }

  room(): number {
    return RING - this.#deliveries;
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
    this.#name(sink);
    let frames = this.#answer(sink);
    for (; frames < max && this.toAnnounce > 0; frames++) {
      if (this.#announced >= this.perDrain) break;
      this.#announced++;
      this.toAnnounce--;
      const key: SpoolKey = this.#keys.next(this.#clock.steadyMs());
      const ref = (1 + (this.toAnnounce % (this.newDomains ? REFS : QUEUES))) as QueueRef;
      if (this.newDomains) sink.queueNamed(this.index, ref, `d${this.toAnnounce}.example`);
      sink.accepted(this.index, this.index as number as ShardIndex, key, ref, 1024, 0, 0);
    }
    this.#announced = 0;
    return Math.min(frames, max - 1);
  }

  #name(sink: WorkerEvents): void {
    if (this.#named) return;
    this.#named = true;
    for (let at = 0; at < QUEUES; at++) {
      sink.queueNamed(this.index, (at + 1) as QueueRef, `d${String(at).padStart(3, "0")}.example`);
    }
  }

  #answer(sink: WorkerEvents): number {
    const gone = this.#goneCount;
    for (let at = 0; at < gone; at++) sink.retired(this.index, this.#gone[at] as Row);
    this.#goneCount = 0;
    const count = this.#deliveries;
    for (let at = 0; at < count; at++) {
      const row = this.#rows[at] as Row;
      const session = this.#sessions[at] as SessionId;
      if (this.failEvery > 0 && ++this.#tried % this.failEvery === 0) {
        sink.outcome(this.index, row, session, OutcomeKind.transient, 0, 451);
        continue;
      }
      const owned = this.#owned[at] === 1;
      sink.session(this.index, session, SessionChange.up);
      sink.outcome(this.index, row, session, OutcomeKind.delivered, owned ? OutcomeFlag.removing : 0, 250);
      if (owned) this.#gone[this.#goneCount++] = row;
    }
    this.#deliveries = 0;
    return gone + count;
  }
}

interface Setup {
  readonly clock: ManualClock;
  readonly ports: readonly BenchPort[];
  readonly scheduler: Scheduler;
}

function setup(workers: number): Setup {
  const clock = new ManualClock();
  const ports = Array.from({ length: workers }, (_, index) => new BenchPort(index, clock));
  const scheduler = new Scheduler({
    clock,
    random: new SeededRandom(1),
    policy,
    router,
    maxMessages: 10_000_000,
    shards: ports.map((port) => [port.index as number as ShardIndex]),
    ports,
  });
  return { clock, ports, scheduler };
}

function report(name: string, value: number, unit: string): void {
  process.stdout.write(`${name.padEnd(32)} ${value.toFixed(2).padStart(10)} ${unit}\n`);
}

function run(name: string, workers: number, prepare: (port: BenchPort) => void): void {
  for (const messages of [MESSAGES / 5, MESSAGES]) {
    const { clock, ports, scheduler } = setup(workers);
    for (const port of ports) {
      prepare(port);
      port.toAnnounce = messages / workers;
    }
    const before = process.cpuUsage();
    let turns = 0;
    do {
      const wait = scheduler.turn();
      clock.advance(Number.isFinite(wait) ? Math.max(1, wait) : 1);
      turns++;
    } while (scheduler.messages > 0 || ports.some((port) => port.toAnnounce > 0));
    const spent = process.cpuUsage(before);
    if (messages < MESSAGES) continue; // The first round warms up.
    report(name, (spent.user + spent.system) / messages, `µs CPU per message, ${Math.round(messages / turns)} a turn`);
  }
}

function waiting(): void {
  const { clock, ports, scheduler } = setup(1);
  const port = ports[0] as BenchPort;
  const keys = new SpoolKeys(0);
  scheduler.turn();
  globalThis.gc?.();
  const before = process.memoryUsage().rss;
  for (let at = 0; at < MESSAGES; at++) {
    const nowMs = clock.steadyMs();
    const shard = 0 as ShardIndex;
    const ref = (1 + (at % QUEUES)) as QueueRef;
    scheduler.accepted(port.index, shard, keys.next(nowMs), ref, 1024, 1, nowMs + 60_000 + (at % 3_600_000));
  }
  scheduler.turn();
  globalThis.gc?.();
  report("scheduler: waiting", (process.memoryUsage().rss - before) / MESSAGES, "resident bytes per message");
}

waiting();
run("scheduler: steady", 1, () => {});
run("scheduler: backlog", 1, (port) => {
  port.perDrain = MESSAGES;
});
run("scheduler: domains", 1, (port) => {
  port.newDomains = true;
  port.perDrain = 64;
});
run("scheduler: two workers", 2, (port) => {
  port.failEvery = 10;
});
