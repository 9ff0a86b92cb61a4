import type { PathId, QueueRef, Row, SessionId, ShardIndex, SpoolKey, WorkerIndex } from "../../src/base/brands.js";
import type { ManualClock } from "../../src/base/clock.js";
import { type Random, randomInt } from "../../src/base/random.js";
import {
  type CloseReason,
  FailureClass,
  failureBits,
  OutcomeFlag,
  OutcomeKind,
  SessionChange,
} from "../../src/protocol/layout/frames.js";
import type { Dispose, PathDefinition, SetAside } from "../../src/protocol/messages.js";
import { isTerminal } from "../../src/protocol/records.js";
import type { WorkerEvents, WorkerPort } from "../../src/scheduler/ports.js";
import { type Ledger, type Message, must } from "./ledger.js";
import { MAX_BATCH } from "./settings.js";

/** How the world treats the workers now. */
export interface Weather {
  /** Frames that a down ring holds. */
  ring: number;
  /** Frames that an up ring holds. */
  upRing: number;
  /** Frames that a worker reads in one step. */
  pace: number;
  connectFails: number;
  refuses: number;
  defers: number;
  returns: number;
  quarantines: number;
  drops: number;
  latencyMs: number;
  /** Sites where no connection ever comes up. */
  readonly dead: Set<string>;
  /** Sources whose address is on no interface. */
  readonly unplumbed: Set<string>;
}

/** What the workers share: the outside world. */
export interface Outside {
  readonly clock: ManualClock;
  readonly random: Random;
  readonly ledger: Ledger;
  readonly weather: Weather;
  /** Living sessions by path name, over all workers. */
  readonly connections: Map<string, number>;
  /** Shortest time between a failed attempt, the n-th from 0, and the next. */
  shortestDelayMs(queue: string, attempts: number): number;
}

interface Session {
  readonly path: PathDefinition;
  up: boolean;
  /** Recipients of the transaction in hand; not begun while `open`. */
  readonly hand: { readonly row: Row; readonly message: Message }[];
  /** More of them were promised. */
  open: boolean;
  /** When the delivery under way ends. */
  doneMs: number;
}

/** What a frame that is on its way up does when it arrives, and when it is written. */
interface UpFrame {
  readonly arrive: (sink: WorkerEvents) => void;
  readonly enter?: () => void;
}

/** A made-up worker: sessions, a share of the spool, and two rings of limited room. */
export class FakeWorker implements WorkerPort {
  readonly index: WorkerIndex;
  alive = true;
  /** It has met a message that kills: the world lets it die before it does anything else. */
  diesOf: Message | null = null;
  readonly #outside: Outside;
  readonly #owned: ReadonlySet<number>;
  #down: (() => void)[] = [];
  #written = 0;
  #up: UpFrame[] = [];
  #outbox: UpFrame[] = [];
  /** Removals whose record is written and whose commit is not over. */
  #slow: { readonly message: Message; readonly row: Row }[] = [];
  readonly #paths = new Map<PathId, PathDefinition>();
  readonly #sessions = new Map<SessionId, Session>();
  #refs = new Map<string, QueueRef>();

  constructor(index: WorkerIndex, owned: ReadonlySet<number>, outside: Outside) {
    this.index = index;
    this.#owned = owned;
    this.#outside = outside;
  }

  /** Frames wait for the scheduler. */
  get waiting(): boolean {
    return this.#up.length > 0;
  }

  /** Nothing is on its way in either direction. */
  get quiet(): boolean {
    return this.#down.length === 0 && this.#up.length === 0 && this.#outbox.length === 0 && this.#slow.length === 0;
  }

  /** Paths that it has been told of and not told to forget. */
  get paths(): number {
    return this.#paths.size;
  }

  // ── the scheduler's side ─────────────────────────────────────────────────────────────────────────────────────────

