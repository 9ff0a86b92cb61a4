import type { DomainShare } from "./options.js";

/** Most domains of one load. */
export const MOST_DOMAINS = 1_000_000;

/**
 * `count` domains, `d1.example` and so on, whose weights fall with their rank as Zipf's law has it: 1 / rank^exponent.
 * Mail of real senders is near 1; 0 gives all domains the same weight.
 */
export function zipfDomains(count: number, exponent: number): readonly DomainShare[] {
  return Array.from({ length: count }, (_, i) => ({ name: `d${i + 1}.example`, weight: (i + 1) ** -exponent }));
}
