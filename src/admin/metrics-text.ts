import { HISTOGRAMS, histogramAt } from "../protocol/histograms.js";
import type { SharedState } from "../protocol/layout/shared-state.js";
import { METRICS } from "../protocol/metrics.js";

/** One series of a metric: its labels and value. */
export interface Series {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
  /** Of a histogram: which of its parts this is. */
  readonly part?: "bucket" | "sum" | "count";
}

/** A metric with its series, before it is printed. */
export interface MetricFamily {
  readonly name: string;
  readonly kind: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly series: readonly Series[];
}

/** The shared counters as metrics, rows of one name together. */
export function counterFamilies(shared: SharedState): MetricFamily[] {
  const families = new Map<string, { kind: "counter" | "gauge"; help: string; series: Series[] }>();
  for (const { name, kind, help, service, reason, counter } of METRICS) {
    const family = families.get(name) ?? { kind, help, series: [] };
    const labels = { ...(service === null ? {} : { service }), ...(reason === undefined ? {} : { reason }) };
    family.series.push({ labels, value: shared.sum(counter) });
    families.set(name, family);
  }
  return [...families].map(([name, family]) => ({ name, ...family }));
}

/** The shared histograms: buckets that count up, the sum of the values, and how many there were. */
export function histogramFamilies(shared: SharedState): MetricFamily[] {
  return HISTOGRAMS.map(({ name, help, bounds }, index) => {
    const first = histogramAt(index);
    const series: Series[] = [];
    let count = 0;
    for (let bucket = 0; bucket <= bounds.length; bucket++) {
      count += shared.sumHistogram(first + bucket);
      series.push({ labels: { le: String(bounds[bucket] ?? "+Inf") }, value: count, part: "bucket" });
    }
    series.push({ labels: {}, value: shared.sumHistogram(first + bounds.length + 1), part: "sum" });
    series.push({ labels: {}, value: count, part: "count" });
    return { name, kind: "histogram", help, series };
  });
}

/** Prometheus' text format, version 0.0.4. */
export function prometheusText(families: readonly MetricFamily[]): string {
  const lines: string[] = [];
  for (const { name, kind, help, series } of families) {
    lines.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${kind}`);
    for (const { labels, value, part } of series) {
      lines.push(`${name}${part === undefined ? "" : `_${part}`}${labelText(labels)} ${value}`);
    }
  }
  return `${lines.join("\n")}\n`;
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}

function escapeLabel(value: string): string {
  return value.replace(/[\\"\n]/g, (char) => (char === "\n" ? "\\n" : `\\${char}`));
}

/** The same data as JSON: by name its help, its kind, and its series. */
export function metricsJson(families: readonly MetricFamily[]): Record<string, unknown> {
  return Object.fromEntries(
    families.map(({ name, kind, help, series }) => [
      name,
      { help, type: kind, value: series.map(({ labels, ...rest }) => ({ ...labels, ...rest })) },
    ]),
  );
}
