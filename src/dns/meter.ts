import { Histogram, observe } from "../protocol/histograms.js";
import { Counter } from "../protocol/metrics.js";
import type { LookupFailure } from "./lookup.js";

/** What a resolver counts. */
export interface Meter {
  /** Answered by the cache. */
  cacheHit(): void;
  /** A question that the cache does not answer has begun, and ended after so long. */
  begun(): void;
  ended(tookMs: number): void;
  /** One packet, or connection, to one server. */
  asked(): void;
  /** A question that ended without an answer. */
  failed(code: LookupFailure): void;
}

/** Counts nothing. */
export const NO_METER: Meter = { cacheHit() {}, begun() {}, ended() {}, asked() {}, failed() {} };

const FAILURES: Readonly<Record<LookupFailure, Counter>> = {
  "dns.timeout": Counter.dnsTimeouts,
  "dns.servfail": Counter.dnsServfails,
  "dns.refused": Counter.dnsRefused,
  "dns.malformed": Counter.dnsMalformed,
  "dns.case": Counter.dnsMalformed,
  "dns.loop": Counter.dnsLoops,
  "dns.busy": Counter.dnsBusy,
  "socket.failed": Counter.dnsSockets,
};

/** A meter over one thread's block of counters and histograms. */
export function threadMeter(counters: Float64Array, histograms: Float64Array): Meter {
  const count = (counter: Counter, by: number): void => {
    (counters[counter] as number) += by;
  };
  return {
    cacheHit: () => count(Counter.dnsCacheHits, 1),
    begun: () => count(Counter.dnsInProgress, 1),
    ended: (tookMs) => {
      count(Counter.dnsInProgress, -1);
      observe(histograms, Histogram.dnsLookupSeconds, tookMs / 1000);
    },
    asked: () => count(Counter.dnsQueries, 1),
    failed: (code) => count(FAILURES[code], 1),
  };
}
