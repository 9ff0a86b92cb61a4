import type { TlsCount, TlsOutcome } from "../protocol/tls-policy.js";

/** Most different outcomes that wait to be told. */
const MAX_KINDS = 10_000;
/** What a peer said, cut. */
const MAX_DETAIL = 200;

/**
 * Outcomes of TLS on one worker until the main thread is told: equal ones are one row with a count. When full, an outcome of
 * a new kind is dropped and counted.
 */
export class TlsTally {
  readonly #counts = new Map<string, { readonly outcome: TlsOutcome; count: number }>();
  /** Outcomes that found no place. */
  dropped = 0;

  /** Different outcomes that wait. */
  get size(): number {
    return this.#counts.size;
  }

  /** Notes one outcome. */
  add(outcome: TlsOutcome): void {
    const { domain, policy, result, mxHost, sendingIp, receivingIp } = outcome;
    const key =
      result === "success"
        ? `${policy} ${domain}`
        : JSON.stringify([domain, policy, result, mxHost, sendingIp, receivingIp]);
    const known = this.#counts.get(key);
    if (known !== undefined) known.count++;
    else if (this.#counts.size >= MAX_KINDS) this.dropped++;
    else this.#counts.set(key, { outcome: { ...outcome, detail: outcome.detail.slice(0, MAX_DETAIL) }, count: 1 });
  }

  /** Takes out at most `max` rows, oldest first. */
  take(max: number): readonly TlsCount[] {
    const rows: TlsCount[] = [];
    for (const [key, { outcome, count }] of this.#counts) {
      if (rows.length >= max) break;
      rows.push({ ...outcome, count });
      this.#counts.delete(key);
    }
    return rows;
  }
}
