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
import type { QueueRef, Row, SessionId, ShardIndex, SpoolKey } from "../../src/base/brands.js";
import { ManualClock } from "../../src/base/clock.js";
import { SeededRandom } from "../../src/base/random.js";
import { OutcomeFlag, OutcomeKind, SessionChange } from "../../src/protocol/layout/frames.js";
import { SpoolKeys } from "../../src/protocol/message-id.js";
import type { WorkerEvents } from "../../src/scheduler/ports.js";
import { Scheduler } from "../../src/scheduler/scheduler.js";
import { pathConfig, queueConfig } from "../../test/scheduler/support.js";
import { numberedSites, onePolicy, TypedPort } from "../scheduler-parts.js";

const MESSAGES = 1_000_000;
const QUEUES = 100;
/** Numbers that a worker gives to names of queues before it begins anew. */
const REFS = 65_536;
const SITES = 8;
const RING = 16_384;

const queue = queueConfig();
const path = pathConfig({ connectionLimit: 8, maxDeliveriesPerConnection: 1e9, idleTimeoutMs: 1e12 });
/** Announces so many messages with each drain, and delivers all but one in `failEvery`. */
class BenchPort extends TypedPort {
  /** Messages to announce, and how many with each drain. */
  toAnnounce = 0;
  perDrain = 512;
  /** One delivery in this many fails; 0 for none. */
  failEvery = 0;
  /** Names each message's queue anew, after none that was there before. */
  newDomains = false;
  readonly #clock: ManualClock;
  readonly #keys = new SpoolKeys(0);
  #named = false;
  #tried = 0;

  constructor(index: number, clock: ManualClock) {
    super(index, RING);
    this.#clock = clock;
  }

  protected override announce(sink: WorkerEvents, max: number, said: number): number {
    this.#name(sink);
    let frames = said;
    for (let announced = 0; frames < max && this.toAnnounce > 0 && announced < this.perDrain; frames++, announced++) {
      this.toAnnounce--;
      const key: SpoolKey = this.#keys.next(this.#clock.steadyMs());
      const ref = (1 + (this.toAnnounce % (this.newDomains ? REFS : QUEUES))) as QueueRef;
      if (this.newDomains) sink.queueNamed(this.index, ref, `d${this.toAnnounce}.example`);
      sink.accepted(this.index, this.index as number as ShardIndex, key, ref, 1024, 0, 0, 0);
    }
    return Math.min(frames, max - 1);
  }

  #name(sink: WorkerEvents): void {
    if (this.#named) return;
    this.#named = true;
    for (let at = 0; at < QUEUES; at++) {
      sink.queueNamed(this.index, (at + 1) as QueueRef, `d${String(at).padStart(3, "0")}.example`);
    }
  }

  protected override attempt(sink: WorkerEvents, row: Row, session: SessionId, owned: boolean): boolean {
    if (this.failEvery > 0 && ++this.#tried % this.failEvery === 0) {
      sink.outcome(this.index, row, session, OutcomeKind.transient, 0, 451);
      return false;
    }
    sink.session(this.index, session, SessionChange.up);
    sink.outcome(this.index, row, session, OutcomeKind.delivered, owned ? OutcomeFlag.removing : 0, 250);
    return owned;
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
    policy: onePolicy(queue, path),
    router: numberedSites(SITES),
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
    scheduler.accepted(port.index, shard, keys.next(nowMs), ref, 1024, 1, nowMs + 60_000 + (at % 3_600_000), 0);
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
