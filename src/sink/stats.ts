/** What became of the recipients of one domain. */
export interface DomainStats {
  accepted: number;
  bounced: number;
  deferred: number;
}

/** The sums of a sink at one moment; as `GET /totals` prints them. */
export interface SinkTotals {
  /** Connections ever taken, those refused for their number included. */
  readonly connections: number;
  /** Connections open now. */
  readonly open: number;
  /** Messages accepted. */
  readonly messages: number;
  /** Recipients of accepted messages. */
  readonly recipients: number;
  /** Recipients refused for good, and for now; each refusal counts. */
  readonly bounced: number;
  readonly deferred: number;
  /** Content of accepted messages as it came over the wire, without the final dot. */
  readonly bytes: number;
  /** When the first and the last message were accepted, ms since 1970; 0 when none was. */
  readonly first: number;
  readonly last: number;
}

/** All counters of a sink at one moment; as `GET /stats` prints them. */
export interface SinkStats extends SinkTotals {
  /** Answers other than greetings and EHLO, by code. */
  readonly codes: Readonly<Record<string, number>>;
  /** By lower-case domain; those beyond {@link MAX_DOMAINS} together under `*`. */
  readonly domains: Readonly<Record<string, DomainStats>>;
}

/** Domains counted apart. */
export const MAX_DOMAINS = 10_000;
const OTHERS = "*";

/**
 * The counters of one sink.
 *
 * Runs on   the sink's thread
 * Owns      the counters
 * When full domains beyond MAX_DOMAINS are counted together under `*`
 * On failure nothing in it fails
 */
export class SinkCounters {
  connections = 0;
  open = 0;
  messages = 0;
  recipients = 0;
  bounced = 0;
  deferred = 0;
  bytes = 0;
  first = 0;
  last = 0;
  readonly #codes = new Float64Array(600);
  readonly #domains = new Map<string, DomainStats>();

  /** Counts an answer, 200–599. */
  answered(code: number): void {
    this.#codes[code] = (this.#codes[code] as number) + 1;
  }

  /** The counters of a domain, made when it is new. */
  domain(name: string): DomainStats {
    const known = this.#domains.get(name);
    if (known !== undefined) return known;
    const key = this.#domains.size < MAX_DOMAINS ? name : OTHERS;
    let made = this.#domains.get(key);
    if (made === undefined) {
      made = { accepted: 0, bounced: 0, deferred: 0 };
      this.#domains.set(key, made);
    }
    return made;
  }

  /** Counts a recipient refused with `code`, for good or for now. */
  refused(stats: DomainStats, code: number): void {
    if (code < 500) {
      stats.deferred++;
      this.deferred++;
    } else {
      stats.bounced++;
      this.bounced++;
    }
  }

  /** Counts an accepted message of `recipients` recipients and `bytes` bytes. */
  accepted(recipients: number, bytes: number, nowMs: number): void {
    this.messages++;
    this.recipients += recipients;
    this.bytes += bytes;
    if (this.first === 0) this.first = nowMs;
    this.last = nowMs;
  }

  /** The sums, at little cost whatever the number of domains. */
  totals(): SinkTotals {
    const { connections, open, messages, recipients, bounced, deferred, bytes, first, last } = this;
    return { connections, open, messages, recipients, bounced, deferred, bytes, first, last };
  }

  /** A copy to print or to send to another thread. */
  snapshot(): SinkStats {
    const codes: Record<string, number> = {};
    this.#codes.forEach((count, code) => {
      if (count > 0) codes[String(code)] = count;
    });
    const domains: [string, DomainStats][] = [];
    for (const [name, stats] of this.#domains) domains.push([name, { ...stats }]);
    return { ...this.totals(), codes, domains: Object.fromEntries(domains) };
  }
}
