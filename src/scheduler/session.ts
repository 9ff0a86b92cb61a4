import type { SessionId, WorkerIndex } from "../base/brands.js";
import { CloseReason } from "../protocol/layout/frames.js";
import type { Claim } from "../shaping/leases.js";
import type { EgressPath } from "./egress-path.js";
import { Chain, Link } from "./links.js";
import { RowList } from "./message-table.js";

/** Where a session is in its life. */
export type SessionState =
  /** Told to connect, with its first message in hand. */
  | "opening"
  /** Has a message in hand. */
  | "busy"
  /** Free for the next message. */
  | "idle"
  /** Told to close; counts until its worker reports the end. */
  | "closing";

/** One delivery session as the scheduler knows it; the socket is its worker's. */
export class Session {
  readonly id: SessionId;
  readonly path: EgressPath;
  readonly worker: WorkerIndex;
  state: SessionState = "opening";
  /** The messages in hand: recipients of one transaction. */
  readonly hand = new RowList();
  /** Transactions that it has dealt with. */
  deliveries = 0;
  idleSinceMs = 0;
  /** The path's when it was opened: see `EgressPath.generation`. */
  readonly generation: number;
  /** The shared limits of which it holds a lease each. */
  readonly claims: readonly Claim[];
  /** When it was opened, and when it last did something, steady clock ms. */
  readonly openedMs: number;
  progressMs: number;
  /** Why it is to be closed, once it is among its path's leaving sessions. */
  leaving: CloseReason = CloseReason.idle;
  /** Among its path's free or leaving sessions. */
  readonly freeLink = new Link<Session>(this);
  /** Among all paths' free sessions. */
  readonly spareLink = new Link<Session>(this);
  /** Among its worker's sessions. */
  readonly workerLink = new Link<Session>(this);

  constructor(id: SessionId, path: EgressPath, worker: WorkerIndex, nowMs: number) {
    this.id = id;
    this.path = path;
    this.worker = worker;
    this.generation = path.generation;
    this.claims = path.limits.claims;
    this.openedMs = nowMs;
    this.progressMs = nowMs;
  }
}

/** All sessions, by number. Bounded by the paths' connection limits. */
export class SessionBook {
  readonly #byId = new Map<number, Session>();
  readonly #byWorker: readonly Chain<Session>[];
  /** Free sessions of all paths, the one that has been free longest first. */
  readonly spare = new Chain<Session>();
  /** Sessions that were told to close. */
  closing = 0;
  #last = 0;

  constructor(workers: number) {
    this.#byWorker = Array.from({ length: workers }, () => new Chain<Session>());
  }

  get size(): number {
    return this.#byId.size;
  }

  find(id: SessionId): Session | undefined {
    return this.#byId.get(id);
  }

  /** Sessions that live on this worker. */
  on(worker: WorkerIndex): Chain<Session> {
    return this.#byWorker[worker];
  }

  /** A new session under the next number. Numbers are 32 bits wide: after four billion the free ones come again. */
  open(path: EgressPath, worker: WorkerIndex, nowMs: number): Session {
    do this.#last = (this.#last + 1) >>> 0 || 1;
    while (this.#byId.has(this.#last));
    const session = new Session(this.#last as SessionId, path, worker, nowMs);
    this.#byId.set(session.id, session);
    this.#byWorker[worker].append(session.workerLink);
    return session;
  }

  /** Forgets a session that is over. */
  drop(session: Session): void {
    this.#byId.delete(session.id);
    session.workerLink.leave();
    session.freeLink.leave();
    session.spareLink.leave();
    if (session.state === "closing") this.closing--;
  }

  all(): IterableIterator<Session> {
    return this.#byId.values();
  }
}
