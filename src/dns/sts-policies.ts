/**
 * What domains demand by MTA-STS (RFC 8461): the policy that holds now, fetched when it is new, has a new id or grows old.
 * Runs on: the main thread.
 * Owns: the table of policies, the fetches under way, the memory of fetches that failed, a timer.
 * When full: beyond {@link MAX_FETCHES} fetches wait, beyond {@link MAX_WAITING_FETCHES} a domain counts as not reachable now.
 * On failure: a policy that is known holds until its time is over; without one there is none, and five minutes later the
 *   domain is asked again. One domain's trouble is nobody else's.
 */
import type { Clock } from "../base/clock.js";
import type { StsState, TlsOutcome } from "../protocol/tls-policy.js";
import { TtlCache } from "./cache.js";
import { FAILURE_TTL_MS, type Lookup } from "./lookup.js";
import type { Lookups } from "./mx.js";
import type { Fetched, FetchPolicy } from "./sts-fetch.js";
import { type StsPolicy, stsId } from "./sts-policy.js";
import type { StsEntry, StsTable } from "./sts-table.js";

/** Fetches under way at once. */
export const MAX_FETCHES = 32;
/** Fetches that wait for their turn. */
export const MAX_WAITING_FETCHES = 1000;
/** After a fetch that failed the domain is left alone for so long (RFC 8461 §5.1 leaves it to us). */
export const RETRY_MS = 300_000;
/** How often the table is looked through for policies that grow old, and how many are then fetched. */
const SWEEP_MS = 600_000;
const SWEEP_FETCHES = 100;
const MAX_FAILURES_KEPT = 10_000;

/** What holds for a domain now. */
export interface DomainPolicy {
  readonly state: StsState;
  /** The policy behind `state`; null with "none". */
  readonly policy: StsPolicy | null;
  readonly ttlMs: number;
}

/** Nothing is demanded. */
export const NO_POLICY: DomainPolicy = { state: "none", policy: null, ttlMs: Number.POSITIVE_INFINITY };

/** What the policies are made of. */
export interface StsOptions {
  readonly clock: Clock;
  readonly lookups: Lookups;
  /** Whether the operator's own file answers for this domain: then only that file is asked for its policy. */
  readonly isStatic: (name: string, type: "MX" | "TXT") => boolean;
  readonly fetch: FetchPolicy;
  readonly table: StsTable;
  /** A policy was put into the table. */
  readonly changed: () => void;
  /** A policy could not be had. */
  readonly report: (outcome: TlsOutcome) => void;
}

/** See the file's header. */
export class StsPolicies {
  readonly #options: StsOptions;
  readonly #failed: TtlCache<string>;
  readonly #underWay = new Map<string, Promise<Fetched>>();
  readonly #waiting: (() => void)[] = [];
  readonly #timer: NodeJS.Timeout;
  #running = 0;

  constructor(options: StsOptions) {
    this.#options = options;
    this.#failed = new TtlCache(options.clock, MAX_FAILURES_KEPT);
    this.#timer = setInterval(() => this.sweep(), SWEEP_MS);
    this.#timer.unref();
  }

  /** What holds for `domain`, a name in ASCII. Never rejects. */
  async of(domain: string): Promise<DomainPolicy> {
    const { table } = this.#options;
    const answer = await this.#announced(domain);
    const id = answer === null ? null : idOf(answer);
    const known = table.get(domain);
    if (id === null) {
      if (known !== null) return this.#inForce(known, RETRY_MS);
      return answer?.kind === "failed" ? { ...NO_POLICY, ttlMs: RETRY_MS } : NO_POLICY;
    }
    const ttlMs = answer?.ttlMs ?? FAILURE_TTL_MS;
    if (known !== null && known.id === id) {
      if (table.isStale(known)) void this.#refresh(domain, id);
      return this.#inForce(known, ttlMs);
    }
    const fresh = await this.#refresh(domain, id);
    const entry = fresh ?? table.get(domain);
    if (entry !== null) return this.#inForce(entry, fresh === null ? RETRY_MS : ttlMs);
    return { ...NO_POLICY, ttlMs: RETRY_MS };
  }

  /** Fetches policies anew that grow old, whether mail asks for them or not; at most a hundred at a time. */
  sweep(): void {
    const { table } = this.#options;
    let left = SWEEP_FETCHES;
    for (const [domain, entry] of [...table.entries()]) {
      if (left === 0) return;
      if (table.leftMs(entry) <= 0) table.delete(domain);
      else if (table.isStale(entry) && this.#failed.get(domain) === undefined) {
        left--;
        void this.#renew(domain);
      }
    }
  }

  /** Sweeps no more. */
  stop(): void {
    clearInterval(this.#timer);
  }

  /** Asks for the id first: a domain that has withdrawn its record keeps its policy until it is over, unfetched. */
  async #renew(domain: string): Promise<void> {
    const answer = await this.#announced(domain);
    const id = answer === null ? null : idOf(answer);
    if (id !== null) await this.#refresh(domain, id);
  }

  /** The TXT answer; null where the operator's file answers for the domain and has none. */
  async #announced(domain: string): Promise<Lookup | null> {
    const { isStatic, lookups } = this.#options;
    const name = `_mta-sts.${domain}`;
    if (isStatic(domain, "MX") && !isStatic(name, "TXT")) return null;
    return lookups.lookup(name, "TXT");
  }

  #inForce(entry: StsEntry, ttlMs: number): DomainPolicy {
    const left = Math.min(ttlMs, this.#options.table.leftMs(entry));
    const { mode } = entry.policy;
    return mode === "none" ? { ...NO_POLICY, ttlMs: left } : { state: mode, policy: entry.policy, ttlMs: left };
  }

  /** The fetched policy, in the table already; null when it could not be had. */
  async #refresh(domain: string, id: string): Promise<StsEntry | null> {
    if (this.#failed.get(domain)?.value === id) return null;
    const fetched = await this.#fetched(domain, id);
    if (fetched.kind === "failed") return null;
    return this.#options.table.get(domain);
  }

  /** One fetch per domain at a time; what it gives is noted once. */
  #fetched(domain: string, id: string): Promise<Fetched> {
    const before = this.#underWay.get(domain);
    if (before !== undefined) return before;
    const under = this.#inTurn(domain).then((fetched) => {
      this.#underWay.delete(domain);
      this.#note(domain, id, fetched);
      return fetched;
    });
    this.#underWay.set(domain, under);
    return under;
  }

  #note(domain: string, id: string, fetched: Fetched): void {
    const { clock, table, changed, report } = this.#options;
    if (fetched.kind === "policy") {
      table.set(domain, { id, policy: fetched.policy, fetchedMs: clock.steadyMs() });
      changed();
      return;
    }
    this.#failed.set(domain, id, RETRY_MS);
    const { result, reason: detail } = fetched;
    report({ domain, policy: "sts", result, mxHost: "", sendingIp: null, receivingIp: null, detail });
  }

  async #inTurn(domain: string): Promise<Fetched> {
    if (this.#running >= MAX_FETCHES) {
      if (this.#waiting.length >= MAX_WAITING_FETCHES) {
        return { kind: "failed", result: "sts-policy-fetch-error", reason: "too many fetches at once" };
      }
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#running++;
    try {
      return await this.#options.fetch(domain);
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#running--;
      else next();
    }
  }
}

function idOf(answer: Lookup): string | null {
  return answer.kind === "found" ? stsId(answer.records.map((record) => record.value)) : null;
}
