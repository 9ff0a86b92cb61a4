import type { ShardIndex, WorkerIndex } from "../../src/base/brands.js";
import { ManualClock } from "../../src/base/clock.js";
import { randomInt, SeededRandom } from "../../src/base/random.js";
import { SpoolKeys } from "../../src/protocol/message-id.js";
import { audit } from "../../src/scheduler/audit.js";
import { RowFlag, State } from "../../src/scheduler/message-table.js";
import type { Suspects } from "../../src/scheduler/ports.js";
import { retryIntervalMs } from "../../src/scheduler/retry-plan.js";
import { Scheduler } from "../../src/scheduler/scheduler.js";
import { FakeWorker, type Outside, someRing, type Weather } from "./fake-worker.js";
import { Ledger, type Message, must } from "./ledger.js";
import { FakePolicy, FakeRouter } from "./settings.js";

const WORKERS = 3;
const SHARDS = 4;
const SITES = 6;
const MAX_MESSAGES = 600;

/** What a run has seen, for its summary. */
export interface Summary {
  readonly accepted: number;
  readonly delivered: number;
  readonly bounced: number;
  readonly expired: number;
  readonly transient: number;
  readonly returned: number;
  readonly duplicates: number;
  readonly deaths: number;
  /** Messages in quarantine, because they killed twice. */
  readonly setAside: number;
  readonly parked: number;
  readonly throttled: number;
  readonly limited: number;
  readonly suspensions: number;
  readonly reloads: number;
  readonly sessions: number;
  readonly turns: number;
}

/**
 * A whole scheduler in a made-up world, everything from one seed: workers that die and come back, rings without room,
 * routes that move, receivers that refuse. The scheduler takes a turn only when it asked for one or something happened,
 * as in the real main loop, so a lost wake-up shows as mail that never leaves.
 */
export class World {
  readonly #random: SeededRandom;
  readonly #clock = new ManualClock();
  readonly #ledger = new Ledger();
  readonly #weather: Weather;
  readonly #outside: Outside;
  readonly #policy: FakePolicy;
  readonly #router: FakeRouter;
  readonly scheduler: Scheduler;
  readonly #shards: ShardIndex[][];
  readonly #keys: SpoolKeys[];
  readonly #workers: FakeWorker[];
  /** By shard: what is durable and not announced yet. */
  readonly #unannounced: Set<Message>[];
  readonly #names: string[];
  /** Dead workers whose last records were not looked for yet. */
  readonly #unread = new Set<WorkerIndex>();
  /** Messages that workers died of. */
  readonly #struck = new Set<Message>();
  #setAside = 0;
  #nextTurnMs = 0;
  #turns = 0;
  #deaths = 0;
  /** A worker dies right after the next turn, before it has read what that turn told it. */
  #deathIsNear = false;

