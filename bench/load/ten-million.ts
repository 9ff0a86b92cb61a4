/**
 * Ten million waiting messages: `node --expose-gc dist/bench/load/ten-million.js [--count N] [--turns N]`.
 *
 * Fills the real scheduler with messages of 100,000 queues over 1,000 sites that wait for their next attempt, by a worker
 * port that answers from typed arrays, then runs turns of ten milliseconds with a mix of everything at once: new mail
 * comes, waiting mail comes due, deliveries succeed, one in ten fails for now and is rescheduled, one in a hundred bounces.
 * Prints how long turns took, while filling and in the mix, and the resident bytes per message.
 */
import { parseArgs } from "node:util";
import type { PathId, QueueRef, Row, SessionId, ShardIndex, SpoolKey, WorkerIndex } from "../../src/base/brands.js";
import { ManualClock } from "../../src/base/clock.js";
import { SeededRandom } from "../../src/base/random.js";
import { OutcomeFlag, OutcomeKind, SessionChange } from "../../src/protocol/layout/frames.js";
import { SpoolKeys } from "../../src/protocol/message-id.js";
import type { Policy, Router, WorkerEvents, WorkerPort } from "../../src/scheduler/ports.js";
import { Scheduler } from "../../src/scheduler/scheduler.js";
import { pathConfig, queueConfig } from "../../test/scheduler/support.js";

const { values } = parseArgs({
  options: {
    count: { type: "string", default: "10000000" },
    turns: { type: "string", default: "20000" },
    spread: { type: "string", default: "3600000" },
  },
});
const count = Number(values.count);
const turns = Number(values.turns);
/** Waiting messages come due over this long after the fill; with 0 all in the same moment. */
const SPREAD_MS = Number(values.spread);
const QUEUES = 100_000;
const SITES = 1000;
const RING = 8192;
const TURN_MS = 10;
const NEW_PER_TURN = 40;

// Waiting longer than the queue's back-off is not believed of a message.
const queue = queueConfig({ retryIntervalMs: 2 * Math.max(SPREAD_MS, 3_600_000) });
const path = pathConfig({ connectionLimit: 4, maxDeliveriesPerConnection: 1000, idleTimeoutMs: 60_000 });
const policy: Policy = {
  queue: () => queue,
  standsAlone: () => false,
  path: () => path,
  pool: (name) => ({ name, entries: [{ name: "unspecified", weight: 1 }] }),
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
    const site = `site${Number(/\d+/.exec(name.domain)?.[0]) % SITES}`;
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

/** Takes what it is told into typed arrays, answers at the next drain. */
class MixPort implements WorkerPort {
  readonly index = 0 as WorkerIndex;
  readonly #clock: ManualClock;
  readonly #keys = new SpoolKeys(0);
  readonly #rows = new Uint32Array(RING);
  readonly #sessions = new Uint32Array(RING);
  #deliveries = 0;
  readonly #gone = new Uint32Array(RING * 4);
  #goneCount = 0;
  #tried = 0;
  #next = 0;
  delivered = 0;
  /** Frames to announce with each drain, and whether they wait or are due at once. */
  perDrain = 0;
  waiting = true;
  toAnnounce = 0;

  constructor(clock: ManualClock) {
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

  deliver(session: SessionId, row: Row): void {
    const at = this.#deliveries++;
    this.#rows[at] = row;
    this.#sessions[at] = session;
  }

  retire(row: Row): void {
    this.#gone[this.#goneCount++] = row;
  }

  drain(sink: WorkerEvents, max: number): number {
    let frames = this.#answer(sink);
    for (let i = 0; i < this.perDrain && frames < max - 1 && this.toAnnounce > 0; i++, frames++) {
      this.toAnnounce--;
      // A step that is prime to the number of queues: neighbours in time are of different queues.
      this.#next = (this.#next + 7919) % QUEUES;
      const nowMs = this.#clock.steadyMs();
      const dueMs = this.waiting ? nowMs + 600_000 + ((this.toAnnounce * 104_729) % Math.max(1, SPREAD_MS)) : 0;
      const key: SpoolKey = this.#keys.next(nowMs);
      const ref = (this.#next + 1) as QueueRef;
      sink.accepted(this.index, 0 as ShardIndex, key, ref, 4096, this.waiting ? 1 : 0, dueMs);
    }
    return frames;
  }

  #answer(sink: WorkerEvents): number {
    const gone = this.#goneCount;
    for (let at = 0; at < gone; at++) sink.retired(this.index, this.#gone[at] as Row);
    this.#goneCount = 0;
    const answers = this.#deliveries;
    this.#deliveries = 0;
    for (let at = 0; at < answers; at++) {
      const row = this.#rows[at] as Row;
      const session = this.#sessions[at] as SessionId;
      this.#tried++;
      sink.session(this.index, session, SessionChange.up);
      if (this.#tried % 10 === 0) {
        sink.outcome(this.index, row, session, OutcomeKind.transient, 0, 451);
        continue;
      }
      const kind = this.#tried % 100 === 1 ? OutcomeKind.bounced : OutcomeKind.delivered;
      sink.outcome(this.index, row, session, kind, OutcomeFlag.removing, 250);
      this.#gone[this.#goneCount++] = row;
      this.delivered++;
    }
    return gone + answers;
  }
}

function report(what: string, times: Float64Array): void {
  const sorted = times.slice().sort();
  const at = (share: number): string => `${sorted[Math.floor(share * (sorted.length - 1))]!.toFixed(2)} ms`;
  process.stdout.write(
    `${what.padEnd(28)} ${String(times.length).padStart(6)} turns: p50 ${at(0.5)}, p99 ${at(0.99)}, p99.9 ${at(0.999)}, max ${at(1)}\n`,
  );
}

const clock = new ManualClock();
const port = new MixPort(clock);
const scheduler = new Scheduler({
  clock,
  random: new SeededRandom(1),
  policy,
  router,
  maxMessages: count + 1_000_000,
  shards: [[0 as ShardIndex]],
  ports: [port],
});
for (let i = 0; i < QUEUES; i++) scheduler.queueNamed(port.index, (i + 1) as QueueRef, `d${i}.example`);

function timed(): number {
  const from = performance.now();
  scheduler.turn();
  return performance.now() - from;
}

globalThis.gc?.();
const emptyBytes = process.memoryUsage().rss;
port.toAnnounce = count;
port.perDrain = 2047;
const filling: number[] = [];
const fillFrom = performance.now();
while (port.toAnnounce > 0) {
  filling.push(timed());
  clock.advance(1);
}
const fillSeconds = (performance.now() - fillFrom) / 1000;
report(`filling ${count}`, Float64Array.from(filling));
globalThis.gc?.();
const bytes = (process.memoryUsage().rss - emptyBytes) / count;
process.stdout.write(`filled in ${fillSeconds.toFixed(1)} s; ${bytes.toFixed(1)} resident bytes per waiting message\n`);

port.waiting = false;
port.perDrain = NEW_PER_TURN;
port.toAnnounce = Number.MAX_SAFE_INTEGER;
// To the time when the first of them are due.
clock.advance(600_000);
const mix = new Float64Array(turns);
for (let turn = 0; turn < turns; turn++) {
  mix[turn] = timed();
  clock.advance(TURN_MS);
}
report("the mix", mix);
process.stdout.write(
  `${port.delivered} delivered in ${(turns * TURN_MS) / 1000} s of the clock, ${scheduler.messages} messages left\n`,
);
