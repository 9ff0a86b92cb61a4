import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { parse, TomlError } from "smol-toml";
import { messageOf } from "../base/fault.js";
import { jsonFault } from "./json-fault.js";
import { jsonLines } from "./json-lines.js";
import type { LineMap } from "./line-map.js";
import { formatPath, type Problem, type Problems, quote } from "./problems.js";
import { tomlLines } from "./toml-lines.js";

/** Most bytes of one configuration file. */
export const MAX_FILE_BYTES = 2 * 1024 * 1024;

/** Deepest nesting of lists and inline tables. */
const MAX_NESTING = 32;

/** One file, taken apart: its values, and where they stand. */
export interface Document {
  readonly values: unknown;
  readonly lines: LineMap;
}

/**
 * Reads a file of at most {@link MAX_FILE_BYTES} bytes.
 * @throws {NodeJS.ErrnoException} when the system refuses, with `EFBIG` for a file that is too large.
 */
export function readBounded(path: string): Buffer {
  const file = openSync(path, "r");
  try {
    const stat = fstatSync(file);
    if (stat.isDirectory()) throw systemError("EISDIR", "is a directory");
    if (stat.size > MAX_FILE_BYTES) throw systemError("EFBIG", "is larger than 2MiB");
    const bytes = Buffer.alloc(MAX_FILE_BYTES + 1);
    let length = 0;
    for (let read = 1; read > 0 && length < bytes.length; length += read) {
      read = readSync(file, bytes, length, bytes.length - length, null);
    }
    if (length > MAX_FILE_BYTES) throw systemError("EFBIG", "is larger than 2MiB");
    return bytes.subarray(0, length);
  } finally {
    closeSync(file);
  }
}

function systemError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}

/**
 * Takes a file's bytes apart, as JSON when the name ends in `.json`, else as TOML. Undefined after having reported that
 * they are not well-formed, with line and column.
 */
export function parseDocument(name: string, bytes: Buffer, problems: Problems): Document | undefined {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    const line = lineOfBadByte(bytes);
    return report(problems, { file: name, line, column: null, message: "the file is not UTF-8" });
  }
  return name.endsWith(".json") ? parseJson(name, text, problems) : parseToml(name, text, problems);
}

function parseToml(name: string, text: string, problems: Problems): Document | undefined {
  try {
    return { values: parse(text, { maxDepth: MAX_NESTING }), lines: tomlLines(text) };
  } catch (error) {
    const place =
      error instanceof TomlError ? { line: error.line, column: error.column } : { line: null, column: null };
    const reason = (messageOf(error).split("\n")[0] ?? "").replace("Invalid TOML document: ", "");
    return report(problems, { file: name, ...place, message: `not well-formed TOML: ${reason}` });
  }
}

function parseJson(name: string, text: string, problems: Problems): Document | undefined {
  try {
    const values: unknown = JSON.parse(text);
    const { map, duplicates } = jsonLines(text);
    for (const { path, line } of duplicates) {
      const message = `${quote(String(path.at(-1)))} is already there`;
      const key = formatPath(path);
      problems.add({ severity: "error", file: name, line, column: null, key, message });
    }
    return { values, lines: map };
  } catch (error) {
    const fault = jsonFault(text) ?? { at: 0, message: messageOf(error).split("\n")[0] };
    const before = text.slice(0, fault.at);
    const line = before.split("\n").length;
    const column = before.length - before.lastIndexOf("\n");
    return report(problems, { file: name, line, column, message: `not well-formed JSON: ${fault.message}` });
  }
}

function report(problems: Problems, problem: Omit<Problem, "severity" | "key">): undefined {
  problems.add({ severity: "error", key: "", ...problem });
}

/** The line of the first byte that is no UTF-8. */
function lineOfBadByte(bytes: Buffer): number {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let line = 1;
  let start = 0;
  for (let end = bytes.indexOf(10); end >= 0; end = bytes.indexOf(10, start)) {
    try {
      decoder.decode(bytes.subarray(start, end));
    } catch {
      return line;
    }
    start = end + 1;
    line++;
  }
  return line;
}
