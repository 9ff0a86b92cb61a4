import { readTimes } from "../../base/times-file.js";
import { Histogram } from "../histogram.js";
import { latencyJson, summarize } from "../result.js";
import type { Timeline, Transit } from "./figures.js";

/** Messages with a number beyond are counted and not timed: the moments of those below take 256 MB. */
const MOST_TIMED = 2 ** 25;
const MOST_STEPS = 100;
const STEP_SECONDS = [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 3600];
const PERCENTS = [0, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97.5, 99, 99.5, 99.75, 99.9, 99.99, 99.999];
const US = 1e6;

/** What the two files of moments say together. */
export interface Joined {
  readonly transit: Transit;
  readonly timeline: Timeline;
  /** Messages that were counted by the source and came to the sink, each once. */
  readonly delivered: number;
  /** From the beginning of the count to the last delivery; 0 when there was none. */
  readonly seconds: number;
}

/**
 * Joins the moments of a source (the server's `250`) with those of a sink (its own `250`), message by message; what the
 * source did not count, as a warm-up, is left out. Where the source's process read its answer late, the sink may have
 * been first: that is a latency of 0.
 *
 * @param beganUs when counting began, on the machine's monotonic clock.
 */
export function joinTimes(sourceFile: string, sinkFile: string, beganUs: number): Joined {
  let highest = 0;
  let endUs = beganUs;
  readTimes(sourceFile, (number, atUs) => {
    highest = Math.max(highest, number);
    endUs = Math.max(endUs, atUs);
  });
  readTimes(sinkFile, (_, atUs) => {
    endUs = Math.max(endUs, atUs);
  });
  const stepSeconds = stepOf((endUs - beganUs) / US);
  const count = Math.floor((endUs - beganUs) / US / stepSeconds) + 1;
  const taken = new Array<number>(count).fill(0);
  const arrived = new Array<number>(count).fill(0);
  const note = (steps: number[], atUs: number) => {
    const step = Math.max(0, Math.floor((atUs - beganUs) / US / stepSeconds));
    steps[step] = (steps[step] ?? 0) + 1;
  };

  // By number: when it was taken; 0 for never, or when it was delivered.
  const takenUs = new Float64Array(Math.min(highest, MOST_TIMED) + 1);
  readTimes(sourceFile, (number, atUs) => {
    note(taken, atUs);
    if (number < takenUs.length) takenUs[number] = atUs;
  });
  const histogram = new Histogram();
  let delivered = 0;
  let early = 0;
  let lastUs = beganUs;
  readTimes(sinkFile, (number, atUs) => {
    if (number < takenUs.length) {
      const since = takenUs[number] as number;
      if (since === 0) return;
      takenUs[number] = 0;
      if (atUs < since) early++;
      histogram.record(Math.max(0, atUs - since));
    } else if (number > highest) return;
    delivered++;
    lastUs = Math.max(lastUs, atUs);
    note(arrived, atUs);
  });
  return {
    transit: { count: histogram.count, early, latencyMs: latencyJson(summarize(histogram)), curve: curveOf(histogram) },
    timeline: { stepSeconds, taken, delivered: arrived },
    delivered,
    seconds: (lastUs - beganUs) / US,
  };
}

/** The shortest of the round steps that needs at most {@link MOST_STEPS}. */
function stepOf(seconds: number): number {
  return STEP_SECONDS.find((step) => seconds / step < MOST_STEPS) ?? Math.ceil(seconds / MOST_STEPS);
}

/** The latencies that so many values can tell: beyond the last of them there is only the maximum. */
function curveOf(histogram: Histogram): (readonly [number, number])[] {
  const { count } = histogram;
  if (count === 0) return [];
  const told = PERCENTS.filter((percent) => (count * (100 - percent)) / 100 >= 1);
  const ms = (us: number) => Math.round(us) / 1000;
  return [...told.map((percent) => [percent, ms(histogram.percentile(percent))] as const), [100, ms(histogram.max)]];
}
