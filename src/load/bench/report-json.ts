import type { BenchReport } from "./figures.js";

/** Version of the shape that {@link reportJson} gives: it changes when a key goes away or changes its meaning. */
export const REPORT_VERSION = 1;

/** The report as `bench --json` writes it: keys in snake_case, with the version of their shape. */
export function reportJson(report: BenchReport): Readonly<Record<string, unknown>> {
  return { version: REPORT_VERSION, ...snakeKeys(report) };
}

function snake(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snake);
  return typeof value === "object" && value !== null ? snakeKeys(value) : value;
}

/** A copy with its keys in snake_case, all the way down. */
export function snakeKeys(object: object): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(object).map(([key, one]) => [
      key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      snake(one),
    ]),
  );
}
