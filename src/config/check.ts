import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { errnoOf } from "../base/fault.js";
import type { LineMap } from "./line-map.js";
import { nearest } from "./nearest.js";
import { describe, formatPath, MAX_PROBLEMS, type Path, type Problems, quote } from "./problems.js";
import { NO_VAULT, type SecretSource } from "./secret-source.js";

/** Most bytes of a file that a `{ file = … }` value may name. */
const MAX_SECRET_BYTES = 65_536;

/** Said of everything that the configuration knows and this version cannot do. */
export const NOT_AVAILABLE = "not available in this version";

/** Where the values of one file are checked: says what is wrong, with file, line and key; never throws. */
export class Check {
  /** The file as the user named it. */
  readonly file: string;
  /** Relative paths in the file start here; absolute. */
  readonly directory: string;
  /** Where secrets from Vault come from. */
  readonly secrets: SecretSource;
  readonly #lines: LineMap;
  readonly #problems: Problems;
  readonly #env: NodeJS.ProcessEnv;
  #warns = true;

  constructor(
    file: string,
    directory: string,
    lines: LineMap,
    problems: Problems,
    env: NodeJS.ProcessEnv,
    secrets: SecretSource = NO_VAULT,
  ) {
    this.file = file;
    this.directory = directory;
    this.#lines = lines;
    this.#problems = problems;
    this.#env = env;
    this.secrets = secrets;
  }

  /** The same place of checking, without warnings: for parts that are not in force as a whole. */
  withoutWarnings(): Check {
    const silent = new Check(this.file, this.directory, this.#lines, this.#problems, this.#env, this.secrets);
    silent.#warns = false;
    return silent;
  }

  /** Reports an error at `at`. Returns undefined, so that a reader can end with it. */
  error(at: Path, message: string): undefined {
    this.#report("error", at, message);
  }

  /** Reports a value of the wrong kind or out of its bounds. */
  wrong(at: Path, found: unknown, expected: string): undefined {
    this.error(at, `found ${describe(found)}, expected ${expected}`);
  }

  /** Reports a key that nobody knows, with the nearest that exists. */
  unknownKey(at: Path, known: Iterable<string>): undefined {
    const hint = this.#nearest(String(at.at(-1)), known);
    this.error(at, hint === null ? "unknown key" : `unknown key, nearest known key ${quote(hint)}`);
  }

  /** Reports a name that refers to nothing, with the nearest that exists. */
  unknownName(at: Path, what: string, name: string, known: Iterable<string>): undefined {
    const hint = this.#nearest(name, known);
    this.error(at, `no ${what} named ${quote(name)}${hint === null ? "" : `, nearest is ${quote(hint)}`}`);
  }

  /** Not looked for any more once nobody will read it. */
  #nearest(word: string, known: Iterable<string>): string | null {
    return this.#problems.errors.length < MAX_PROBLEMS ? nearest(word, known) : null;
  }

  /** Reports something that is accepted but that the operator must know. */
  warn(at: Path, message: string): void {
    if (this.#warns) this.#report("warning", at, message);
  }

  #report(severity: "error" | "warning", at: Path, message: string): void {
    const line = this.#lines.lineOf(at);
    this.#problems.add({ severity, file: this.file, line, column: null, key: formatPath(at), message });
  }

  /**
   * A string: written out, or `{ env = "NAME" }`, or `{ file = "path" }` (without the line end at its end).
   * Undefined after having reported what is wrong.
   */
  string(value: unknown, at: Path, expected: string): string | undefined {
    if (typeof value === "string") return value;
    if (!isTable(value)) return this.wrong(at, value, expected);
    const keys = Object.keys(value);
    if (namesVault(value)) return this.error(at, "a secret from Vault goes only where a secret or a PEM file goes");
    for (const key of keys) if (key !== "env" && key !== "file") return this.unknownKey([...at, key], ["env", "file"]);
    const name = value["env"] ?? value["file"];
    if (keys.length !== 1 || typeof name !== "string")
      return this.wrong(at, value, `${expected}, or { env } or { file }`);
    return keys[0] === "env" ? this.#fromEnvironment(name, at) : this.#fromFile(name, at);
  }

  #fromEnvironment(name: string, at: Path): string | undefined {
    const found = Object.hasOwn(this.#env, name) ? this.#env[name] : undefined;
    return found ?? this.error(at, `environment variable ${quote(name)} is not set`);
  }

  #fromFile(name: string, at: Path): string | undefined {
    try {
      const bytes = readFileSync(resolve(this.directory, name));
      if (bytes.length > MAX_SECRET_BYTES) return this.error(at, `file ${quote(name)} is larger than 64KiB`);
      return bytes.toString("utf8").replace(/\r?\n$/, "");
    } catch (error) {
      return this.error(at, `file ${quote(name)} cannot be read (${errnoOf(error) ?? "unknown error"})`);
    }
  }
}

/** True for a table as the parsers give it: an object that is neither a list nor a date. */
export function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

/** True for a table that means a secret in Vault, well or badly. */
export function namesVault(value: unknown): value is Readonly<Record<string, unknown>> {
  return isTable(value) && Object.keys(value).some((key) => key.startsWith("vault_"));
}

/** Keys that every object answers to without holding them; refused as names, so that no look-up meets them. */
export function isReservedName(name: string): boolean {
  return name in Object.prototype;
}