  room(): number {
    return this.alive ? Math.max(0, this.#outside.weather.ring - this.#down.length) : 0;
  }

  roomForRare(): boolean {
    return this.room() >= 3;
  }

  definePath(path: PathDefinition): void {
    this.#write(() => this.#paths.set(path.id, path));
  }

  forgetPath(id: PathId): void {
    this.#write(() => {
      must(this.#paths.delete(id), "a path is forgotten that was not known");
      for (const session of this.#sessions.values()) must(session.path.id !== id, "a path in use is forgotten");
    });
  }

  open(id: SessionId, pathId: PathId): void {
    this.#write(() => {
      const path = this.#paths.get(pathId);
      must(path !== undefined, "a session is opened on a path that was not described");
      must(!this.#sessions.has(id), "a session's number is used twice");
      this.#count(path, 1);
      this.#sessions.set(id, { path, up: false, hand: [], open: false, doneMs: 0 });
    });
  }

  deliver(id: SessionId, row: Row, shard: ShardIndex, key: SpoolKey, attempts: number, more: boolean): void {
    // What is on its way in a ring when its owner dies of it a second time cannot be called back, and is met here.
    must(this.#outside.ledger.find(shard, key).deaths < 2, "a message that killed twice is given to a session");
    this.#write(() => {
      const session = this.#sessions.get(id);
      if (session === undefined) {
        this.#outcome(row, id, OutcomeKind.returned, 0);
        return;
      }
      const { ledger, clock, weather, random } = this.#outside;
      const message = ledger.find(shard, key);
      const [first] = session.hand;
      must(session.open === (first !== undefined), "a session is given a second transaction");
      const { nth } = message;
      must(
        first === undefined || (first.message.shard === shard && first.message.key - first.message.nth === key - nth),
        "a transaction has recipients of two messages",
      );
      must(session.hand.length < MAX_BATCH, "a transaction has too many recipients");
      must(!message.inHand, "a message is in two hands");
      must(attempts === message.failures, `attempts: ${attempts} said, ${message.failures} made`);
      must(clock.steadyMs() >= message.notBeforeMs, "a message is tried before its time");
      session.hand.push({ row, message });
      session.open = more;
      message.inHand = true;
      session.doneMs = clock.monoMs() + random.next() * weather.latencyMs;
    });
  }

  close(id: SessionId, _reason: CloseReason): void {
    this.#write(() => {
      const session = this.#sessions.get(id);
      if (session === undefined) return;
      must(session.hand.length === 0, "a session is closed with a message in hand");
      this.#end(id, session);
      this.#send({ arrive: (sink) => sink.session(this.index, id, SessionChange.ended) });
    });
  }

  retire(row: Row, shard: ShardIndex, key: SpoolKey): void {
    must(this.#owned.has(shard), "a removal goes to the owner");
    this.#write(() => {
      const message = this.#outside.ledger.find(shard, key);
      must(message.records > 0, "removed from the spool without a terminal record");
      message.stored = false;
      this.#send({ arrive: (sink) => sink.retired(this.index, row) });
    });
  }

  reschedule(shard: ShardIndex, key: SpoolKey, attempts: number, dueMs: number): void {
    must(this.#owned.has(shard), "a due time goes to the owner");
    this.#write(() => this.#store(this.#outside.ledger.find(shard, key), attempts, dueMs));
  }

  dispose(order: Dispose): void {
    must(this.#owned.has(order.shard), "a decision goes to the owner");
    const message = this.#outside.ledger.find(order.shard, order.key);
    if (order.record === "Delayed") {
      must(order.attempts === message.failures, "waiting with a reason costs no attempt");
    } else if (!isTerminal(order.record)) {
      const before = order.attempts - 1;
      must(before === message.failures, "a failure without a session counts one attempt");
      message.failures++;
      this.#postpone(message, before);
    }
    this.#write(() => {
      const { ledger } = this.#outside;
      if (message.deadly === "deciding" && message.stored) {
        must(message.deaths < 3, "a message that killed three times is decided about");
        this.diesOf = message;
        return;
      }
      if (isTerminal(order.record)) {
        must(!message.inHand, "the end of a message in hand is decided");
        if (message.stored) ledger.record(message);
        this.#outcome(order.row, 0 as SessionId, OutcomeKind.disposed, 0);
        // Its worker may die between the record and the commit of the removal.
        if (this.#outside.random.next() < 0.1) {
          this.#slow.push({ message, row: order.row });
          return;
        }
        message.stored = false;
        this.#send({ arrive: (sink) => sink.retired(this.index, order.row) });
      } else {
        this.#store(message, order.attempts, order.dueMs);
      }
    });
  }

  setAside(order: SetAside): void {
    must(this.#owned.has(order.shard), "a message is set aside by its owner");
    this.#write(() => {
      const { ledger, random } = this.#outside;
      const message = ledger.find(order.shard, order.key);
      must(message.deaths >= 2 && !message.inHand, "only what killed twice is set aside");
      if (message.stored) ledger.record(message);
      if (random.next() < 0.1) {
        this.#slow.push({ message, row: order.row });
        return;
      }
      message.stored = false;
      this.#send({ arrive: (sink) => sink.retired(this.index, order.row) });
    });
  }

  drain(sink: WorkerEvents, max: number): number {
    const batch = this.#up.splice(0, max);
    for (const frame of batch) frame.arrive(sink);
    return batch.length;
  }

  publish(): void {
    this.#written = this.#down.length;
  }

  // ── the worker's side ────────────────────────────────────────────────────────────────────────────────────────────

  /** A message is durable: tell the scheduler. */
  announce(message: Message, known: () => void): void {
    let ref = this.#refs.get(message.queue);
    if (ref === undefined && this.#refs.size >= 8) {
      this.#refs = new Map();
      this.#send({ arrive: (sink) => sink.queueRefsReset(this.index) });
    }
    if (ref === undefined) {
      ref = (this.#refs.size + 1) as QueueRef;
      const named = ref;
      this.#refs.set(message.queue, ref);
      this.#send({ arrive: (sink) => sink.queueNamed(this.index, named, message.queue) });
    }
    const number = ref;
    const { shard, key, size, attempts, dueMs, nth } = message;
    this.#send({
      arrive: (sink) => sink.accepted(this.index, shard, key, number, size, attempts, dueMs, nth),
      enter: known,
    });
  }

  /** Reads what the scheduler has published, goes on with deliveries, sends what fits. */
  step(): void {
    const { weather, random, clock } = this.#outside;
    for (const { message, row } of this.#slow.splice(0)) {
      message.stored = false;
      this.#send({ arrive: (sink) => sink.retired(this.index, row) });
    }
    const frames = this.#down.splice(0, Math.min(this.#written, weather.pace));
    this.#written -= frames.length;
    for (const frame of frames) {
      frame();
      if (this.diesOf !== null) return;
    }
    for (const [id, session] of this.#sessions) {
      if (this.diesOf !== null) return;
      if (session.hand.length > 0) {
        if (!session.open && session.doneMs <= clock.monoMs()) this.#finish(id, session);
      } else if (random.next() < weather.drops) {
        // The peer hung up while nothing was in hand.
        this.#end(id, session);
        this.#send({ arrive: (sink) => sink.session(this.index, id, SessionChange.ended) });
      }
    }
    this.#flush();
  }

  /** When a delivery under way ends next, monotonic ms. */
  nextMs(): number {
    let next = Number.POSITIVE_INFINITY;
    for (const session of this.#sessions.values()) if (session.hand.length > 0) next = Math.min(next, session.doneMs);
    return next;
  }

  /** The thread dies. What is in the up ring can still be read; everything else is lost. */
  die(): void {
    const { ledger, random } = this.#outside;
    this.alive = false;
    for (const [id, session] of this.#sessions) {
      for (const { message } of session.hand) {
        message.inHand = false;
        // Perhaps the receiver took it, and even the record was written, but nobody will hear of it but from the log.
        if (message.stored && message.deadly === "no" && random.next() < 0.3) {
          ledger.take(message);
          if (random.next() < 0.4) message.windows++;
          else {
            ledger.record(message);
            if (this.#owned.has(message.shard) && random.next() < 0.5) message.stored = false;
          }
        }
      }
      this.#end(id, session);
    }
    this.#outbox = [];
    this.#slow = [];
    this.#down = [];
  }

  #finish(id: SessionId, session: Session): void {
    const { weather, random } = this.#outside;
    if (session.hand.some(({ message }) => message.deadly === "sending" && message.stored)) {
      // The note says which message is in hand: the first one of the transaction.
      this.diesOf = (session.hand[0] as { message: Message }).message;
      return;
    }
    const hand = session.hand.splice(0);
    for (const { message } of hand) message.inHand = false;
    const last = hand.length - 1;
    const cannotConnect = weather.dead.has(session.path.site) || random.next() < weather.connectFails;
    if (!session.up && weather.unplumbed.has(session.path.source.name)) {
      this.#end(id, session);
      const flags = OutcomeFlag.connectFailed | failureBits(FailureClass.unplumbed);
      hand.forEach(({ row, message }, i) => {
        this.#failed(row, id, message, i === last ? flags | OutcomeFlag.sessionEnded : flags);
      });
      return;
    }
    if (!session.up && cannotConnect) {
      this.#end(id, session);
      hand.forEach(({ row, message }, i) => {
        this.#failed(row, id, message, OutcomeFlag.connectFailed | (i === last ? OutcomeFlag.sessionEnded : 0));
      });
      return;
    }
    if (!session.up) {
      session.up = true;
      this.#send({ arrive: (sink) => sink.session(this.index, id, SessionChange.up) });
    }
    const ends = random.next() < weather.drops;
    if (ends) this.#end(id, session);
    hand.forEach(({ row, message }, i) => {
      this.#judge(id, row, message, ends && i === last ? OutcomeFlag.sessionEnded : 0, this.#owned.has(message.shard));
    });
  }

  #judge(id: SessionId, row: Row, message: Message, ends: number, owner: boolean): void {
    const { weather, random, ledger } = this.#outside;
    const dice = random.next();
    const { quarantines, returns, defers, refuses } = weather;
    if (!message.stored || dice < quarantines) {
      if (message.stored) ledger.record(message);
      message.stored = false;
      this.#outcome(row, id, OutcomeKind.quarantined, ends);
    } else if (dice < quarantines + returns) {
      this.#outcome(row, id, OutcomeKind.returned, ends);
    } else if (dice < quarantines + returns + defers) {
      this.#failed(row, id, message, ends);
    } else {
      const refused = dice < quarantines + returns + defers + refuses;
      if (!refused) ledger.take(message);
      ledger.record(message);
      const kind = refused ? OutcomeKind.bounced : OutcomeKind.delivered;
      this.#outcome(row, id, kind, ends | (owner ? OutcomeFlag.removing : 0));
      if (!owner) return;
      message.stored = false;
      this.#send({ arrive: (sink) => sink.retired(this.index, row) });
    }
  }

  #failed(row: Row, id: SessionId, message: Message, flags: number): void {
    this.#send({
      arrive: (sink) => sink.outcome(this.index, row, id, OutcomeKind.transient, flags, 451),
      enter: () => {
        this.#postpone(message, message.failures);
        message.failures++;
      },
    });
  }

  #outcome(row: Row, id: SessionId, kind: OutcomeKind, flags: number): void {
    this.#send({ arrive: (sink) => sink.outcome(this.index, row, id, kind, flags, 250) });
  }

  #postpone(message: Message, attempts: number): void {
    message.notBeforeMs = this.#outside.clock.steadyMs() + this.#outside.shortestDelayMs(message.queue, attempts);
  }

  #store(message: Message, attempts: number, dueMs: number): void {
    if (!message.stored) return;
    must(attempts >= message.attempts, "the spool's count of attempts goes back");
    message.attempts = attempts;
    message.dueMs = dueMs;
  }

  #end(id: SessionId, session: Session): void {
    this.#sessions.delete(id);
    this.#count(session.path, -1);
  }

  #count(path: PathDefinition, step: number): void {
    const { connections } = this.#outside;
    const open = (connections.get(path.name) ?? 0) + step;
    // A limit that a reload lowers holds for those that are opened from then on.
    must(step < 0 || open <= path.config.connectionLimit, "connection_limit is exceeded");
    connections.set(path.name, open);
  }

  #write(frame: () => void): void {
    must(this.alive && this.room() > 0, "a frame is written without room");
    this.#down.push(frame);
  }

  #send(frame: UpFrame): void {
    this.#outbox.push(frame);
    this.#flush();
  }

  #flush(): void {
    while (this.#outbox.length > 0 && this.#up.length < this.#outside.weather.upRing) {
      const frame = this.#outbox.shift() as UpFrame;
      frame.enter?.();
      this.#up.push(frame);
    }
  }
}

/** A ring's size for a while: often comfortable, sometimes nearly nothing. */
export function someRing(random: Random): number {
  const dice = random.next();
  if (dice < 0.1) return 0;
  if (dice < 0.3) return randomInt(random, 1, 12);
  return randomInt(random, 13, 400);
}
