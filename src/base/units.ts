/**
 * The written forms of durations, sizes, counts and rates, each with its parser and its printer; for every value that
 * a parser gives, parsing the printed form gives the value again. Parsers answer null for anything that is not theirs.
 */

interface Unit {
  readonly words: readonly string[];
  readonly factor: number;
}

/** From the largest to the smallest; the first word is the one that is printed. Months and years have no fixed length. */
const DURATION_UNITS: readonly Unit[] = [
  { words: ["w", "week", "weeks"], factor: 604_800_000 },
  { words: ["d", "day", "days"], factor: 86_400_000 },
  { words: ["h", "hr", "hrs", "hour", "hours"], factor: 3_600_000 },
  { words: ["m", "min", "mins", "minute", "minutes"], factor: 60_000 },
  { words: ["s", "sec", "secs", "second", "seconds"], factor: 1000 },
  { words: ["ms", "msec", "millis", "millisecond", "milliseconds"], factor: 1 },
];

/** Printed in this order of preference; bare `K` or `M` are refused, because nobody can tell 1000 from 1024. */
const SIZE_UNITS: readonly Unit[] = [
  { words: ["TiB", "tib"], factor: 2 ** 40 },
  { words: ["TB", "tb"], factor: 1e12 },
  { words: ["GiB", "gib"], factor: 2 ** 30 },
  { words: ["GB", "gb"], factor: 1e9 },
  { words: ["MiB", "mib"], factor: 2 ** 20 },
  { words: ["MB", "mb"], factor: 1e6 },
  { words: ["KiB", "kib"], factor: 1024 },
  { words: ["kB", "kb"], factor: 1000 },
  { words: ["B", "b", "byte", "bytes"], factor: 1 },
];

const durationFactors = factorsOf(DURATION_UNITS);
const sizeFactors = factorsOf(SIZE_UNITS);

function factorsOf(units: readonly Unit[]): ReadonlyMap<string, number> {
  const factors = new Map<string, number>();
  for (const unit of units) for (const word of unit.words) factors.set(word, unit.factor);
  return factors;
}

/** Longest text that any of these parsers looks at; what is longer is no value. */
const MAX_TEXT = 100;

/**
 * A duration in milliseconds: a number of seconds (fractions allowed), or unit words (`90s`, `5 mins`, `1h 30m`).
 * Rounded to whole milliseconds. Null for negative, empty, unknown or unsafely large ones.
 */
export function parseDuration(written: string | number): number | null {
  if (typeof written === "number") return wholeOrNull(written * 1000);
  const text = written.trim();
  if (text === "" || text.length > MAX_TEXT) return null;
  const part = /\s*(\d+(?:\.\d+)?)\s*([a-z]+)/y;
  let totalMs = 0;
  while (part.lastIndex < text.length) {
    const match = part.exec(text);
    const factor = match === null ? undefined : durationFactors.get(match[2] as string);
    if (match === null || factor === undefined) return null;
    totalMs += Number(match[1]) * factor;
  }
  return wholeOrNull(totalMs);
}

/** Prints whole milliseconds as `1h 30m`, `500ms`, `0s`. */
export function formatDuration(durationMs: number): string {
  const parts: string[] = [];
  let left = durationMs;
  for (const unit of DURATION_UNITS) {
    if (unit.words[0] === "w") continue;
    const count = Math.floor(left / unit.factor);
    if (count > 0) parts.push(`${count}${unit.words[0]}`);
    left -= count * unit.factor;
  }
  return parts.length === 0 ? "0s" : parts.join(" ");
}

/** A size in bytes: a number, or a number with a unit (`20MiB` = 20 × 1024², `1GB` = 10⁹). Null when it is none. */
export function parseSize(written: string | number): number | null {
  if (typeof written === "number") return Number.isInteger(written) ? wholeOrNull(written) : null;
  if (written.length > MAX_TEXT) return null;
  const match = /^\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*$/.exec(written);
  if (match === null) return null;
  const factor = sizeFactors.get(match[2] as string) ?? sizeFactors.get((match[2] as string).toLowerCase());
  return factor === undefined ? null : wholeOrNull(Number(match[1]) * factor);
}

