import { readFileSync } from "node:fs";
import { z } from "zod";
import { causeOf, Fault } from "../../base/fault.js";
import { type BenchReport, median, type RunAmount, type RunSettings } from "./figures.js";
import { REPORT_VERSION, snakeKeys } from "./report-json.js";

const settingsShape = z.object({
  size: z.string(),
  connections: z.number(),
  pipelining: z.boolean(),
  tls: z.boolean().default(false),
  messages_per_connection: z.number().nullable(),
  domains: z.number(),
  zipf: z.number(),
  defer: z.number(),
  bounce: z.number(),
  retry_ms: z.number().nullable(),
  durability: z.string(),
  workers: z.number().nullable(),
});
const amountShape = z.object({
  warmup: z.number(),
  count: z.number().nullable(),
  duration_ms: z.number().nullable(),
  rate_per_second: z.number().nullable(),
});
const runShape = z.object({ server: z.object({ cpu_us_per_message: z.number().nullable() }) });
const earlierShape = z.object({
  version: z.literal(REPORT_VERSION),
  machine: z.object({ cpu_model: z.string(), cpus: z.number() }),
  settings: settingsShape,
  amount: amountShape,
  rounds: z.array(z.number()).min(1),
  result: runShape,
  load: z.object({ maximum: runShape }).nullable(),
  baseline: z
    .object({ kind: z.string(), ratios: z.object({ throughput: z.number(), cpu: z.number().nullable() }) })
    .nullable(),
});

/** A report of before, as far as it is compared. */
export type EarlierReport = z.infer<typeof earlierShape>;

/** One figure, then and now. */
export interface ComparedFigure {
  readonly name: string;
  readonly before: number;
  readonly now: number;
  /** Whether more is better. */
  readonly rising: boolean;
  readonly worse: boolean;
}

/** What came of a comparison. */
export interface Comparison {
  readonly figures: readonly ComparedFigure[];
  readonly warnings: readonly string[];
  readonly regression: boolean;
}

/** Reads a report that `--json` wrote. @throws {Fault} `config.unreadable` or `config.invalid`. */
export function readEarlier(path: string): EarlierReport {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new Fault("config.unreadable", `${path}: ${causeOf(error)}`, { cause: error });
  }
  return parseEarlier(text, path);
}

/** The same from its text; `name` is the file as the user named it. @throws {Fault} `config.invalid` */
export function parseEarlier(text: string, name: string): EarlierReport {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new Fault("config.invalid", `${name}: ${causeOf(error)}`, { cause: error });
  }
  const parsed = earlierShape.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  const where = issue?.path.join(".") ?? "";
  throw new Fault("config.invalid", `${name}: no report of this version: ${where}: ${issue?.message ?? "unreadable"}`);
}

/**
 * Where the loads differ, in words; figures of different loads say nothing about each other, nor do those of a rate that
 * was set about what the server can take. What is swept is not looked at.
 */
export function differences(
  earlier: EarlierReport,
  settings: RunSettings,
  amount: Pick<RunAmount, "ratePerSecond">,
  swept: readonly (keyof RunSettings)[] = [],
): string[] {
  const now = settingsShape.parse(snakeKeys(settings));
  const keys = settingsShape.keyof().options.filter((key) => !swept.some((name) => name === key));
  const found = keys
    .filter((key) => earlier.settings[key] !== now[key])
    .map((key) => differed(key, earlier.settings[key], now[key]));
  const { rate_per_second: rate } = earlier.amount;
  if (rate !== amount.ratePerSecond) found.push(differed("rate_per_second", rate, amount.ratePerSecond));
  return found;
}

/** What stands where nothing was asked for. */
const UNASKED: Readonly<Record<string, string>> = {
  workers: "the server's own choice",
  messages_per_connection: "without end",
  retry_ms: "not within the run",
  rate_per_second: "as many as the server takes",
  count: "left to the duration",
  duration_ms: "left to the count",
};

function differed(key: string, before: unknown, now: unknown): string {
  const [, name = key, unit] = /^(.*)_(ms|per_second)$/.exec(key) ?? [];
  const behind = unit === "ms" ? " ms" : unit === undefined ? "" : " a second";
  const shown = (value: unknown): string => {
    if (typeof value === "boolean") return value ? "on" : "off";
    return value === null ? (UNASKED[key] ?? "nothing") : `${String(value)}${behind}`;
  };
  return `${name.replaceAll("_", " ")} was ${shown(before)}, is ${shown(now)}`;
}

/** What is compared with a doubt: how much was sent, and before counting began. A short run measures the beginning. */
function amountWarnings(earlier: EarlierReport, amount: RunAmount): string[] {
  const now = amountShape.parse(snakeKeys(amount));
  return (["count", "duration_ms", "warmup"] as const)
    .filter((key) => earlier.amount[key] !== now[key])
    .map((key) => `${differed(key, earlier.amount[key], now[key])}: a short run measures how a server begins`);
}

/**
 * Compares by ratio where both reports have the same baseline: source and sink alone stand for the machine and its mood,
 * so that what remains is the server's. Otherwise by absolute figures, with a warning.
 *
 * @param tolerance part of 1: a figure is worse when it is beyond 1 / (1 − tolerance) times as bad as before, which is the
 *   same step for rates that fall and for costs that rise (0.5: half the rate, or twice the cost).
 */
export function compareReports(earlier: EarlierReport, report: BenchReport, tolerance: number): Comparison {
  const figures: ComparedFigure[] = [];
  const warnings = amountWarnings(earlier, report.amount);
  const add = (name: string, before: number | null, now: number | null, rising: boolean) => {
    if (before === null || now === null) return;
    const worse = rising ? now < before * (1 - tolerance) : now * (1 - tolerance) > before;
    figures.push({ name, before, now, rising, worse });
  };
  const { baseline } = report;
  if (baseline !== null && earlier.baseline?.kind === baseline.kind) {
    add("throughput by baseline", earlier.baseline.ratios.throughput, baseline.ratios.throughput, true);
    add("CPU by baseline", earlier.baseline.ratios.cpu, baseline.ratios.cpu, false);
  } else {
    warnings.push("absolute figures are compared: both reports need the same --baseline to compare ratios");
    if (earlier.machine.cpu_model !== report.machine.cpuModel || earlier.machine.cpus !== report.machine.cpus) {
      warnings.push("the machines differ: such figures say nothing about the program");
    }
    const cpu = (earlier.load?.maximum ?? earlier.result).server.cpu_us_per_message;
    add("messages per second", median(earlier.rounds), median(report.rounds), true);
    add("CPU us per message", cpu, (report.load?.maximum ?? report.result).server.cpuUsPerMessage, false);
  }
  return { figures, warnings, regression: figures.some((figure) => figure.worse) };
}

/** A comparison as people read it. */
export function comparisonText(comparison: Comparison, name: string, tolerance: number): string {
  const lines = comparison.figures.map((figure) => {
    const change = (figure.now / figure.before - 1) * 100;
    const verdict = figure.worse ? "REGRESSION" : "good";
    const changed = `${change < 0 ? "" : "+"}${change.toFixed(1)} %`;
    return `  ${figure.name.padEnd(24)} ${short(figure.before)} before, ${short(figure.now)} now, ${changed}: ${verdict}`;
  });
  const percent = Number((tolerance * 100).toFixed(2));
  const warnings = comparison.warnings.map((warning) => `  warning: ${warning}`);
  return `${[`compared with ${name}, tolerance ${percent} %`, ...lines, ...warnings].join("\n")}\n`;
}

function short(value: number): string {
  return value >= 100 ? value.toFixed(0) : value.toPrecision(3);
}
