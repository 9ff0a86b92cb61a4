/**
 * What a worker owes the scheduler: outcomes, sessions that changed, rows whose spool entries are gone. Usually it is
 * written into the ring at once; when the ring is full it waits here, in order.
 *
 * Runs on   a worker
 * Owns      reports that found no room yet
 * When full bounded by what the scheduler handed out: one outcome per message in hand, one change per session, and one
 *           confirmation per row that is being removed
 * On failure nothing can fail
 */
import type { Row, SessionId, ShardIndex, SpoolKey } from "../base/brands.js";
import { type OutcomeKind, SessionChange } from "../protocol/layout/frames.js";
import type { UpMessage } from "../protocol/messages.js";
import type { SchedulerLink } from "./scheduler-link.js";

/** Rows per `retired` frame at most. */
const ROWS_PER_FRAME = 512;

interface Waiting {
  readonly row: Row;
  readonly session: SessionId;
  /** 0 for a change of the session. */
  readonly kind: OutcomeKind | 0;
  readonly flags: number;
  readonly code: number;
}

/** See the file's header. */
export class Reports {
  readonly #link: SchedulerLink;
  #waiting: Waiting[] = [];
  #messages: UpMessage[] = [];
  #retired: Row[] = [];

  constructor(link: SchedulerLink) {
    this.#link = link;
  }

  /** What became of a message. */
  outcome(row: Row, session: SessionId, kind: OutcomeKind, flags: number, code: number): void {
    if (this.#waiting.length > 0 || !this.#link.outcome(row, session, kind, flags, code)) {
      this.#waiting.push({ row, session, kind, flags, code });
    }
  }

  /** The session is greeted. */
  up(session: SessionId): void {
    this.#change(session, SessionChange.up);
  }

  /** The session is over. */
  ended(session: SessionId): void {
    this.#change(session, SessionChange.ended);
  }

  #change(session: SessionId, change: SessionChange): void {
    if (this.#waiting.length > 0 || !this.#link.session(session, change)) {
      this.#waiting.push({ row: 0 as Row, session, kind: 0, flags: change, code: 0 });
    }
  }

  /** The spool entries of these rows are gone; a negative token is the key of one that the scheduler never knew. */
  retired(shard: ShardIndex, tokens: readonly number[]): void {
    for (const token of tokens) {
      if (token > 0) this.#retired.push(token as Row);
      else this.message({ kind: "left", shard, key: -token as SpoolKey });
    }
  }

  /** A rare message. */
  message(message: UpMessage): void {
    if (this.#messages.length > 0 || !this.#link.message(message)) this.#messages.push(message);
  }

  /** Writes what found no room before; called once a turn, before the link publishes. Returns whether nothing waits. */
  flush(): boolean {
    while (this.#waiting.length > 0) {
      const { row, session, kind, flags, code } = this.#waiting[0]!;
      const sent =
        kind === 0 ? this.#link.session(session, flags) : this.#link.outcome(row, session, kind, flags, code);
      if (!sent) return false;
      this.#waiting.shift();
    }
    while (this.#messages.length > 0) {
      if (!this.#link.message(this.#messages[0]!)) return false;
      this.#messages.shift();
    }
    let from = 0;
    while (from < this.#retired.length) {
      const to = Math.min(from + ROWS_PER_FRAME, this.#retired.length);
      if (!this.#link.retired(this.#retired, from, to)) break;
      from = to;
    }
    if (from === this.#retired.length) this.#retired.length = 0;
    else this.#retired.splice(0, from);
    return this.#retired.length === 0;
  }
}
