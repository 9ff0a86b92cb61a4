import { LineMap } from "./line-map.js";
import type { Path } from "./problems.js";

/** What the walk over a JSON text found: lines, and the keys that a table has twice (the parser would keep the last). */
export interface JsonLines {
  readonly map: LineMap;
  readonly duplicates: readonly { readonly path: Path; readonly line: number }[];
}

/** Nesting that is followed; deeper values are passed over without lines. */
const MAX_DEPTH = 32;
const TOKEN = /[[\]{},:]|"[^"\\]*(?:\\.[^"\\]*)*"|[^\s[\]{},:"]+/gs;

interface Level {
  readonly path: Path;
  /** Next position in a list; -1 in a table. */
  index: number;
  /** Keys so far, in a table. */
  readonly keys: Set<string>;
  /** The key whose value comes next. */
  key: string | null;
}

/** Finds the line of every key and list element of a JSON text that the parser has accepted. */
export function jsonLines(text: string): JsonLines {
  const map = new LineMap();
  const duplicates: { path: Path; line: number }[] = [];
  const levels: Level[] = [];
  let line = 1;
  let counted = 0;
  for (const match of text.matchAll(TOKEN)) {
    const token = match[0];
    for (; counted < match.index; counted++) if (text.charCodeAt(counted) === 10) line++;
    const level = levels.at(-1);
    if (token === "}" || token === "]") {
      levels.pop();
    } else if (token === ",") {
      if (level !== undefined) level.key = null;
    } else if (token !== ":") {
      if (level !== undefined && level.index < 0 && level.key === null) {
        level.key = String(JSON.parse(token));
        const path = [...level.path, level.key];
        if (level.keys.has(level.key) && duplicates.length < MAX_DEPTH) duplicates.push({ path, line });
        level.keys.add(level.key);
        map.note(path, line);
        continue;
      }
      const path = level === undefined ? [] : [...level.path, level.index < 0 ? (level.key ?? "") : level.index++];
      map.note(path, line);
      if (token === "{" || token === "[") {
        levels.push({
          path: levels.length < MAX_DEPTH ? path : path.slice(0, MAX_DEPTH),
          index: token === "[" ? 0 : -1,
          keys: new Set(),
          key: null,
        });
      }
    }
  }
  return { map, duplicates };
}
