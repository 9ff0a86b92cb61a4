/**
 * Starts the workers, connects them with the scheduler, and replaces those that die.
 *
 * Runs on   the main thread
 * Owns      one seat per worker: its rings, its link, what of its shards is still to be announced
 * When full as many seats as `threads.workers`, never more
 * On failure a dead worker's ring is read to its end, its sessions are given up and its messages go back to waiting, then
 *           a fresh thread takes the seat, after a pause that grows while deaths repeat. A worker that spins is ended and
 *           goes the same way; what a dead worker had in hand gets a strike
 */
import { assert } from "../base/assert.js";
import type { ShardIndex, SpoolKey, WorkerIndex } from "../base/brands.js";
import { messageOf } from "../base/fault.js";
import { SharedState } from "../protocol/layout/shared-state.js";
import { messageId, nodeDigits } from "../protocol/message-id.js";
import type { DownMessage, UpMessage } from "../protocol/messages.js";
import { Counter } from "../protocol/metrics.js";
import { Bell } from "../ring/doorbell.js";
import { ringBytes } from "../ring/ring.js";
import type { WorkerInit } from "../worker/init.js";
import { threadCpuMs } from "../worker/os-thread.js";
import { createSwapGate, SwapGate } from "../worker/spool/swap-gate.js";
import { Broadcast } from "./broadcast.js";
import { WorkerPool } from "./pool.js";
import { ShardProgress } from "./shard-progress.js";
import { doing } from "./strikes.js";
import type { SupervisorEvents, SupervisorParts } from "./supervisor-parts.js";
import { Watchdog } from "./watchdog.js";
import { WorkerLink } from "./worker-link.js";

const UP_RING_BYTES = 1 << 20;
const DOWN_RING_BYTES = 1 << 20;
const FIRST_PAUSE_MS = 50;
const LONGEST_PAUSE_MS = 30_000;
/** A worker that lived this long has its pause forgotten. */
const HEALTHY_MS = 60_000;

interface Seat {
  readonly index: WorkerIndex;
  readonly progress: Map<ShardIndex, ShardProgress>;
  link: WorkerLink;
  threadId: number;
  osThread: number;
  /** Why the watchdog ended the thread, null while it did not. */
  ended: string | null;
  open: boolean;
  listening: boolean;
  startedMs: number;
  pauseMs: number;
  timer: NodeJS.Timeout | null;
}

/** See the file's header. */
export class Supervisor {
  readonly #parts: SupervisorParts;
  readonly #events: SupervisorEvents;
  readonly #pool: WorkerPool;
  readonly #seats: Seat[] = [];
  readonly #swapGate: SharedArrayBuffer;
  readonly #broadcast = new Broadcast();
  #listen = false;
  #stopping: DownMessage | null = null;
  readonly #watchdog: Watchdog;
  #watch: NodeJS.Timeout | null = null;
  #living = 0;
  #whenAllGone: (() => void) | null = null;

  constructor(parts: SupervisorParts, events: SupervisorEvents) {
    this.#parts = parts;
    this.#events = events;
    this.#pool = new WorkerPool(parts.config.threads.workers);
    this.#watchdog = new Watchdog(parts.config.threads.watchdogTimeoutMs, threadCpuMs);
    this.#swapGate = createSwapGate(parts.config.threads.workers);
  }

