import type { PathConfig } from "../config/compiled.js";
import type { Claim } from "../shaping/leases.js";
import type { Throttle, ThrottleBook } from "../shaping/throttle.js";

/** The rates and shared limits of one path, held as long as its options are in force. */
export interface PathLimits {
  /** What each of its sessions takes. */
  readonly claims: readonly Claim[];
  /** `max_connection_rate`; null for none. */
  readonly connecting: Throttle | null;
  /** All rates at which its source may be chosen for its site. */
  readonly choosing: readonly Throttle[];
}

/** No limits at all: what most paths have. */
export const NO_LIMITS: PathLimits = { claims: [], connecting: null, choosing: [] };

/** Holds what a path's options name, under the names that the reference gives them (§7). */
export function holdLimits(
  book: ThrottleBook,
  config: PathConfig,
  path: string,
  source: string,
  nowUs: number,
): PathLimits {
  const { additionalConnectionLimits, additionalSourceSelectionRates, maxConnectionRate, sourceSelectionRate } = config;
  const claims = Object.entries(additionalConnectionLimits).map(([name, limit]) => ({ name, limit }));
  const choosing = Object.entries(additionalSourceSelectionRates).map(([name, rate]) => book.hold(name, rate, nowUs));
  if (sourceSelectionRate !== null) {
    choosing.push(book.hold(`kumomta.source_selection_rate.${path}.${source}`, sourceSelectionRate, nowUs));
  }
  const connecting = maxConnectionRate === null ? null : book.hold(`${path}-connection-rate`, maxConnectionRate, nowUs);
  if (claims.length === 0 && choosing.length === 0 && connecting === null) return NO_LIMITS;
  return { claims, connecting, choosing };
}

/** Lets go of them. */
export function releaseLimits(book: ThrottleBook, limits: PathLimits, nowUs: number): void {
  for (const throttle of limits.choosing) book.release(throttle, nowUs);
  if (limits.connecting !== null) book.release(limits.connecting, nowUs);
}