/** Prints bytes in the largest unit that divides them: `20MiB`, `1GB`, `998B`. */
export function formatSize(bytes: number): string {
  for (const unit of SIZE_UNITS) {
    if (bytes >= unit.factor && bytes % unit.factor === 0) return `${bytes / unit.factor}${unit.words[0]}`;
  }
  return "0B";
}

/** A count of at least 1, with `_` and `,` as separators that mean nothing: `10_000`, `10,000`. Null when it is none. */
export function parseCount(written: string | number): number | null {
  if (typeof written === "number") return Number.isSafeInteger(written) && written >= 1 ? written : null;
  const text = written.trim();
  if (text.length > MAX_TEXT || !/^\d[\d_,]*$/.test(text)) return null;
  const count = Number(text.replace(/[_,]/g, ""));
  return Number.isSafeInteger(count) && count >= 1 ? count : null;
}

/** A limit: a count, and whether it stays on this node (`local:`) instead of being shared by the cluster. */
export interface Limit {
  readonly count: number;
  readonly local: boolean;
}

/** A limit: `32`, `"10_000"`, `"local:32"`. Null when it is none. */
export function parseLimit(written: string | number): Limit | null {
  const local = typeof written === "string" && written.startsWith("local:");
  const count = parseCount(local ? written.slice("local:".length) : written);
  return count === null ? null : { count, local };
}

/** A rate: `quantity` per `periodSeconds`, of which `maxBurst` may come at once. */
export interface Rate {
  readonly quantity: number;
  readonly periodSeconds: number;
  readonly maxBurst: number;
  /** True: never shared by the cluster. */
  readonly local: boolean;
}

/** Units of a rate's period, in seconds; the singular forms only. */
const PERIODS: ReadonlyMap<string, number> = new Map([
  ["s", 1],
  ["sec", 1],
  ["second", 1],
  ["m", 60],
  ["min", 60],
  ["minute", 60],
  ["h", 3600],
  ["hr", 3600],
  ["hour", 3600],
  ["d", 86_400],
  ["day", 86_400],
]);

/** A rate: `[local:]QUANTITY/PERIOD[,max_burst=N]`, as in `100/min`, `1,000/30min`, `local:5/s,max_burst=1`. */
export function parseRate(written: string): Rate | null {
  if (written.length > MAX_TEXT) return null;
  const match = /^(local:)?(\d[\d_,]*)\/(\d*)([a-z]+)(?:,max_burst=(\d[\d_,]*))?$/.exec(written.trim());
  if (match === null) return null;
  const quantity = parseCount(match[2] as string);
  const unit = PERIODS.get(match[4] as string);
  const multiplier = match[3] === "" ? 1 : Number(match[3]);
  const maxBurst = match[5] === undefined ? quantity : parseCount(match[5]);
  if (quantity === null || maxBurst === null || unit === undefined) return null;
  const periodSeconds = multiplier * unit;
  if (!Number.isSafeInteger(periodSeconds) || periodSeconds < 1) return null;
  return { quantity, periodSeconds, maxBurst, local: match[1] !== undefined };
}

/** Prints a rate in its one canonical form: `100/m`, `20/1800s`, `local:5/s,max_burst=1`. */
export function formatRate(rate: Rate): string {
  const letter = { 1: "s", 60: "m", 3600: "h", 86400: "d" }[rate.periodSeconds];
  const period = letter ?? `${rate.periodSeconds}s`;
  const burst = rate.maxBurst === rate.quantity ? "" : `,max_burst=${rate.maxBurst}`;
  return `${rate.local ? "local:" : ""}${rate.quantity}/${period}${burst}`;
}

function wholeOrNull(value: number): number | null {
  const whole = Math.round(value);
  return value >= 0 && Number.isSafeInteger(whole) ? whole : null;
}
