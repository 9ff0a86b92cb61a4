import {
  formatDuration,
  formatRate,
  formatSize,
  parseDuration,
  parseLimit,
  parseRate,
  parseSize,
  type Rate,
} from "../base/units.js";
import type { Check } from "./check.js";
import { type Path, quote } from "./problems.js";
import type { Setting } from "./table.js";

/** A JSON value, as the schema is made of. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [key: string]: Json };

/**
 * A kind of value: how it is read and checked, how it is printed, how an editor's schema and the reference page describe
 * it. `read` answers undefined after having reported what is wrong.
 */
export interface Kind<T> {
  /** `duration`, `size`, `list of networks`. */
  readonly name: string;
  /** `1s to 1h`, empty when anything of the kind is good. */
  readonly bounds: string;
  readonly schema: Json;
  /** The settings of a table; of its elements for a list or a map of tables. */
  readonly settings?: readonly Setting<unknown, unknown>[];
  read(value: unknown, at: Path, check: Check): T | undefined;
  print(value: T): string;
}

/** Where the schema says that a string may also come from the environment or from a file. */
export const INDIRECT: Json = { $ref: "#/definitions/indirect" };
/** Where the schema says that a string may come from Vault, too. */
export const FROM_VAULT: Json = { $ref: "#/definitions/vault" };
/** The schema of every kind that is written as a string. */
export const STRING_SCHEMA: Json = { anyOf: [{ type: "string" }, INDIRECT] };
/** The schema of secrets. */
export const SECRET_SCHEMA: Json = { anyOf: [{ type: "string" }, INDIRECT, FROM_VAULT] };

interface NumberBounds {
  readonly min: number;
  readonly max: number;
}

/** `true` or `false`. */
export function flag(): Kind<boolean> {
  return {
    name: "true or false",
    bounds: "",
    schema: { type: "boolean" },
    read: (value, at, check) => (typeof value === "boolean" ? value : check.wrong(at, value, "true or false")),
    print: String,
  };
}

/** A whole number. */
export function integer({ min, max }: NumberBounds): Kind<number> {
  const expected = `a whole number from ${min} to ${max}`;
  return {
    name: "whole number",
    bounds: `${min} to ${max}`,
    schema: { type: "integer", minimum: min, maximum: max },
    read: (value, at, check) =>
      typeof value === "number" && Number.isInteger(value) && value >= min && value <= max
        ? value
        : check.wrong(at, value, expected),
    print: String,
  };
}

/** A limit of at least 1: a number, or a text with `_` or `,` as separators and `local:` in front. Gives the count. */
export function limit({ max }: { max: number }): Kind<number> {
  const expected = `a limit from 1 to ${max}, such as 32 or "10_000"`;
  return {
    name: "limit",
    bounds: `1 to ${max}`,
    schema: { anyOf: [{ type: "integer", minimum: 1, maximum: max }, { type: "string" }] },
    read(value, at, check) {
      const parsed = typeof value === "number" || typeof value === "string" ? parseLimit(value) : null;
      return parsed === null || parsed.count > max ? check.wrong(at, value, expected) : parsed.count;
    },
    print: String,
  };
}

/** A duration: milliseconds inside, seconds or unit words outside. */
export function duration({ min, max }: NumberBounds): Kind<number> {
  const bounds = `${formatDuration(min)} to ${formatDuration(max)}`;
  const expected = `a duration from ${bounds}, such as "90s", "20m" or a number of seconds`;
  return {
    name: "duration",
    bounds,
    schema: { anyOf: [{ type: "string" }, { type: "number", minimum: 0 }] },
    read(value, at, check) {
      const parsed = typeof value === "number" || typeof value === "string" ? parseDuration(value) : null;
      return parsed === null || parsed < min || parsed > max ? check.wrong(at, value, expected) : parsed;
    },
    print: (value) => quote(formatDuration(value)),
  };
}

/** A size in bytes: a number, or a text with a unit. */
export function size({ min, max }: NumberBounds): Kind<number> {
  const bounds = `${formatSize(min)} to ${formatSize(max)}`;
  const expected = `a size from ${bounds}, such as "20MiB", "1GB" or a number of bytes`;
  return {
    name: "size",
    bounds,
    schema: { anyOf: [{ type: "string" }, { type: "integer", minimum: min, maximum: max }] },
    read(value, at, check) {
      const parsed = typeof value === "number" || typeof value === "string" ? parseSize(value) : null;
      return parsed === null || parsed < min || parsed > max ? check.wrong(at, value, expected) : parsed;
    },
    print: (value) => quote(formatSize(value)),
  };
}

/** A rate, `100/min`. */
export function rate(): Kind<Rate> {
  return {
    name: "rate",
    bounds: "",
    schema: { type: "string" },
    read(value, at, check) {
      const parsed = typeof value === "string" ? parseRate(value) : null;
      return parsed ?? check.wrong(at, value, 'a rate, such as "100/min", "1_000/30min" or "5/s,max_burst=1"');
    },
    print: (value) => quote(formatRate(value)),
  };
}

/** One of a closed set of words, in exactly this case. */
export function choice<T extends string>(...words: readonly T[]): Kind<T> {
  const list = words.map(quote).join(", ");
  const expected = words.length === 1 ? list : `one of ${list}`;
  return {
    name: words.map(quote).join(" or "),
    bounds: "",
    schema: { enum: [...words] },
    read: (value, at, check) => words.find((word) => word === value) ?? check.wrong(at, value, expected),
    print: quote,
  };
}

/** A list of one kind. `what` names the elements in plural. */
export function list<T>(
  element: Kind<T>,
  { what, min = 0, max = 10_000 }: { what: string; min?: number; max?: number },
): Kind<readonly T[]> {
  return {
    name: `list of ${what}`,
    bounds: element.bounds,
    schema: { type: "array", items: element.schema, minItems: min },
    ...(element.settings === undefined ? {} : { settings: element.settings }),
    read(value, at, check) {
      if (!Array.isArray(value)) return check.wrong(at, value, `a list of ${what}`);
      if (value.length < min) return check.error(at, `found ${value.length} ${what}, expected at least ${min}`);
      if (value.length > max) return check.error(at, `found ${value.length} ${what}, expected at most ${max}`);
      const read: T[] = [];
      for (const [index, item] of value.entries()) {
        const one = element.read(item, [...at, index], check);
        if (one !== undefined) read.push(one);
      }
      return read;
    },
    print: (value) => `[${value.map((one) => element.print(one)).join(", ")}]`,
  };
}

/** A value together with where it stands, for checks that can only be made once the whole file is read. */
export interface Placed<T> {
  readonly value: T;
  readonly at: Path;
}

/** The same kind, keeping where each value stands. */
export function placed<T>(kind: Kind<T>): Kind<Placed<T>> {
  return {
    ...kind,
    read(value, at, check) {
      const read = kind.read(value, at, check);
      return read === undefined ? undefined : { value: read, at };
    },
    print: (one) => kind.print(one.value),
  };
}
