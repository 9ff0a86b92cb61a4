/** Where a value stands in a file: table keys and positions in lists (from 0). */
export type Path = readonly (string | number)[];

/** One thing that is wrong, or worth knowing, about a configuration file. */
export interface Problem {
  readonly severity: "error" | "warning";
  /** The file as the user named it. */
  readonly file: string;
  /** From 1; null when the whole file is meant. */
  readonly line: number | null;
  /** From 1; null unless the file is not well-formed. */
  readonly column: number | null;
  /** `smtp_listener[0].domains."example.com".relay_to`; empty when the whole file is meant. */
  readonly key: string;
  /** What was found and what was expected. */
  readonly message: string;
}

/** Most problems that are kept of one load; the rest is only counted. */
export const MAX_PROBLEMS = 100;

/** Collects the problems of one load, errors and warnings apart, bounded. */
export class Problems {
  readonly errors: Problem[] = [];
  readonly warnings: Problem[] = [];
  #errorsDropped = 0;
  #warningsDropped = 0;

  /** Keeps a problem, or counts it once {@link MAX_PROBLEMS} of its severity are kept. */
  add(problem: Problem): void {
    const kept = problem.severity === "error" ? this.errors : this.warnings;
    if (kept.length < MAX_PROBLEMS) kept.push(problem);
    else if (problem.severity === "error") this.#errorsDropped++;
    else this.#warningsDropped++;
  }

  /** How many errors were met but not kept. */
  get errorsDropped(): number {
    return this.#errorsDropped;
  }

  /** How many warnings were met but not kept. */
  get warningsDropped(): number {
    return this.#warningsDropped;
  }
}

/** File by file as the files were met, and by line inside each. */
export function inFileOrder(problems: readonly Problem[]): readonly Problem[] {
  const files = [...new Set(problems.map((problem) => problem.file))];
  const order = (a: Problem, b: Problem) =>
    files.indexOf(a.file) - files.indexOf(b.file) || (a.line ?? 0) - (b.line ?? 0);
  return [...problems].sort(order);
}

/** One line per problem: `FILE:LINE: KEY: MESSAGE`, as compilers print them, so that editors can jump there. */
export function formatProblems(problems: readonly Problem[]): string {
  return problems.map(formatProblem).join("\n");
}

function formatProblem(problem: Problem): string {
  const column = problem.column === null ? "" : `:${problem.column}`;
  const place = problem.line === null ? problem.file : `${problem.file}:${problem.line}${column}`;
  const severity = problem.severity === "warning" ? "warning: " : "";
  return problem.key === ""
    ? `${place}: ${severity}${problem.message}`
    : `${place}: ${severity}${problem.key}: ${problem.message}`;
}

/** Prints a path as TOML would write it; odd keys are quoted and escaped, so that they stay on their line. */
export function formatPath(path: Path): string {
  let text = "";
  for (const part of path) {
    if (typeof part === "number") text += `[${part}]`;
    else text += `${text === "" ? "" : "."}${/^[A-Za-z0-9_-]{1,80}$/.test(part) ? part : quote(part)}`;
  }
  return text;
}

/** Prints a value as it was found: short, on one line, lists and tables only by name. */
export function describe(value: unknown): string {
  if (typeof value === "string") return quote(value);
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (Array.isArray(value)) return "a list";
  if (value instanceof Date) return "a date";
  if (typeof value === "object" && value !== null) return "a table";
  return value === undefined || value === null ? "nothing" : "something else";
}

/** A quoted, escaped, shortened text. */
export function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 77)}...` : text);
}
