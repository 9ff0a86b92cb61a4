import { canonicalName, clampTtl, type DnsRecord, failure, negativeTtl, type RecordType, type Step } from "./lookup.js";
import { NOERROR, NXDOMAIN, REFUSED, type Response, SERVFAIL } from "./wire.js";

/** Longest chain of aliases, inside one response and over several. */
export const MAX_ALIASES = 10;

/** How responses are read. */
export interface Rules {
  /** Whether the AD bit is believed. */
  readonly trustAuthentic: boolean;
  /** Longest life of a negative answer. */
  readonly negativeTtlMs: number;
}

/** What a response says about a question: the chain of aliases in it is followed as far as it goes. */
export function interpret(response: Response, name: string, type: RecordType, rules: Rules): Step {
  const { rcode } = response;
  if (rcode === SERVFAIL) return failure("dns.servfail", "server failure");
  if (rcode === REFUSED) return failure("dns.refused", "refused by the server");
  if (rcode !== NOERROR && rcode !== NXDOMAIN) return failure("dns.servfail", `response code ${rcode}`);
  const authentic = rules.trustAuthentic && response.authentic;
  let at = name;
  let lifeMs = Number.POSITIVE_INFINITY;
  for (let links = 0; links <= MAX_ALIASES; links++) {
    const records = response.records.filter((record) => record.name === at && record.type === type);
    if (records.length > 0) {
      return { kind: "found", records, ttlMs: clampTtl(Math.min(lifeMs, shortestTtl(records))), authentic };
    }
    const alias = response.records.find((record) => record.name === at && record.type === "CNAME");
    if (alias === undefined) return endOfChain(response, { name, at, lifeMs, authentic }, rules.negativeTtlMs);
    const target = canonicalName(alias.value);
    if (target === null) return failure("dns.malformed", `alias of ${at} to something that is no name`);
    at = target;
    lifeMs = Math.min(lifeMs, alias.ttlMs);
  }
  return failure("dns.loop", `more than ${MAX_ALIASES} aliases behind ${name}`);
}

interface Chain {
  readonly name: string;
  /** Where the aliases lead. */
  readonly at: string;
  readonly lifeMs: number;
  readonly authentic: boolean;
}

/** No record of the type at the end of the chain: does the response say that there is none, or must we go on asking? */
function endOfChain(response: Response, chain: Chain, negativeTtlMs: number): Step {
  const { authentic } = chain;
  const ttlMs = Math.min(negativeTtl(response.soaTtlMs, negativeTtlMs), clampTtl(chain.lifeMs));
  if (response.rcode === NXDOMAIN) return { kind: "nxdomain", ttlMs, authentic };
  if (response.soaTtlMs !== null) return { kind: "nodata", ttlMs, authentic };
  if (chain.at !== chain.name) {
    return { kind: "alias", target: chain.at, ttlMs: clampTtl(chain.lifeMs), authentic };
  }
  // A server that only points to others has not looked; taking that for "no record" would bounce or misroute mail.
  if (response.referral) return failure("dns.servfail", "the server does not resolve for us");
  return { kind: "nodata", ttlMs, authentic };
}

function shortestTtl(records: readonly DnsRecord[]): number {
  return records.reduce((least, record) => Math.min(least, record.ttlMs), Number.POSITIVE_INFINITY);
}
