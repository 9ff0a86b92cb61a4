import type { Clock } from "../base/clock.js";
import type { StsPolicy } from "./sts-policy.js";

/** A policy as it was fetched. */
export interface StsEntry {
  /** Of the TXT record that announced it. */
  readonly id: string;
  readonly policy: StsPolicy;
  /** Steady wall clock, ms. */
  readonly fetchedMs: number;
}

/** A policy that lives shorter is kept for so long, or each look would fetch it again. */
const SHORTEST_LIFE_MS = 60_000;
/** After so long, or half of its life, a policy is fetched anew while it is still good (RFC 8461 §10.2). */
const FRESH_MS = 86_400_000;
/** Most letters of all patterns together. */
const MAX_LETTERS = 16 * 1024 * 1024;

/**
 * The policies of domains, those that have not been used for longest first.
 * When full: those go; `max_policies` and 16 MiB of patterns are the bounds.
 */
export class StsTable {
  readonly #entries = new Map<string, StsEntry>();
  readonly #clock: Clock;
  readonly #capacity: number;
  #letters = 0;

  constructor(clock: Clock, capacity: number) {
    this.#clock = clock;
    this.#capacity = capacity;
  }

  /** How many policies are held. */
  get size(): number {
    return this.#entries.size;
  }

  /** The domain's policy while it lasts. */
  get(domain: string): StsEntry | null {
    const entry = this.#entries.get(domain);
    if (entry === undefined) return null;
    this.delete(domain);
    if (this.leftMs(entry) <= 0) return null;
    this.#keep(domain, entry);
    return entry;
  }

  /** Keeps a policy; one whose time is up already is passed over. */
  set(domain: string, entry: StsEntry): void {
    this.delete(domain);
    if (this.leftMs(entry) <= 0) return;
    this.#keep(domain, entry);
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= this.#capacity && this.#letters <= MAX_LETTERS) break;
      this.delete(oldest);
    }
  }

  #keep(domain: string, entry: StsEntry): void {
    this.#entries.set(domain, entry);
    this.#letters += lettersOf(entry);
  }

  /** Forgets a domain's policy. */
  delete(domain: string): void {
    const entry = this.#entries.get(domain);
    if (entry === undefined) return;
    this.#entries.delete(domain);
    this.#letters -= lettersOf(entry);
  }

  /** All policies, oldest use first. */
  entries(): IterableIterator<[string, StsEntry]> {
    return this.#entries.entries();
  }

  /** How long a policy still holds, ms. */
  leftMs(entry: StsEntry): number {
    // A fetch that seems to lie in the future (the clock was set back) counts as one of now.
    const ageMs = Math.max(0, this.#clock.steadyMs() - entry.fetchedMs);
    return Math.max(SHORTEST_LIFE_MS, entry.policy.maxAgeMs) - ageMs;
  }

  /** Whether it should be fetched anew although it still holds. */
  isStale(entry: StsEntry): boolean {
    return this.#clock.steadyMs() - entry.fetchedMs >= Math.min(FRESH_MS, entry.policy.maxAgeMs / 2);
  }
}

function lettersOf(entry: StsEntry): number {
  return entry.policy.mx.reduce((sum, pattern) => sum + pattern.length, 0);
}
