import type { TlsCount, TlsOutcome, TlsResult } from "../protocol/tls-policy.js";

/**
 * How TLS went, by day and policy domain, in the form in which domains want to be told (RFC 8460 §4). Pure: days come from
 * outside. When full, a domain or a kind of failure that is new on that day is only counted as `unlisted`.
 */

/** Most rows (domain and policy type) of one day. */
export const MAX_ROWS_PER_DAY = 50_000;
/** Most kinds of failures of one row. */
export const MAX_FAILURES_PER_ROW = 100;

/** One kind of failure. */
export interface FailureRow {
  readonly result: Exclude<TlsResult, "success">;
  readonly mxHost: string;
  readonly sendingIp: string | null;
  readonly receivingIp: string | null;
  /** Of the first one. */
  readonly detail: string;
  count: number;
}

/** One domain under one policy, one day. */
export interface DomainRow {
  readonly domain: string;
  readonly policy: TlsOutcome["policy"];
  successes: number;
  failures: number;
  /** Failures that are counted in `failures` and have no row. */
  unlisted: number;
  readonly kinds: Map<string, FailureRow>;
}

/** RFC 8460 §4.4, the part that is known here; the date range and the sender come with the sending. */
export interface PolicyReport {
  readonly policy: { readonly "policy-type": TlsOutcome["policy"]; readonly "policy-domain": string };
  readonly summary: {
    readonly "total-successful-session-count": number;
    readonly "total-failure-session-count": number;
  };
  readonly "failure-details": readonly {
    readonly "result-type": Exclude<TlsResult, "success">;
    readonly "sending-mta-ip"?: string;
    readonly "receiving-ip"?: string;
    readonly "receiving-mx-hostname"?: string;
    readonly "failed-session-count": number;
    readonly "failure-reason-code"?: string;
  }[];
}

/** The counts of one day. */
export class TlsDay {
  readonly #rows = new Map<string, DomainRow>();
  /** Outcomes of domains that found no row. */
  unlisted = 0;

  /** The domains that there is something to tell. */
  get domains(): ReadonlySet<string> {
    return new Set([...this.#rows.values()].map((row) => row.domain));
  }

  /** All rows, as they are. */
  get rows(): readonly DomainRow[] {
    return [...this.#rows.values()];
  }

  /** Counts an outcome `count` times. */
  add({ domain: written, policy, result, mxHost, sendingIp, receivingIp, detail, count }: TlsCount): void {
    const domain = written.toLowerCase();
    const row = this.#row(domain, policy);
    if (row === null) this.unlisted += count;
    else if (result === "success") row.successes += count;
    else {
      row.failures += count;
      const key = JSON.stringify([result, mxHost, sendingIp, receivingIp]);
      const kind = row.kinds.get(key);
      if (kind !== undefined) kind.count += count;
      else if (row.kinds.size >= MAX_FAILURES_PER_ROW) row.unlisted += count;
      else row.kinds.set(key, { result, mxHost, sendingIp, receivingIp, detail, count });
    }
  }

  /** Counts failures that found no row before they were kept. */
  addUnlisted(domain: string, policy: TlsOutcome["policy"], count: number): void {
    const row = this.#row(domain, policy);
    if (row === null) this.unlisted += count;
    else {
      row.failures += count;
      row.unlisted += count;
    }
  }

  #row(domain: string, policy: TlsOutcome["policy"]): DomainRow | null {
    const key = `${policy} ${domain}`;
    const known = this.#rows.get(key);
    if (known !== undefined) return known;
    if (this.#rows.size >= MAX_ROWS_PER_DAY) return null;
    const row = { domain, policy, successes: 0, failures: 0, unlisted: 0, kinds: new Map<string, FailureRow>() };
    this.#rows.set(key, row);
    return row;
  }

  /** What is to be told to one domain, one entry per policy type; empty when there is nothing. */
  report(domain: string): readonly PolicyReport[] {
    return this.rows.filter((row) => row.domain === domain.toLowerCase()).map(reportOf);
  }
}

function reportOf(row: DomainRow): PolicyReport {
  return {
    policy: { "policy-type": row.policy, "policy-domain": row.domain },
    summary: { "total-successful-session-count": row.successes, "total-failure-session-count": row.failures },
    "failure-details": [...row.kinds.values()].map((kind) => ({
      "result-type": kind.result,
      ...(kind.sendingIp !== null && { "sending-mta-ip": kind.sendingIp }),
      ...(kind.receivingIp !== null && { "receiving-ip": kind.receivingIp }),
      ...(kind.mxHost !== "" && { "receiving-mx-hostname": kind.mxHost }),
      "failed-session-count": kind.count,
      ...(kind.detail !== "" && { "failure-reason-code": kind.detail }),
    })),
  };
}