  /** Starts all workers; `ready` tells of each. */
  start(): void {
    for (let index = 0; index < this.#parts.config.threads.workers; index++) {
      const progress = new Map<ShardIndex, ShardProgress>();
      for (const shard of this.#parts.shards[index] ?? []) progress.set(shard, new ShardProgress());
      this.#seats.push(this.#launch(index as WorkerIndex, progress, FIRST_PAUSE_MS));
    }
    (this.#parts.shared.counters(0)[Counter.messageStrikes] as number) += this.#parts.hands.found;
    this.#watch = setInterval(() => this.#lookAfterAll(), this.#watchdog.intervalMs);
    this.#watch.unref();
  }

  /** The links in the order of the workers, dead ones included. */
  links(): readonly WorkerLink[] {
    return this.#seats.map((seat) => seat.link);
  }

  /** Whether any worker has written frames that were not read yet. */
  get waiting(): boolean {
    for (const seat of this.#seats) if (seat.link.waiting) return true;
    return false;
  }

  /**
   * Reads what workers say before the scheduler knows them, up to and including that they are ready. Called every turn.
   */
  poll(): void {
    for (const seat of this.#seats) {
      while (!seat.open && seat.link.drain(this.#parts.events, 1) > 0) {}
    }
  }

  /** Has the workers begin to accept connections, also those that come later. */
  listen(): void {
    this.#listen = true;
    for (const seat of this.#seats) this.#tellToListen(seat);
  }

  /** Sends a message to every living worker, as soon as its ring has room. */
  broadcast(message: DownMessage): void {
    this.#broadcast.send(this.links(), message);
  }

  /** Sends a message to one worker; false when it is not there, or its ring is full. */
  tell(index: number, message: DownMessage): boolean {
    const seat = this.#seats[index];
    if (seat === undefined || !seat.open || !seat.link.send(message)) return false;
    seat.link.publish();
    return true;
  }

  /** Asks all workers to stop within `deadlineMs`, then ends their threads. Resolves when none is left. */
  async stop(deadlineMs: number): Promise<void> {
    this.#stopping = { kind: "stop", deadlineMs };
    if (this.#watch !== null) clearInterval(this.#watch);
    for (const seat of this.#seats) if (seat.timer !== null) clearTimeout(seat.timer);
    const gone = new Promise<void>((resolve) => {
      this.#whenAllGone = resolve;
    });
    this.broadcast(this.#stopping);
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, deadlineMs + 2000);
    });
    if (this.#living > 0) await Promise.race([gone, late]);
    clearTimeout(timer);
    await this.#pool.close();
  }

  /** Has a worker's thread end itself as a crash would: the fault injection of tests. False when it cannot be told. */
  kill(index: number, when: "now" | "written"): boolean {
    const link = this.#seats[index]?.link;
    if (link?.send({ kind: "die", when }) !== true) return false;
    link.publish();
    return true;
  }

  #launch(index: WorkerIndex, progress: Map<ShardIndex, ShardProgress>, pauseMs: number): Seat {
    const { config, shared, log } = this.#parts;
    const up = new SharedArrayBuffer(ringBytes(UP_RING_BYTES));
    const down = new SharedArrayBuffer(ringBytes(DOWN_RING_BYTES));
    const bell = new Bell(shared.words, SharedState.bellIndex(1 + index));
    const link = new WorkerLink(index, up, down, bell, (message) => this.#onMessage(seat, message), progress);
    const seat: Seat = {
      index,
      progress,
      link,
      threadId: 0,
      osThread: 0,
      ended: null,
      open: false,
      listening: false,
      startedMs: this.#parts.clock.monoMs(),
      pauseMs,
      timer: null,
    };
    const init: WorkerInit = {
      index,
      workers: config.threads.workers,
      config,
      shards: [...progress].map(([shard, told]) => ({
        shard,
        announce: told.ranges(),
        settled: told.settled(log.settledIn(shard)),
        newest: Math.max(log.newestIn(shard), told.newest),
        known: told.known,
        sentences: this.#parts.hands.strikes.sentencesIn(shard),
      })),
      up,
      down,
      shared: shared.memory,
      logShared: this.#parts.logShared,
      hands: this.#parts.hands.memory,
      swapGate: this.#swapGate,
      segment: this.#parts.segment(index),
      ports: this.#parts.ports,
      sink: this.#parts.sink,
    };
    this.#living++;
    this.#pool.run(init).then(
      () => this.#gone(seat, null),
      (error: unknown) => this.#gone(seat, messageOf(error)),
    );
    return seat;
  }

  #onMessage(seat: Seat, message: UpMessage): void {
    switch (message.kind) {
      case "opened":
        seat.open = true;
        seat.threadId = message.threadId;
        seat.osThread = message.osThread;
        for (const { shard, lastKey } of message.shards) seat.progress.get(shard)?.opened(lastKey);
        this.#events.ready(seat.index, seat.link);
        this.#tellToListen(seat);
        break;
      case "quarantined":
        this.#recorded(seat, message.shard, message.key);
        break;
      case "lost":
        this.#recorded(seat, message.shard, message.key);
        this.#tellLost(message.shard, message.key, message.reason);
        return;
      case "left":
        this.#parts.hands.strikes.gone(message.shard, message.key);
        return;
      case "loaded":
        seat.progress.get(message.shard)?.loaded();
        break;
      case "reopening":
        this.broadcast({ kind: "letGo", shard: message.shard });
        return;
      case "wanted":
        this.#save(message.shard, message.key);
        return;
      default:
        break;
    }
    this.#events.message(seat.index, message);
  }

  #recorded(seat: Seat, shard: ShardIndex, key: SpoolKey): void {
    this.#parts.hands.strikes.recorded(shard, key);
    seat.progress.get(shard)?.recorded(key);
  }

  /** With `deferred` the death of a worker has been told, and that what was in its memory only is lost. */
  #tellLost(shard: ShardIndex, key: SpoolKey, reason: string): void {
    const { node, spool } = this.#parts.config;
    if (spool.durability === "deferred") return;
    this.#events.notice(`message ${messageId(nodeDigits(node.nodeId), shard, key)} is lost: ${reason}`);
  }

  /** Has a message's owner store it. With its ring full it is stored a little later, by itself. */
  #save(shard: ShardIndex, key: SpoolKey): void {
    const owner = this.#seats.find((seat) => seat.progress.has(shard));
    if (owner?.link.send({ kind: "save", shard, key }) === true) owner.link.publish();
  }

  /** A strike for what a dead worker had in hand. Returns what the operator hears of it. */
  #blame(index: WorkerIndex): string {
    const { config, shared, hands } = this.#parts;
    const held = hands.hands.held(index);
    if (held === null) return "";
    (shared.counters(0)[Counter.messageStrikes] as number)++;
    const deaths = hands.strikes.strike(held);
    const id = messageId(nodeDigits(config.node.nodeId), held.shard, held.key);
    return `; it was ${doing(held.work)} message ${id}, whose strike ${deaths} this is`;
  }

  #lookAfterAll(): void {
    const { clock, shared } = this.#parts;
    this.#watchdog.begin(clock.monoMs());
    for (const seat of this.#seats) {
      // One that starts checks its shards' pages, and so does one that opens a shard anew: that takes its time. It has no
      // message in hand then; one that has spins with it, and would never come to open its shard.
      const unhealthy = (shared.counters(1 + seat.index)[Counter.shardsUnhealthy] as number) > 0;
      const mends = unhealthy && this.#parts.hands.hands.held(seat.index) === null;
      if (!seat.open || seat.ended !== null || mends) this.#watchdog.pass(seat.index);
      else this.#lookAfter(seat, shared.beat(1 + seat.index)[0] as number);
    }
  }

