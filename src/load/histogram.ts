/**
 * An HDR histogram (high dynamic range) of latencies in fixed memory: log-linear buckets, so that any value from 1 µs to
 * 71 minutes is known to within one part in 128 (0.8 %, two significant digits), whatever its size.
 *
 *   value   0 … 127 | 128 … 255 | 256 … 511 | 512 … 1023 | … to 2^32 − 1
 *   bucket     1    |     1     |     2     |     4      |   wide
 *
 * Runs on   the thread that measures
 * Owns      3,328 counters (26 KB)
 * When full counters are doubles: exact to 2^53 values; a value beyond the range is counted in the last bucket
 * On failure nothing in it fails
 */
const SUB_BITS = 7;
const SUB_BUCKETS = 1 << SUB_BITS;
const BUCKETS = (32 - SUB_BITS + 1) * SUB_BUCKETS;
const HIGHEST = 0xffff_ffff;

/** The largest relative error of a percentile: width of a bucket by its lowest value. */
export const HISTOGRAM_ERROR = 1 / SUB_BUCKETS;

function bucketOf(value: number): number {
  if (value < SUB_BUCKETS) return value;
  const shift = 31 - Math.clz32(value) - SUB_BITS;
  return shift * SUB_BUCKETS + (value >>> shift);
}

/** The highest value that falls into a bucket. */
function topOf(bucket: number): number {
  if (bucket < 2 * SUB_BUCKETS) return bucket;
  const shift = Math.floor(bucket / SUB_BUCKETS) - 1;
  return (bucket - shift * SUB_BUCKETS + 1) * 2 ** shift - 1;
}

/** See the file's header. Values are whole microseconds by convention; the histogram itself has no unit. */
export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  #count = 0;
  #sum = 0;
  #min = Number.POSITIVE_INFINITY;
  #max = 0;

  /** Counts one value: not negative; fractions are cut off. */
  record(value: number): void {
    const whole = value >= HIGHEST ? HIGHEST : Math.floor(value);
    const bucket = bucketOf(whole);
    this.#counts[bucket] = (this.#counts[bucket] as number) + 1;
    this.#count++;
    this.#sum += whole;
    if (whole < this.#min) this.#min = whole;
    if (whole > this.#max) this.#max = whole;
  }

  /** Adds everything that `other` counted, as if it had been recorded here. */
  merge(other: Histogram): void {
    for (let i = 0; i < BUCKETS; i++) this.#counts[i] = (this.#counts[i] as number) + (other.#counts[i] as number);
    this.#count += other.#count;
    this.#sum += other.#sum;
    this.#min = Math.min(this.#min, other.#min);
    this.#max = Math.max(this.#max, other.#max);
  }

  /** How many values were recorded. */
  get count(): number {
    return this.#count;
  }

  /** The exact smallest value; 0 when there is none. */
  get min(): number {
    return this.#count === 0 ? 0 : this.#min;
  }

  /** The exact largest value; 0 when there is none. */
  get max(): number {
    return this.#max;
  }

  /** The exact mean; 0 when there is no value. */
  get mean(): number {
    return this.#count === 0 ? 0 : this.#sum / this.#count;
  }

  /**
   * The value at or below which `percent` (0–100) of all values lie (nearest rank), at most {@link HISTOGRAM_ERROR} too
   * high and never too low; 0 when there is none.
   */
  percentile(percent: number): number {
    const rank = Math.max(1, Math.ceil((percent / 100) * this.#count));
    let seen = 0;
    for (let i = 0; i < BUCKETS; i++) {
      seen += this.#counts[i] as number;
      if (seen >= rank) return Math.max(this.min, Math.min(topOf(i), this.#max));
    }
    return this.#max;
  }
}
