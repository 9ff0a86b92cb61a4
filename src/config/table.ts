import { type Check, isReservedName, isTable, NOT_AVAILABLE } from "./check.js";
import type { Json, Kind } from "./kinds.js";
import { describe, formatPath, type Path, quote } from "./problems.js";

/**
 * `ready`: read and obeyed. `later`: its type is checked and the operator is warned that it is not in force yet.
 * `refused`: known, and an error, because running without it would break what the operator counts on.
 */
export type Status = "ready" | "later" | "refused";

/** One setting, described once: reading, checks, the editor's schema and the reference page all come from this. */
export interface Setting<T, D> {
  readonly key: string;
  readonly kind: Kind<T>;
  /** What is in force when the key is absent. */
  readonly fallback: D;
  /** The default as the reference page prints it, where the value itself does not say it. */
  readonly fallbackText: string;
  readonly required: boolean;
  /** When a change takes effect: only at a start, or at a reload too. */
  readonly reload: "start" | "live";
  readonly status: Status;
  /** One sentence. */
  readonly about: string;
  /** Values of a later or refused setting that describe what this version does anyway; they are accepted in silence. */
  readonly harmless: readonly unknown[];
}

/** A setting with a default. `fallback` may be null (or anything outside the kind) for "absent". */
export function setting<T, D>(
  key: string,
  kind: Kind<T>,
  options: { fallback: D; fallbackText?: string; reload?: "start" | "live"; about: string },
): Setting<T, D> {
  return {
    key,
    kind,
    fallback: options.fallback,
    fallbackText: options.fallbackText ?? "",
    required: false,
    reload: options.reload ?? "live",
    status: "ready",
    about: options.about,
    harmless: [],
  };
}

/** A setting that must be there. */
export function required<T>(
  key: string,
  kind: Kind<T>,
  options: { reload?: "start" | "live"; about: string },
): Setting<T, undefined> {
  return { ...setting(key, kind, { ...options, fallback: undefined }), required: true };
}

/** A setting whose feature does not exist yet: checked, warned about, without effect. */
export function later<T>(
  key: string,
  kind: Kind<T>,
  about: string,
  harmless: readonly T[] = [],
): Setting<T, undefined> {
  return { ...setting(key, kind, { fallback: undefined, about }), status: "later", harmless };
}

/** A setting that this version cannot honour and must not ignore. */
export function refused(key: string, about: string, harmless: readonly unknown[] = []): Setting<unknown, undefined> {
  return { ...setting(key, ANYTHING, { fallback: undefined, about }), status: "refused", harmless };
}

const ANYTHING: Kind<unknown> = {
  name: "",
  bounds: "",
  schema: { not: {} },
  read: (value) => value,
  print: describe,
};

/** One table of a file while it is read. */
export class TableReader {
  readonly at: Path;
  readonly check: Check;
  readonly #values: Readonly<Record<string, unknown>>;

  constructor(values: Readonly<Record<string, unknown>>, at: Path, check: Check) {
    this.#values = values;
    this.at = at;
    this.check = check;
  }

  /** The value of a setting, or its default when it is absent or wrong (then that has been reported). */
  get<T, D>(of: Setting<T, D>): T | D {
    return this.given(of) ?? of.fallback;
  }

