import type { Path } from "./problems.js";

/** Most places that are remembered of one file; what lies beyond is found by its nearest ancestor. */
const MAX_PLACES = 200_000;
/** Deepest path that is remembered. */
export const MAX_DEPTH = 24;

/** The line of every key and list element of one file. Filled by a scanner, asked by the checks. */
export class LineMap {
  readonly #lines = new Map<string, number>();

  /** Remembers that `path` begins on `line` (from 1); the first mention counts. */
  note(path: Path, line: number): void {
    if (path.length > MAX_DEPTH || this.#lines.size >= MAX_PLACES) return;
    const key = JSON.stringify(path);
    if (!this.#lines.has(key)) this.#lines.set(key, line);
  }

  /** The line of `path`, else of its nearest ancestor that the file has, else null. */
  lineOf(path: Path): number | null {
    for (let length = Math.min(path.length, MAX_DEPTH); length > 0; length--) {
      const line = this.#lines.get(JSON.stringify(path.slice(0, length)));
      if (line !== undefined) return line;
    }
    return null;
  }
}
