/**
 * The histograms that threads keep in shared memory beside the counters of `metrics.ts`. A thread counts into its own
 * block, the admin side sums them when asked. In a block, one after the other: a count per bound and one for what is
 * beyond, then the sum of the values.
 */
export enum Histogram {
  /** Messages stored by one commit. */
  batchMessages,
  /** A commit, in seconds; in the mode `flushed` with its sync. */
  commitSeconds,
  /** A sync of its own, in seconds. */
  syncSeconds,
  /** A turn of the scheduler, in seconds. */
  turnSeconds,
  /** How much later than wanted a turn of the scheduler began, in seconds. */
  turnLagSeconds,
  /** A look-up that the cache did not answer, in seconds. */
  dnsLookupSeconds,
}

/** One histogram's face outside. */
export interface HistogramRow {
  readonly name: string;
  readonly help: string;
  /** Rising upper bounds, each included in its bucket. */
  readonly bounds: readonly number[];
}

const TURN_SECONDS = [0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 2];
const SECONDS = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 5];

/** Every histogram once, in the order of {@link Histogram}. */
export const HISTOGRAMS: readonly HistogramRow[] = [
  {
    name: "spool_batch_messages",
    help: "Messages that one commit has stored; commits that stored none are left out",
    bounds: [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024],
  },
  {
    name: "spool_commit_seconds",
    help: "Time of a commit; with durability flushed until it is synced",
    bounds: SECONDS,
  },
  { name: "spool_sync_seconds", help: "Time of a sync of its own, forced or in the background", bounds: SECONDS },
  { name: "scheduler_turn_seconds", help: "Time of a turn of the scheduler", bounds: TURN_SECONDS },
  {
    name: "scheduler_lag_seconds",
    help: "How much later than wanted a turn of the scheduler began",
    bounds: TURN_SECONDS,
  },
  { name: "dns_lookup_seconds", help: "Time of a look-up that the cache did not answer", bounds: SECONDS },
];

const firsts: number[] = [];
let doubles = 0;
for (const { bounds } of HISTOGRAMS) {
  firsts.push(doubles);
  doubles += bounds.length + 2;
}

/** Doubles of a thread's block. */
export const HISTOGRAM_DOUBLES: number = doubles;

/** Where a histogram's part of a block begins. */
export function histogramAt(histogram: Histogram): number {
  return firsts[histogram] as number;
}

/** Counts a value into a thread's own block. */
export function observe(block: Float64Array, histogram: Histogram, value: number): void {
  const { bounds } = HISTOGRAMS[histogram] as HistogramRow;
  const first = histogramAt(histogram);
  let bucket = 0;
  while (bucket < bounds.length && value > (bounds[bucket] as number)) bucket++;
  (block[first + bucket] as number)++;
  (block[first + bounds.length + 1] as number) += value;
}