  /** The value of a setting that the file gives and that is good; else undefined. A required one must be there. */
  given<T, D>(of: Setting<T, D>): T | undefined {
    if (!this.has(of)) {
      return of.required ? this.check.error(this.at, `missing ${quote(of.key)}: ${of.about}`) : undefined;
    }
    return of.kind.read(this.#values[of.key], this.path(of), this.check);
  }

  /** As {@link get}, but undefined when the file gives a wrong value: for values that others are compared with. */
  sound<T, D>(of: Setting<T, D>): T | D | undefined {
    return this.has(of) ? this.given(of) : of.fallback;
  }

  /** The compiled form of a section, made of defaults alone when the file does not have it. */
  section<T, D>(of: Setting<T, D>): T | undefined {
    return this.has(of) ? this.given(of) : of.kind.read({}, this.path(of), this.check);
  }

  /** Whether the file gives this setting at all. */
  has(of: Setting<unknown, unknown>): boolean {
    return Object.hasOwn(this.#values, of.key);
  }

  /** Where a setting of this table stands. */
  path(of: Setting<unknown, unknown>): Path {
    return [...this.at, of.key];
  }
}

/**
 * Reads a table: reports unknown keys, warns of later settings, refuses the refused ones. Null after having reported that
 * the value is no table.
 */
export function openTable(
  settings: readonly Setting<unknown, unknown>[],
  value: unknown,
  at: Path,
  check: Check,
): TableReader | undefined {
  if (!isTable(value)) return check.wrong(at, value, "a table");
  const known = new Map(settings.map((one) => [one.key, one]));
  for (const key of Object.keys(value)) {
    const one = known.get(key);
    const path = [...at, key];
    if (one === undefined) check.unknownKey(path, offered(settings));
    else if (one.status !== "ready" && !one.harmless.includes(value[key])) {
      if (one.status === "refused") check.error(path, `${NOT_AVAILABLE}: ${one.about}`);
      else if (one.kind.read(value[key], path, check) !== undefined) check.warn(path, "not in force in this version");
    }
  }
  return new TableReader(value, at, check);
}

function offered(settings: readonly Setting<unknown, unknown>[]): string[] {
  return settings.filter((one) => one.status !== "refused").map((one) => one.key);
}

/** A table with these settings; `build` makes the compiled form of it, or undefined after having reported. */
export function table<T>(
  settings: readonly Setting<unknown, unknown>[],
  build: (reader: TableReader) => T | undefined,
): Kind<T> {
  return {
    name: "table",
    bounds: "",
    schema: tableSchema(settings),
    settings,
    read(value, at, check) {
      const reader = openTable(settings, value, at, check);
      return reader === undefined ? undefined : build(reader);
    },
    print: () => "",
  };
}

/** A table whose values are checked and then not used. */
export function checkedTable(settings: readonly Setting<unknown, unknown>[]): Kind<true> {
  return table(settings, (reader) => {
    for (const one of settings) if (one.status === "ready") reader.given(one);
    return true;
  });
}

/** A table whose keys are free, `key` being what they name. Names that every object answers to are refused. */
export function mapOf<T>(
  element: Kind<T>,
  key: { what: string; read: (written: string) => string | null; max: number },
): Kind<Readonly<Record<string, T>>> {
  return {
    name: `table of ${key.what}`,
    bounds: element.bounds,
    schema: { type: "object", additionalProperties: element.schema },
    ...(element.settings === undefined ? {} : { settings: element.settings }),
    read(value, at, check) {
      if (!isTable(value)) return check.wrong(at, value, `a table of ${key.what}`);
      const keys = Object.keys(value);
      if (keys.length > key.max)
        return check.error(at, `found ${keys.length} ${key.what}, expected at most ${key.max}`);
      const read: Record<string, T> = {};
      for (const written of keys) {
        const path = [...at, written];
        const name = key.read(written);
        if (name === null || isReservedName(name)) {
          check.error(path, `${quote(written)} cannot stand in a table of ${key.what}`);
          continue;
        }
        if (Object.hasOwn(read, name)) check.error(path, `${formatPath([name])} is already there, in another case`);
        const one = element.read(value[written], path, check);
        if (one !== undefined) read[name] = one;
      }
      return read;
    },
    print: () => "",
  };
}

/** The editor's schema of a table. */
export function tableSchema(settings: readonly Setting<unknown, unknown>[]): Json {
  const properties: Record<string, Json> = {};
  for (const one of settings) properties[one.key] = settingSchema(one);
  const needed = settings.filter((one) => one.required).map((one) => one.key);
  return {
    type: "object",
    additionalProperties: false,
    ...(needed.length === 0 ? {} : { required: needed }),
    properties,
  };
}

function settingSchema(one: Setting<unknown, unknown>): Json {
  const note = { ready: "", later: " Not in force in this version.", refused: " Not available in this version." };
  const described = { description: `${one.about}${note[one.status]}` };
  const shape = one.kind.schema;
  if (typeof shape !== "object" || shape === null || Array.isArray(shape)) return described;
  return { ...described, ...shape };
}

/** A layered setting: one option of `T` that several blocks may give, the later one winning. */
export interface Option<T> {
  readonly setting: Setting<unknown, unknown>;
  /** Puts the value that `reader`'s table gives, if any, into `target`. */
  assign(target: Draft<T>, reader: TableReader): void;
  /** Puts the built-in default into `target`: what `unset` means. */
  reset(target: Draft<T>): void;
}

/** `T` in the making. */
export type Draft<T> = { -readonly [P in keyof T]?: T[P] };

/** Makes options of `T`, whose built-in values are `defaults`. */
export function optionsOf<T extends object>(defaults: T) {
  return <K extends keyof T>(key: string, to: K, kind: Kind<T[K]>, about: string, fallbackText = ""): Option<T> => {
    const one = setting(key, kind, { fallback: defaults[to], fallbackText, about });
    return {
      setting: one,
      assign(target, reader) {
        const value = reader.given(one);
        if (value !== undefined) target[to] = value;
      },
      reset(target) {
        target[to] = defaults[to];
      },
    };
  };
}
