/** How fast the number of sessions follows the length of the ready queue (reference §13). */
const STEEPNESS = 0.023;

/**
 * How many sessions a path should have for `ready` messages in its ready queue, at most `limit`: one for the first
 * message, then more and more slowly, so that a short burst does not open the whole allowance.
 *
 *     limit 32:   ready 1→1  5→4  10→7  32→17  64→25  128→31  256→32
 */
export function idealSessions(ready: number, limit: number): number {
  const share = Math.min(1 - Math.exp(-STEEPNESS * ready), ready);
  return Math.min(Math.ceil(limit * share), ready);
}