  #lookAfter(seat: Seat, beats: number): void {
    const { config, shared } = this.#parts;
    const forMs = config.threads.watchdogTimeoutMs;
    const silent = `no turn for more than ${forMs / 1000} s`;
    switch (this.#watchdog.look(seat.index, beats, seat.osThread)) {
      case "spins":
        seat.ended = `ended by the watchdog: ${silent}, and not for waiting`;
        (shared.counters(0)[Counter.workersStuck] as number)++;
        void this.#kill(seat);
        break;
      case "waits":
        this.#events.notice(`worker ${seat.index} has taken ${silent}; it waits for the disk, or for the processor`);
        break;
      default:
        break;
    }
  }

  /** Ends a thread that spins. One that cannot be ended stays as it is: its seat is taken, and only a restart helps. */
  async #kill(seat: Seat): Promise<void> {
    const why = await this.#pool.kill(seat.threadId);
    if (why !== null) this.#events.notice(`worker ${seat.index} spins and could not be ended: ${why}`);
  }

  #tellToListen(seat: Seat): void {
    if (!this.#listen || !seat.open || seat.listening) return;
    seat.listening = seat.link.send({ kind: "listen" });
    seat.link.publish();
  }

  /** A worker's task ended: as asked (`reason` null) or by the death of its thread. */
  #gone(seat: Seat, reason: string | null): void {
    const { clock, shared, events } = this.#parts;
    seat.link.sever();
    while (seat.link.drain(events, 4096) > 0) {}
    this.#living--;
    forgetGauges(shared, seat.index);
    SwapGate.forget(this.#swapGate, seat.index);
    if (reason === null) {
      if (this.#living === 0) this.#whenAllGone?.();
      return;
    }
    (shared.counters(0)[Counter.workersLost] as number)++;
    const blamed = this.#blame(seat.index);
    const accounted = this.#events.lost(seat.index, (seat.ended ?? reason) + blamed);
    for (const progress of seat.progress.values()) progress.lost();
    const lived = clock.monoMs() - seat.startedMs;
    const pauseMs = lived > HEALTHY_MS ? FIRST_PAUSE_MS : Math.min(LONGEST_PAUSE_MS, seat.pauseMs * 2);
    const replace = (): void => {
      assert(this.#seats[seat.index] === seat, "a seat is taken by one worker at a time");
      this.#seats[seat.index] = this.#launch(seat.index, seat.progress, pauseMs);
    };
    const { hands, strikes } = this.#parts.hands;
    void Promise.all([accounted, strikes.saved()]).then(([words]) => {
      for (const [shard, progress] of seat.progress) {
        for (const key of words.settledIn(shard)) progress.recorded(key);
      }
      // Only now: a strike that is not on disk yet is found here by the next start.
      hands.clear(seat.index);
      if (this.#stopping === null) seat.timer = setTimeout(replace, seat.pauseMs);
      else if (this.#living === 0) this.#whenAllGone?.();
    });
  }
}

/** What a worker had is gone with it: its figures that say how much there is of something now. */
function forgetGauges(shared: SharedState, index: WorkerIndex): void {
  const counters = shared.counters(1 + index);
  counters[Counter.connectionsOpen] = 0;
  counters[Counter.clientConnectionsOpen] = 0;
  counters[Counter.promised] = 0;
  counters[Counter.deferredMessages] = 0;
  counters[Counter.deferredBytes] = 0;
  counters[Counter.logsUnwritable] = 0;
  counters[Counter.sockets] = 0;
  counters[Counter.schedulerLagging] = 0;
  shared.listenerConnections(1 + index).fill(0);
}
