import { type Candidate, median, type Sweep } from "./figures.js";

/** Differences below this are never taken for real, however quiet the rounds were. */
const LEAST_NOISE = 0.02;
/** Nor is more than this forgiven: beyond, the rounds say little, and the report says so. */
const MOST_FORGIVEN = 0.15;

/** How much the rounds of one value differ: half of their range by their median; of several values, the median. */
export function noiseOf(candidates: readonly Candidate[]): number {
  const spreads = candidates.map(({ messagesPerSecond: rates }) => {
    const middle = median(rates);
    return middle === 0 ? 0 : (Math.max(...rates) - Math.min(...rates)) / 2 / middle;
  });
  return Math.max(LEAST_NOISE, median(spreads));
}

/**
 * Chooses among values whose rounds were interleaved: the smallest one that, round by round, is within the noise of the
 * fastest (at most 15 %). A thread that gains nothing measurable costs memory and switches all the same.
 */
export function chooseBest(of: Sweep["of"], candidates: readonly Candidate[]): Sweep {
  const noise = noiseOf(candidates);
  const fastest = candidates.reduce((best, one) =>
    median(one.messagesPerSecond) > median(best.messagesPerSecond) ? one : best,
  );
  const near = candidates.filter((one) => {
    // Rounds of one number ran next to each other: their ratio is free of what drifts between rounds.
    const ratios = one.messagesPerSecond.map((rate, round) => rate / (fastest.messagesPerSecond[round] ?? rate));
    return median(ratios) >= 1 - Math.min(noise, MOST_FORGIVEN);
  });
  const best = Math.min(...near.map((one) => one.value), fastest.value);
  const toml = of === "workers" ? `[threads]\nworkers = ${best}\n` : null;
  return { of, candidates, best, noise, doubtful: noise > MOST_FORGIVEN, toml };
}

/** The values that a sweep over threads tries when none are named: all up to 8, then ever wider steps. */
export function defaultWorkers(cores: number): number[] {
  const values = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256];
  return values.filter((value) => value <= cores);
}

/** Values by position in round `round`: every second round runs backwards, so that no value always comes first. */
export function orderOf(count: number, round: number): number[] {
  const forward = Array.from({ length: count }, (_, i) => i);
  return round % 2 === 0 ? forward : forward.reverse();
}
