/** Longest part of a key that is compared. */
const MAX_COMPARED = 64;

/** Edits that a word costs which only goes on where the other ends: `smtp` is nearer to `smtp_listener` than to `node`. */
const PREFIX_DISTANCE = 2;

/**
 * The member of `known` that takes the fewest single-letter edits (insert, delete, replace, swap of neighbours) to reach
 * from `word`; case, `-` and `camelCase` are forgiven. Of equals the first; null only when `known` is empty.
 */
export function nearest(word: string, known: Iterable<string>): string | null {
  const wanted = normal(word);
  let best: string | null = null;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of known) {
    const other = normal(candidate);
    const begins = wanted.length >= 3 && (other.startsWith(wanted) || (other.length >= 3 && wanted.startsWith(other)));
    const distance = begins ? Math.min(PREFIX_DISTANCE, editDistance(wanted, other)) : editDistance(wanted, other);
    if (distance < bestDistance) {
      bestDistance = distance;
      best = candidate;
    }
  }
  return best;
}

function normal(word: string): string {
  return word
    .slice(0, MAX_COMPARED)
    .replace(/([a-z])([A-Z])/g, "$1_$2")
    .replaceAll("-", "_")
    .toLowerCase();
}

/** The optimal string alignment distance, by three rows of the usual table. */
function editDistance(from: string, to: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row++) {
    const current = [row];
    for (let column = 1; column <= to.length; column++) {
      const same = from[row - 1] === to[column - 1];
      let cost = Math.min(last[column]! + 1, current[column - 1]! + 1, last[column - 1]! + (same ? 0 : 1));
      const swapped = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      if (swapped) cost = Math.min(cost, beforeLast[column - 2]! + 1);
      current.push(cost);
    }
    beforeLast = last;
    last = current;
  }
  return last[to.length]!;
}
