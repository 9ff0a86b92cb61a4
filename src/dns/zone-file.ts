import { isIPv4, isIPv6 } from "node:net";
import { canonicalName, type DnsRecord } from "./lookup.js";

/** One record of a zone file: those that are looked up, and SOA, which makes the file the last word on its zone. */
export type ZoneRecord = DnsRecord | { readonly name: string; readonly type: "SOA"; readonly ttlMs: number };

/** What a zone file holds, and what is wrong with it. */
export interface ZoneFile {
  readonly records: readonly ZoneRecord[];
  /** `LINE: what is wrong`; bounded. */
  readonly problems: readonly string[];
}

const MAX_PROBLEMS = 20;
const DEFAULT_TTL_MS = 3_600_000;
const TTL_UNITS: ReadonlyMap<string, number> = new Map([
  ["s", 1],
  ["m", 60],
  ["h", 3600],
  ["d", 86_400],
  ["w", 604_800],
]);

interface Entry {
  readonly line: number;
  /** The line began with a blank: the owner is that of the record before. */
  readonly indented: boolean;
  readonly tokens: readonly string[];
}

/**
 * Reads zone-file syntax (RFC 1035 §5.1): `$ORIGIN`, `$TTL`, relative names, `@`, parentheses, comments, quoted texts, and
 * records A, AAAA, MX, CNAME, TXT, TLSA, SOA; NS is passed over. Without `$ORIGIN` names are relative to the root.
 */
export function parseZoneFile(text: string): ZoneFile {
  const steps = zoneSteps(Buffer.from(text));
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** The same in steps of one entry each, for a thread that must not stand still. */
export function* zoneSteps(bytes: Buffer): Generator<undefined, ZoneFile> {
  const reader = new ZoneReader();
  for (const entry of entriesOf(bytes)) {
    reader.add(entry);
    yield;
  }
  return { records: reader.records, problems: reader.problems };
}

/** Line for line: a large file is never one text, nor an array of texts. */
function* linesOf(bytes: Buffer): Generator<string> {
  for (let start = 0; ; ) {
    const end = bytes.indexOf(0x0a, start);
    if (end < 0) {
      yield bytes.toString("utf8", start);
      return;
    }
    yield bytes.toString("utf8", start, end).replace(/\r$/, "");
    start = end + 1;
  }
}

/** Takes the text apart into entries: one line, or several inside parentheses. */
function* entriesOf(bytes: Buffer): Generator<Entry> {
  let tokens: string[] = [];
  let line = 1;
  let depth = 0;
  let start = { line: 1, indented: false };
  for (const written of linesOf(bytes)) {
    if (depth === 0) start = { line, indented: /^[ \t]/.test(written) };
    for (const token of written.match(/"(?:[^"\\]|\\.)*"?|[()]|;.*$|[^\s();"]+/g) ?? []) {
      if (token.startsWith(";")) break;
      if (token === "(") depth++;
      else if (token === ")") depth = Math.max(0, depth - 1);
      else tokens.push(token);
    }
    if (depth === 0 && tokens.length > 0) {
      yield { ...start, tokens };
      tokens = [];
    }
    line++;
  }
  if (tokens.length > 0) yield { ...start, tokens };
}

class ZoneReader {
  readonly records: ZoneRecord[] = [];
  readonly problems: string[] = [];
  #origin = "";
  #ttlMs = DEFAULT_TTL_MS;
  #owner: string | null = null;

  add(entry: Entry): void {
    const problem = entry.tokens[0]?.startsWith("$") ? this.#directive(entry.tokens) : this.#record(entry);
    if (problem !== null && this.problems.length < MAX_PROBLEMS) this.problems.push(`${entry.line}: ${problem}`);
  }

