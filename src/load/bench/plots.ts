import { type Axis, chartSvg, logTicks, roundTicks } from "./chart.js";
import { median, type Sweep, type Timeline, type Transit } from "./figures.js";

const PERCENT_TICKS = [0, 50, 75, 90, 99, 99.9, 99.99, 99.999];

function risingFromZero(label: string, values: readonly number[]): Axis {
  const ticks = roundTicks(Math.max(...values, 1));
  return { label, ticks, low: 0, high: ticks.at(-1)?.at ?? 1 };
}

/** Messages per second by time, taken and delivered. The last step is left out: it was not a whole one. */
export function throughputPlot(timeline: Timeline): string {
  const { stepSeconds } = timeline;
  const steps = Math.max(1, timeline.taken.length - 1);
  const points = (counts: readonly number[]) =>
    counts.slice(0, steps).map((count, i) => {
      const x = (i + 0.5) * stepSeconds;
      const y = count / stepSeconds;
      return { x, y, title: `${x.toFixed(2)} s: ${y.toFixed(0)} msgs/s` };
    });
  const taken = points(timeline.taken);
  const delivered = points(timeline.delivered);
  const ticks = roundTicks(steps * stepSeconds);
  return chartSvg({
    title: `Throughput over time, steps of ${stepSeconds} s`,
    x: { label: "seconds since counting began", ticks, low: 0, high: ticks.at(-1)?.at ?? 1 },
    y: risingFromZero(
      "messages per second",
      [...taken, ...delivered].map(({ y }) => y),
    ),
    series: [
      { name: "taken by the server", colour: 1, points: taken, dots: false, line: true },
      { name: "delivered to the sink", colour: 2, points: delivered, dots: false, line: true },
    ],
  });
}

/** Latency by percentile; each step to the right is a tenth of the messages of the one before. What took no
 * measurable time is left out. Empty without values. */
export function latencyPlot(transit: Transit): string {
  const nines = (percent: number) => -Math.log10(1 - percent / 100);
  const told = transit.curve.filter(([percent, ms]) => percent < 100 && ms > 0);
  const last = told.at(-1);
  if (last === undefined) return "";
  const points = told.map(([percent, ms]) => ({
    x: nines(percent),
    y: Math.log10(ms),
    title: `${percent} %: ${ms} ms`,
  }));
  const high = Math.max(1, nines(last[0]));
  const ms = told.map(([, value]) => value);
  const yTicks = logTicks(Math.min(...ms), Math.max(...ms));
  const xTicks = PERCENT_TICKS.map((percent) => ({ at: nines(percent), label: `${percent} %` }));
  return chartSvg({
    title: "Latency by percentile, from the server's 250 to the sink's 250",
    x: {
      label: "share of the messages that were this fast or faster",
      ticks: xTicks.filter(({ at }) => at <= high),
      low: 0,
      high,
    },
    y: { label: "ms", ticks: yTicks, low: yTicks[0]?.at ?? 0, high: yTicks.at(-1)?.at ?? 1 },
    series: [{ name: "latency", colour: 2, points, dots: true, line: true }],
  });
}

/** What each value of a sweep reached: a dot for each round, a line through the medians. */
export function sweepPlot(sweep: Sweep): string {
  const { candidates } = sweep;
  const rounds = candidates.flatMap(({ value, messagesPerSecond }, x) =>
    messagesPerSecond.map((y, i) => ({ x, y, title: `${value} ${sweep.of}, round ${i + 1}: ${y.toFixed(0)} msgs/s` })),
  );
  const medians = candidates.map(({ value, messagesPerSecond }, x) => {
    const y = median(messagesPerSecond);
    return { x, y, title: `${value} ${sweep.of}: median ${y.toFixed(0)} msgs/s` };
  });
  const ticks = candidates.map(({ value }, at) => ({
    at,
    label: value === sweep.best ? `${value} (best)` : `${value}`,
  }));
  return chartSvg({
    title: `Throughput end to end by number of ${sweep.of}`,
    x: { label: sweep.of, ticks, low: -0.5, high: candidates.length - 0.5 },
    y: risingFromZero(
      "messages per second",
      rounds.map(({ y }) => y),
    ),
    series: [
      { name: "median of the rounds", colour: 2, points: medians, dots: false, line: true },
      { name: "one round", colour: 1, points: rounds, dots: true, line: false },
    ],
  });
}