  constructor(seed: number) {
    const random = new SeededRandom(seed);
    this.#random = random;
    this.#weather = {
      ring: 400,
      upRing: 200,
      pace: 50,
      connectFails: 0.1,
      refuses: 0.05,
      defers: 0.2,
      returns: 0.05,
      quarantines: 0.01,
      drops: 0.02,
      latencyMs: 500,
      dead: new Set(),
      unplumbed: new Set(),
    };
    this.#policy = new FakePolicy(random);
    this.#router = new FakeRouter(random, SITES);
    this.#outside = {
      clock: this.#clock,
      random,
      ledger: this.#ledger,
      weather: this.#weather,
      connections: new Map(),
      shortestDelayMs: (queue, attempts) => this.#shortestDelayMs(queue, attempts),
    };
    this.#shards = Array.from({ length: WORKERS }, () => []);
    for (let shard = 0; shard < SHARDS; shard++) this.#shards[shard % WORKERS].push(shard as ShardIndex);
    this.#keys = Array.from({ length: SHARDS }, () => new SpoolKeys(0));
    this.#unannounced = Array.from({ length: SHARDS }, () => new Set());
    this.#names = Array.from({ length: 24 }, (_, at) => {
      const domain = `d${String.fromCharCode(97 + at)}${"x".repeat(at % 5)}.example`;
      return at % 3 === 0 ? domain : at % 3 === 1 ? `t@${domain}` : `c${at % 2}:t@${domain}`;
    });
    this.#workers = this.#shards.map((_, index) => this.#launch(index));
    this.scheduler = new Scheduler({
      clock: this.#clock,
      random,
      policy: this.#policy,
      router: this.#router,
      maxMessages: MAX_MESSAGES,
      shards: this.#shards,
      ports: this.#workers,
      suspects: this.#suspects(),
    });
  }

  /** Something happens, time passes, turns are taken; then everything is checked. */
  step(): void {
    this.#happen();
    this.#settleDown();
  }

  /** Heals the world and lets it run until every message has its end and every queue and path is forgotten. */
  finish(): Summary {
    Object.assign(this.#weather, { ring: 400, upRing: 400, pace: 400, returns: 0, drops: 0, connectFails: 0 });
    this.#router.calm = true;
    this.#deathIsNear = false;
    if (this.#random.next() < 0.8) this.#weather.dead.clear();
    if (this.#random.next() < 0.8) this.#weather.unplumbed.clear();
    for (const worker of this.#workers) if (!worker.alive) this.#restore(worker.index);
    this.#touch();
    for (let rounds = 0; this.scheduler.messages > 0 || this.scheduler.core.paths.size > 0; rounds++) {
      must(
        rounds < 200_000,
        `${this.scheduler.messages} messages and ${this.scheduler.core.paths.size} paths never end`,
      );
      this.#clock.advance(Math.max(1, Math.min(this.#nextEventMs(), 3_600_000)));
      this.#settleDown();
      for (const worker of this.#workers) if (!worker.alive) this.#restore(worker.index);
    }
    this.#ledger.mustBeSettled();
    while (this.#nextTurnMs !== Number.POSITIVE_INFINITY) {
      this.#clock.advance(Math.max(1, this.#nextTurnMs - this.#clock.monoMs()));
      this.#settleDown();
    }
    must(this.scheduler.core.queues.size === 0, "an empty queue is never forgotten");
    must(this.scheduler.sessions === 0, "a session is never ended");
    for (const worker of this.#workers) must(worker.paths === 0, "a path is forgotten, and a worker is not told");
    return this.#summary();
  }

  #happen(): void {
    const random = this.#random;
    const dice = random.next();
    if (dice < 0.45) this.#inject(randomInt(random, 1, 12));
    else if (dice < 0.5) this.#weather.ring = someRing(random);
    else if (dice < 0.53) this.#weather.upRing = randomInt(random, 1, 200);
    else if (dice < 0.56) this.#weather.pace = randomInt(random, 1, 60);
    else if (dice < 0.58) this.#turnTheWeather();
    else if (dice < 0.59) this.#kill();
    else if (dice < 0.6) this.#deathIsNear = true;
    else if (dice < 0.68) this.#restoreOne();
    else if (dice < 0.7) this.#clock.step(randomInt(random, -86_400_000, 86_400_000));
    else if (dice < 0.715) this.#reload();
    else if (dice < 0.716) this.#clock.advance(randomInt(random, 60_000, 7_200_000));
    this.#clock.advance(random.next() < 0.5 ? randomInt(random, 0, 50) : randomInt(random, 0, 2000));
  }

  /** Sources, pools and options change while mail flows. */
  #reload(): void {
    this.#policy.reload();
    this.scheduler.reconfigure();
    this.#touch();
  }

  #turnTheWeather(): void {
    const random = this.#random;
    const weather = this.#weather;
    weather.connectFails = random.next() * 0.5;
    weather.defers = random.next() * 0.4;
    weather.returns = random.next() * 0.2;
    weather.drops = random.next() * 0.1;
    weather.latencyMs = randomInt(random, 0, 5000);
    const site = `site${randomInt(random, 1, SITES)}`;
    if (!weather.dead.delete(site)) weather.dead.add(site);
    const source = `${random.next() < 0.5 ? "pair" : "many"}-${randomInt(random, 0, 3)}`;
    if (!weather.unplumbed.delete(source)) weather.unplumbed.add(source);
  }

  #inject(count: number): void {
    const random = this.#random;
    for (let i = 0; i < count && this.scheduler.messages + this.#waitingOutside() < MAX_MESSAGES; i++) {
      const shard = randomInt(random, 0, SHARDS - 1) as ShardIndex;
      const worker = this.#workers[shard % WORKERS];
      if (worker.alive) this.#accept(worker, shard, random.next() < 0.3 ? randomInt(random, 2, 9) : 1);
    }
  }

  /** A transaction with so many recipients: most of them in one queue. */
  #accept(worker: FakeWorker, shard: ShardIndex, recipients: number): void {
    const random = this.#random;
    const nowMs = this.#clock.steadyMs();
    const later = random.next() < 0.1 ? nowMs + randomInt(random, 0, 300_000) : 0;
    const size = randomInt(random, 100, 200_000);
    // What kills while it is sent is the content, which all of them share.
    const deadly = random.next() < 0.012 ? (random.next() < 0.7 ? "sending" : "deciding") : "no";
    const someQueue = () => this.#names[Math.floor(random.next() ** 2 * this.#names.length)];
    const usual = someQueue();
    const messages: Message[] = [];
    for (let nth = 0; nth < recipients; nth++) {
      const key = this.#keys[shard].next(nowMs);
      const message: Message = {
        shard,
        key,
        queue: random.next() < 0.8 ? usual : someQueue(),
        nth: messages.length === 0 ? 0 : key - messages[0].key,
        size,
        stored: true,
        attempts: 0,
        dueMs: later,
        failures: 0,
        notBeforeMs: later,
        records: 0,
        deadly: deadly === "sending" || nth === 0 ? deadly : "no",
        deaths: 0,
        taken: 0,
        windows: 0,
        inHand: false,
      };
      messages.push(message);
      this.#ledger.add(message);
      this.#unannounced[shard].add(message);
      this.#announce(worker, message);
    }
  }

  #announce(worker: FakeWorker, message: Message): void {
    worker.announce(message, () => this.#unannounced[message.shard].delete(message));
  }

  #waitingOutside(): number {
    return this.#unannounced.reduce((sum, messages) => sum + messages.size, 0);
  }

  #launch(index: number): FakeWorker {
    return new FakeWorker(index as WorkerIndex, new Set(this.#shards[index]), this.#outside);
  }

  #kill(): void {
    const worker = this.#workers[randomInt(this.#random, 0, WORKERS - 1)];
    if (worker.alive) this.#die(worker);
  }

  #die(worker: FakeWorker): void {
    if (worker.diesOf !== null) {
      worker.diesOf.deaths++;
      this.#struck.add(worker.diesOf);
    }
    this.#deaths++;
    worker.die();
    while (worker.drain(this.scheduler, 16) > 0) {}
    this.scheduler.workerLost(worker.index);
    this.#unread.add(worker.index);
    if (this.#random.next() < 0.5) this.#readLog(worker.index);
    this.#touch();
  }

  /** A worker's death is known to be the message's that it had in hand. */
  #suspects(): Suspects {
    const ledger = this.#ledger;
    const struck = this.#struck;
    return {
      get size() {
        return struck.size;
      },
      sentence: (shard, key) =>
        ledger.find(shard, key).deaths < 2
          ? null
          : { shard, key, reason: "it kills", depth: "envelope", recorded: false },
      survived: (shard, key) => {
        const message = ledger.find(shard, key);
        if (message.deaths < 2 && struck.delete(message)) message.deaths = 0;
      },
      gone: (shard, key) => {
        const message = ledger.find(shard, key);
        must(!message.stored, "a message is said to be gone that is in the spool");
        if (struck.delete(message) && message.deaths >= 2) this.#setAside++;
      },
    };
  }

  /** The log is asked about the dead worker's records; it knows them all. */
  #readLog(index: WorkerIndex): void {
    if (!this.#unread.delete(index)) return;
    this.scheduler.lostInformed(index, { has: (shard, key) => this.#ledger.find(shard, key).records > 0 });
  }

  #restoreOne(): void {
    const lost = this.#workers.find((worker) => !worker.alive);
    if (lost !== undefined) this.#restore(lost.index);
  }

  #restore(index: number): void {
    this.#readLog(index as WorkerIndex);
    const worker = this.#launch(index);
    this.#workers[index] = worker;
    this.scheduler.workerRestored(worker.index, worker);
    for (const shard of this.#shards[index]) {
      for (const message of this.#unannounced[shard]) this.#announce(worker, message);
    }
    this.#touch();
  }

  #touch(): void {
    this.#nextTurnMs = 0;
  }

  /** Workers and scheduler answer each other until nothing happens without time passing, a bounded number of times. */
  #settleDown(): void {
    for (let round = 0; round < 20; round++) {
      for (const worker of this.#workers) {
        if (worker.alive) worker.step();
        if (worker.alive && worker.diesOf !== null) this.#die(worker);
      }
      if (this.#router.step() > 0 || this.#workers.some((worker) => worker.waiting)) this.#touch();
      if (this.#nextTurnMs > this.#clock.monoMs()) break;
      this.#turn();
    }
    if (this.#workers.every((worker) => worker.alive && worker.quiet)) this.#checkSpool();
  }

  #turn(): void {
    const waitMs = this.scheduler.turn();
    this.#turns++;
    must(waitMs >= 0, "a turn asks for a wait");
    this.#nextTurnMs = waitMs === 0 ? 0 : this.#clock.monoMs() + waitMs;
    audit(this.scheduler.core);
    if (this.#deathIsNear) {
      this.#deathIsNear = false;
      this.#kill();
    }
  }

  #nextEventMs(): number {
    const nowMs = this.#clock.monoMs();
    return Math.min(this.#nextTurnMs, ...this.#workers.map((worker) => worker.nextMs())) - nowMs;
  }

  /** With nothing on its way, the spool says what the table says. */
  #checkSpool(): void {
    const { table } = this.scheduler.core;
    for (let row = 1; row <= table.highWater; row++) {
      if (table.state[row] !== State.waiting || (table.flags[row] & RowFlag.unsaved) !== 0) continue;
      const message = this.#ledger.find(table.shard[row] as ShardIndex, table.key[row] as never);
      if (!message.stored) continue;
      must(message.attempts === table.attempts[row], "the spool does not know the attempts of a waiting message");
      must(message.attempts === message.failures, "attempts were lost");
    }
  }

  #shortestDelayMs(queue: string, attempts: number): number {
    const parts = queue.split(/[:@]/);
    const [domain, tenant, campaign] = [parts.at(-1), parts.at(-2) ?? null, parts.at(-3) ?? null];
    const config = this.#policy.byName(`${campaign}:${tenant}@${domain}`);
    return retryIntervalMs(config, attempts) - Math.min(config.retryIntervalMs / 20, 60_000) / 2 - 1;
  }

  #summary(): Summary {
    const { counters, table } = this.scheduler.core;
    return {
      accepted: table.accepted,
      delivered: counters.delivered,
      bounced: counters.bounced + counters.bouncedHere,
      expired: counters.expired,
      transient: counters.transient + counters.transientHere,
      returned: counters.returned + counters.dropped,
      duplicates: this.#ledger.messages.filter((message) => message.taken > 1).length,
      deaths: this.#deaths,
      setAside: this.#setAside,
      parked: counters.parked,
      throttled: counters.throttled + counters.connectionsThrottled,
      limited: counters.connectionsLimited,
      suspensions: [...this.scheduler.core.sources.all()].reduce((sum, source) => sum + source.suspensions, 0),
      reloads: this.scheduler.core.epoch,
      sessions: counters.sessionsOpened,
      turns: this.#turns,
    };
  }
}