  /** Returns what is wrong, or null. */
  #directive(tokens: readonly string[]): string | null {
    const value = tokens[1] ?? "";
    if (tokens[0] === "$ORIGIN") {
      const origin = value === "." ? "" : this.#absolute(value);
      if (origin === null) return `${quoted(value)} is no domain name`;
      this.#origin = origin;
      return null;
    }
    if (tokens[0] !== "$TTL") return `unknown directive ${quoted(tokens[0] ?? "")}, expected $ORIGIN or $TTL`;
    const ttlMs = parseTtl(value);
    if (ttlMs === null) return `${quoted(value)} is no time to live`;
    this.#ttlMs = ttlMs;
    return null;
  }

  #record(entry: Entry): string | null {
    const rest = [...entry.tokens];
    if (!entry.indented) {
      const written = rest.shift() ?? "";
      const owner = this.#absolute(written);
      if (owner === null) return `${quoted(written)} is no domain name`;
      this.#owner = owner;
    }
    if (this.#owner === null) return "the first record has no name";
    let ttlMs = this.#ttlMs;
    while (rest.length > 0) {
      const ttl = parseTtl(rest[0] ?? "");
      if (ttl !== null) ttlMs = ttl;
      else if (rest[0]?.toUpperCase() !== "IN") break;
      rest.shift();
    }
    const [type = "", ...data] = rest;
    return this.#data(this.#owner, ttlMs, type.toUpperCase(), data);
  }

  #data(name: string, ttlMs: number, type: string, data: readonly string[]): string | null {
    const [first = "", second = ""] = data;
    const take = (kind: DnsRecord["type"], value: string, preference = 0): null => {
      this.records.push({ name, type: kind, value, preference, ttlMs });
      return null;
    };
    switch (type) {
      case "A":
        return isIPv4(first) ? take("A", first) : `${quoted(first)} is no IPv4 address`;
      case "AAAA":
        return isIPv6(first) ? take("AAAA", first.toLowerCase()) : `${quoted(first)} is no IPv6 address`;
      case "CNAME": {
        const target = this.#absolute(first);
        return target === null ? `${quoted(first)} is no domain name` : take("CNAME", target);
      }
      case "MX": {
        const exchange = second === "." ? "" : this.#absolute(second);
        if (!/^\d{1,5}$/.test(first) || Number(first) > 65_535) return `${quoted(first)} is no preference`;
        return exchange === null ? `${quoted(second)} is no domain name` : take("MX", exchange, Number(first));
      }
      case "TXT":
        return data.length === 0 ? "TXT without a text" : take("TXT", data.map(unquoted).join(""));
      case "TLSA": {
        const value = tlsaText(data);
        return value === null ? "TLSA wants three numbers up to 255 and hexadecimal digits" : take("TLSA", value);
      }
      case "SOA": {
        const minimum = parseTtl(data[6] ?? "");
        if (minimum === null) return "SOA wants two names and five numbers";
        this.records.push({ name, type: "SOA", ttlMs: Math.min(ttlMs, minimum) });
        return null;
      }
      case "NS":
        return null;
      default:
        return `unknown type ${quoted(type)}, expected A, AAAA, MX, CNAME, TXT, TLSA or SOA`;
    }
  }

  /** A name as written, with the origin behind it unless it ends with a dot. `*` stands for itself. */
  #absolute(written: string): string | null {
    if (written === "@") return this.#origin === "" ? null : this.#origin;
    const absolute = written.endsWith(".") || this.#origin === "" ? written : `${written}.${this.#origin}`;
    return written === "" || written.includes("\\") ? null : canonicalName(absolute);
  }
}

/** Seconds, or numbers with units (`1h30m`); null when it is none. In milliseconds. */
function parseTtl(written: string): number | null {
  if (!/^(?:\d{1,10}|(?:\d{1,8}[smhdw])+)$/i.test(written)) return null;
  let seconds = 0;
  for (const part of written.matchAll(/(\d+)([smhdw]?)/gi)) {
    seconds += Number(part[1]) * (TTL_UNITS.get((part[2] ?? "").toLowerCase()) ?? 1);
  }
  return seconds <= 0x7fffffff ? seconds * 1000 : null;
}

/** The digits may stand in several parts (RFC 6698 §2.2). */
function tlsaText([usage = "", selector = "", matching = "", ...digits]: readonly string[]): string | null {
  const numbers = [usage, selector, matching];
  const hex = digits.join("").toLowerCase();
  const good = numbers.every((one) => /^\d{1,3}$/.test(one) && Number(one) < 256) && /^(?:[0-9a-f]{2})+$/.test(hex);
  return good ? `${numbers.map(Number).join(" ")} ${hex}` : null;
}

function unquoted(token: string): string {
  return token.startsWith('"') ? token.replace(/^"|"$/g, "").replace(/\\(.)/g, "$1") : token;
}

function quoted(token: string): string {
  return JSON.stringify(token.slice(0, 80));
}
