import { isDeepStrictEqual } from "node:util";
import { isTable } from "./check.js";
import { formatPath, type Path } from "./problems.js";
import { rootSettings } from "./settings.js";
import type { Setting } from "./table.js";

type Values = Readonly<Record<string, unknown>>;

/** The values of a server's file as written, before defaults. */
export type WrittenValues = Values;

/**
 * The settings that take effect only at a start and are written otherwise in `after` than in `before`, as paths: what an
 * operator must restart for. A file that spells a default out has changed nothing, but is not told from one that has.
 */
export function needsRestart(before: WrittenValues, after: WrittenValues): string[] {
  const found: string[] = [];
  compare(rootSettings, before, after, [], found);
  return found;
}

function compare(
  settings: readonly Setting<unknown, unknown>[],
  before: Values,
  after: Values,
  at: Path,
  found: string[],
): void {
  for (const one of settings) {
    const [old, now] = [before[one.key], after[one.key]];
    if (isDeepStrictEqual(old, now)) continue;
    const path = [...at, one.key];
    if (one.reload === "start") found.push(formatPath(path));
    else if (one.kind.settings === undefined) continue;
    else if (Array.isArray(old) || Array.isArray(now)) {
      const [olds, nows] = [asList(old), asList(now)];
      for (let i = 0; i < Math.max(olds.length, nows.length); i++) {
        compare(one.kind.settings, asTable(olds[i]), asTable(nows[i]), [...path, i], found);
      }
    } else compare(one.kind.settings, asTable(old), asTable(now), path, found);
  }
}

function asList(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function asTable(value: unknown): Values {
  return isTable(value) ? value : {};
}
