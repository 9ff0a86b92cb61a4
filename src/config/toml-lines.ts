import { LineMap, MAX_DEPTH } from "./line-map.js";
import type { Path } from "./problems.js";

/**
 * Finds the line of every key and list element of a TOML document. The parser proper checks the document first and
 * gives the values; this scanner only walks the same text and counts lines, so it trusts that the text is well-formed
 * (and, should it not be, stops at the end of the text without harm).
 */
export function tomlLines(text: string): LineMap {
  const scanner = new Scanner(text);
  scanner.document();
  return scanner.map;
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ["b", "\b"],
  ["t", "\t"],
  ["n", "\n"],
  ["f", "\f"],
  ["r", "\r"],
  ["e", "\x1b"],
]);
const BARE_KEY = /[A-Za-z0-9_-]*/y;
const PLAIN_VALUE = /[^,\]}#\n]*/y;

class Scanner {
  readonly map = new LineMap();
  readonly #text: string;
  #at = 0;
  #line = 1;
  /** How many tables each array of tables has so far, by its printed path. */
  readonly #tables = new Map<string, number>();

  constructor(text: string) {
    this.#text = text;
    if (text.startsWith("\ufeff")) this.#at = 1;
  }

  document(): void {
    let table: Path = [];
    this.#skipVoid();
    while (this.#at < this.#text.length) {
      const start = this.#at;
      if (this.#text[this.#at] === "[") table = this.#header();
      else this.#pair(table);
      this.#skipVoid();
      if (this.#at === start) this.#step();
    }
  }

  /** `[a.b]` or `[[a.b]]`; returns the path that the following pairs belong to. */
  #header(): Path {
    const isArray = this.#text[this.#at + 1] === "[";
    this.#at += isArray ? 2 : 1;
    const line = this.#line;
    const key = this.#key();
    const path: (string | number)[] = [];
    for (const [index, part] of key.entries()) {
      path.push(part);
      // Nothing that the checks know lies so deep; what does is found by its ancestors.
      if (path.length > MAX_DEPTH) continue;
      const name = JSON.stringify(path);
      const count = this.#tables.get(name);
      if (index === key.length - 1 && isArray) {
        this.#tables.set(name, (count ?? 0) + 1);
        path.push(count ?? 0);
      } else if (count !== undefined) {
        path.push(count - 1);
      }
      this.#noteDown(path, line);
    }
    this.#skipUntil("]");
    this.#at += isArray ? 2 : 1;
    return path;
  }

  /** `a.b = value`. */
  #pair(table: Path): void {
    const line = this.#line;
    const key = this.#key();
    const path: (string | number)[] = [...table];
    for (const part of key) {
      path.push(part);
      this.map.note(path, line);
    }
    this.#skipUntil("=");
    this.#at++;
    this.#value(path);
  }

  /** Notes a path and, for an element of a list, the list itself. */
  #noteDown(path: Path, line: number): void {
    if (typeof path.at(-1) === "number") this.map.note(path.slice(0, -1), line);
    this.map.note(path, line);
  }

  #value(path: Path): void {
    this.#skipBlank();
    switch (this.#text[this.#at]) {
      case '"':
      case "'":
        this.#string();
        return;
      case "[":
        this.#list(path);
        return;
      case "{":
        this.#inlineTable(path);
        return;
      default:
        PLAIN_VALUE.lastIndex = this.#at;
        this.#at += PLAIN_VALUE.exec(this.#text)?.[0].length ?? 0;
    }
  }

  #list(path: Path): void {
    this.#at++;
    for (let index = 0; ; index++) {
      this.#skipVoid();
      if (this.#ends("]")) return;
      const element = [...path, index];
      this.map.note(element, this.#line);
      const start = this.#at;
      this.#value(element);
      this.#skipVoid();
      if (this.#text[this.#at] === "," || this.#at === start) this.#at++;
    }
  }

  #inlineTable(path: Path): void {
    this.#at++;
    for (;;) {
      this.#skipVoid();
      if (this.#ends("}")) return;
      const start = this.#at;
      this.#pair(path);
      this.#skipVoid();
      if (this.#text[this.#at] === "," || this.#at === start) this.#at++;
    }
  }

  /** True at the closing character (which is passed over) and at the end of the text. */
  #ends(closing: string): boolean {
    if (this.#at >= this.#text.length) return true;
    if (this.#text[this.#at] !== closing) return false;
    this.#at++;
    return true;
  }

  /** A key with dots, each part bare or quoted. */
  #key(): string[] {
    const parts: string[] = [];
    for (;;) {
      this.#skipBlank();
      const first = this.#text[this.#at];
      if (first === '"' || first === "'") {
        parts.push(this.#string());
      } else {
        BARE_KEY.lastIndex = this.#at;
        const part = BARE_KEY.exec(this.#text)?.[0] ?? "";
        this.#at += part.length;
        parts.push(part);
      }
      this.#skipBlank();
      if (this.#text[this.#at] !== ".") return parts;
      this.#at++;
    }
  }

  /** Passes over a string of any of the four kinds and returns its text (of a one-line one; others are only passed). */
  #string(): string {
    const quote = this.#text[this.#at] as string;
    const long = this.#text.startsWith(quote.repeat(3), this.#at);
    const closing = long ? quote.repeat(3) : quote;
    this.#at += closing.length;
    let text = "";
    while (this.#at < this.#text.length) {
      if (this.#text.startsWith(closing, this.#at)) {
        this.#at += closing.length;
        // A long string may end with one or two quotes of its own before the closing three.
        while (long && this.#text[this.#at] === quote) this.#at++;
        return text;
      }
      if (quote === '"' && this.#text[this.#at] === "\\") text += this.#escape(long);
      else if (long) this.#step();
      else text += this.#text[this.#at++];
    }
    return text;
  }

  #escape(long: boolean): string {
    const kind = this.#text[this.#at + 1] ?? "";
    const digits = { x: 2, u: 4, U: 8 }[kind];
    this.#at++;
    if (digits !== undefined) {
      const code = Number.parseInt(this.#text.slice(this.#at + 1, this.#at + 1 + digits), 16);
      this.#at += 1 + digits;
      return code >= 0 && code <= 0x10ffff ? String.fromCodePoint(code) : "";
    }
    if (long) this.#step();
    else this.#at++;
    return ESCAPES.get(kind) ?? kind;
  }

  /** One character on, counting lines. */
  #step(): void {
    if (this.#text[this.#at] === "\n") this.#line++;
    this.#at++;
  }

  #skipBlank(): void {
    while (this.#text[this.#at] === " " || this.#text[this.#at] === "\t") this.#at++;
  }

  /** Passes over blanks, line ends and comments. */
  #skipVoid(): void {
    for (;;) {
      const char = this.#text[this.#at];
      if (char === "#") {
        const end = this.#text.indexOf("\n", this.#at);
        this.#at = end < 0 ? this.#text.length : end;
      } else if (char === " " || char === "\t" || char === "\r" || char === "\n") {
        this.#step();
      } else {
        return;
      }
    }
  }

  #skipUntil(char: string): void {
    while (this.#at < this.#text.length && this.#text[this.#at] !== char) this.#step();
  }
}
