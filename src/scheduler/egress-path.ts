import type { WorkerIndex } from "../base/brands.js";
import type { PathConfig } from "../config/compiled.js";
import { CloseReason } from "../protocol/layout/frames.js";
import type { PathDefinition } from "../protocol/messages.js";
import { Alarm } from "./alarms.js";
import type { EgressSource } from "./egress-source.js";
import { Chain, Link } from "./links.js";
import type { MessageTable } from "./message-table.js";
import { NO_LIMITS, type PathLimits } from "./path-limits.js";
import { ReadyQueue } from "./ready-queue.js";
import type { Session } from "./session.js";

/** Sessions that end without having tried anything before the path rests. */
const FRUITLESS_BEFORE_REST = 3;
const FIRST_REST_MS = 100;
const LONGEST_REST_MS = 30_000;

/**
 * What it is:  one egress path, source × exact host set, for one domain where that has options of its own: its ready
 *              queue and its sessions.
 * Runs on:     the scheduler's thread.
 * Owns:        the ready queue, the free sessions, the count of connection failures, the rest after fruitless ones.
 * When full:   `max_ready` messages: queues park behind it; `connection_limit` sessions: none is opened.
 * On failure:  too many connection failures in a row fail the whole ready queue (`dispatch.ts`).
 *
 * Queues of all domains with the same hosts share a path, unless the rules have options for one of them alone: mail for a
 * domain that demands TLS must not take a connection that was made without. A reload gives it others (`renewal.ts`).
 */
export class EgressPath {
  definition: PathDefinition;
  config: PathConfig;
  readonly source: EgressSource;
  /** The domain that it is for alone, "" when others share it: what the shaping rules are asked for. */
  readonly domain: string;
  /** Identity: source, exact host set, and the domain that it is for alone. */
  readonly key: string;
  readonly ready: ReadyQueue;
  limits: PathLimits = NO_LIMITS;
  /** The configuration that its options come from. */
  epoch = 0;
  /** Counts up whenever its sessions must be replaced, because they connect from elsewhere or otherwise now. */
  generation = 0;
  /** Its source is not in the configuration any more: it empties itself and goes. */
  retired = false;
  /** Sessions that a reload found above `connection_limit`, and which have not ended yet. */
  tolerated = 0;
  /** The name of the shared limit that it waits for, null for none. */
  waitsFor: string | null = null;
  /** Since when it would open a session and may not by `max_connection_rate`, steady clock ms; 0 when it may. */
  throttledSinceMs = 0;
  /** Since when it waits for {@link waitsFor}, steady clock ms. */
  limitedSinceMs = 0;

  /** Sessions that exist, closing ones included. */
  sessions = 0;
  closing = 0;
  /** Sessions without a message, the one that has been free longest first. */
  readonly free = new Chain<Session>();
  /** Sessions without a message that get none any more: to be closed when their worker has room. */
  readonly leaving = new Chain<Session>();

  /** Connections that failed since the last one that came up. */
  failures = 0;
  /** The whole ready queue is being failed; nothing enters or leaves it otherwise. */
  failing = false;
  #fruitless = 0;
  /** No session is opened before this time, steady clock ms. */
  restUntilMs = 0;

  /** By worker: whether it has been told of this path. */
  readonly defined: boolean[];
  /** By worker: whether what it was told is not true any more. */
  readonly outdated: boolean[];
  gone = false;
  /** Since when it has neither messages nor sessions, steady clock ms. */
  idleSinceMs = 0;
  readonly serviceLink = new Link<EgressPath>(this);
  readonly roomyLink = new Link<EgressPath>(this);
  /** Among the paths that wait for others' sessions to end. */
  readonly heldLink = new Link<EgressPath>(this);
  readonly failingLink = new Link<EgressPath>(this);
  /** Among the paths whose ready messages must go back, all or some of them. */
  readonly withdrawLink = new Link<EgressPath>(this);
  /** Among its source's paths. */
  readonly sourceLink = new Link<EgressPath>(this);
  /** Among the paths that are idle. */
  readonly idleLink = new Link<EgressPath>(this);
  readonly alarm = new Alarm<EgressPath>(this);

  constructor(
    definition: PathDefinition,
    source: EgressSource,
    domain: string,
    key: string,
    table: MessageTable,
    workers: number,
  ) {
    this.definition = definition;
    this.config = definition.config;
    this.source = source;
    this.domain = domain;
    this.key = key;
    this.ready = new ReadyQueue(table, definition.config.maxReady, workers);
    this.defined = new Array<boolean>(workers).fill(false);
    this.outdated = new Array<boolean>(workers).fill(false);
  }

  /** Neither messages nor sessions nor queues that wait for it. */
  get idle(): boolean {
    return this.ready.length === 0 && this.sessions === 0 && this.ready.parked === 0;
  }

  /** Sets a place aside for one message; false when there is none. To be redeemed or returned. */
  reserve(): boolean {
    if (this.failing || this.ready.room === 0) return false;
    this.ready.reserved++;
    return true;
  }

  /** The reserved place is used or not wanted. */
  unreserve(): void {
    this.ready.reserved--;
  }

  /** Whether the worker knows what the path is now. */
  isKnownTo(worker: WorkerIndex): boolean {
    return this.defined[worker] && !this.outdated[worker];
  }

  /** Sessions that may take messages, now or when they are free. */
  get serving(): number {
    return this.sessions - this.closing - this.leaving.length;
  }

  /** Most sessions that it may have. */
  get sessionLimit(): number {
    return this.retired ? 0 : this.config.connectionLimit;
  }

  /** Why a session that is free is not wanted any more; null when it is. */
  unwanted(session: Session): CloseReason | null {
    if (this.retired || session.generation !== this.generation || this.serving > this.sessionLimit)
      return CloseReason.reconfigured;
    return session.deliveries >= this.config.maxDeliveriesPerConnection ? CloseReason.maxDeliveries : null;
  }

  /** Has its free sessions that are not wanted leave, the one that has been free longest first. */
  thinOut(): void {
    for (let link = this.free.first; link !== null; ) {
      const session = link.owner;
      link = link.next;
      const reason = this.unwanted(session);
      if (reason === null) continue;
      session.freeLink.leave();
      session.spareLink.leave();
      session.leaving = reason;
      this.leaving.append(session.freeLink);
    }
  }

  /** A message was tried, with whatever result. */
  noteProgress(): void {
    this.#fruitless = 0;
    this.restUntilMs = 0;
  }

  /**
   * A session ended, or gave its message back, without having tried one. After three in a row the path rests, twice as
   * long each time, so that a worker that cannot open sessions is not asked in a hot loop.
   */
  noteFruitless(nowMs: number): void {
    this.#fruitless++;
    const doublings = this.#fruitless - FRUITLESS_BEFORE_REST;
    if (doublings >= 0) this.restUntilMs = nowMs + Math.min(LONGEST_REST_MS, FIRST_REST_MS * 2 ** doublings);
  }
}
