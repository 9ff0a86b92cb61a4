/** The types of record that are looked up. */
export type RecordType = "A" | "AAAA" | "MX" | "CNAME" | "TXT" | "TLSA";

/** One record, all of one shape. */
export interface DnsRecord {
  /** Lower case, no final dot; "" for the root. */
  readonly name: string;
  readonly type: RecordType;
  /**
   * Address (A, AAAA), exchange (MX), target (CNAME), text (TXT), or `USAGE SELECTOR MATCHING HEX` (TLSA). Names as those
   * above.
   */
  readonly value: string;
  /** Of an MX record; 0 for others. */
  readonly preference: number;
  readonly ttlMs: number;
}

/** Why a lookup failed; a stable code, to be looked for in logs. */
export type LookupFailure =
  | "dns.timeout"
  | "dns.servfail"
  | "dns.refused"
  | "dns.malformed"
  | "dns.loop"
  | "dns.busy"
  /** The server wrote the question in another case, and could not be asked over TCP. */
  | "dns.case"
  | "socket.failed";

/**
 * What a question gave. `nxdomain` and `nodata` are answers: the name does not exist, or has no record of that type.
 * `failed` is none: it says nothing about the name.
 */
export type Lookup =
  | {
      readonly kind: "found";
      /** At least one, all of the type asked for. */
      readonly records: readonly DnsRecord[];
      readonly ttlMs: number;
      /** The server vouches for the answer (its AD bit, RFC 4035 §3.2.3), and we were told to trust it. */
      readonly authentic: boolean;
    }
  | { readonly kind: "nxdomain" | "nodata"; readonly ttlMs: number; readonly authentic: boolean }
  | { readonly kind: "failed"; readonly code: LookupFailure; readonly reason: string; readonly ttlMs: number };

/** A lookup, or one link of a chain of aliases (CNAME) whose end must be asked for. */
export type Step =
  | Lookup
  | { readonly kind: "alias"; readonly target: string; readonly ttlMs: number; readonly authentic: boolean };

/** Longest life of a cached answer, and the shortest. */
export const MAX_TTL_MS = 86_400_000;
/** Shortest life of a cached answer: a TTL of 0 would ask again for every message of a burst. */
export const MIN_TTL_MS = 1000;
/** Longest life of a negative answer unless configured (RFC 2308 §5 allows more; mail to a domain that has just been made should not wait). */
export const MAX_NEGATIVE_TTL_MS = 300_000;
/** Life of a negative answer that comes without a SOA record. */
export const DEFAULT_NEGATIVE_TTL_MS = 60_000;
/** Life of a failure: so long a question that nobody can answer is not asked again (RFC 2308 §7). */
export const FAILURE_TTL_MS = 60_000;

/** A TTL inside the bounds of the cache. */
export function clampTtl(ttlMs: number): number {
  return Math.min(MAX_TTL_MS, Math.max(MIN_TTL_MS, ttlMs));
}

/** The life of a negative answer: the SOA's word (RFC 2308 §5) inside our bounds, or the default without one. */
export function negativeTtl(soaTtlMs: number | null, maxMs = MAX_NEGATIVE_TTL_MS): number {
  return Math.min(maxMs, Math.max(MIN_TTL_MS, soaTtlMs ?? DEFAULT_NEGATIVE_TTL_MS));
}

/** A failure with its code and reason. */
export function failure(
  code: LookupFailure,
  reason: string,
  ttlMs = FAILURE_TTL_MS,
): Extract<Lookup, { kind: "failed" }> {
  return { kind: "failed", code, reason, ttlMs };
}

/**
 * A name in the form that is asked and cached: lower case, no final dot. Null for a text that cannot be a domain name:
 * longer than 253, a label that is empty or longer than 63 (RFC 1035 §2.3.4), anything but printable ASCII without blanks.
 */
export function canonicalName(name: string): string | null {
  const bare = name.endsWith(".") ? name.slice(0, -1) : name;
  if (bare.length === 0 || bare.length > 253 || !/^[!-~]+$/.test(bare)) return null;
  for (const label of bare.split(".")) if (label.length === 0 || label.length > 63) return null;
  return bare.toLowerCase();
}
