import { readFileSync, statSync } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { setImmediate as nextTurn } from "node:timers/promises";
import { causeOf, errnoOf, Fault } from "../base/fault.js";
import { type DnsRecord, negativeTtl, type RecordType, type Step } from "./lookup.js";
import { type ZoneRecord, zoneSteps } from "./zone-file.js";

/** Most bytes of a zone file. */
const MAX_BYTES = 16 * 1024 * 1024;
/** How long a reload reads at a stretch. */
const STRETCH_MS = 2;
/** Steps between two looks at the clock. */
const STEPS_PER_LOOK = 16;

/**
 * The static records of `hosts_file`, consulted before any server.
 *
 * A name that the file has is answered by the file alone: its records, its alias, or "no such record". `*.x` stands for
 * all names below `x` that the file does not have (RFC 4592). Other names are looked up outside, also those that lie above
 * one of the file's: a host's address says nothing about its domain. Where the file has a SOA record at or above a name it
 * is the last word: a name above others has no records, and the rest does not exist.
 */
export class StaticZone {
  readonly #records = new Map<string, DnsRecord[]>();
  /** Names that exist only because something lies below them. */
  readonly #above = new Set<string>();
  /** Names of SOA records, with the life of a negative answer. */
  readonly #apexes = new Map<string, number>();
  readonly #authentic: boolean;

  /** @param authentic whether the file counts as signed and validated. */
  constructor(authentic = false) {
    this.#authentic = authentic;
  }

  /** A record of the file; all of them are added before the first look-up. */
  add(record: ZoneRecord): void {
    const known = this.#records.get(record.name);
    if (record.type === "SOA") this.#apexes.set(record.name, record.ttlMs);
    else if (known === undefined) this.#records.set(record.name, [record]);
    else known.push(record);
    if (known !== undefined) return;
    for (let parent = parentOf(record.name); parent !== null; parent = parentOf(parent)) this.#above.add(parent);
  }

  /** Whether an alias stands beside something else (RFC 1034 §3.6.2). */
  hasConflict(name: string): boolean {
    const count = (this.#records.get(name)?.length ?? 0) + (this.#apexes.has(name) ? 1 : 0);
    return count > 1;
  }

  /** What the file says about a question; null when it says nothing. `name` as `canonicalName` gives it. */
  lookup(name: string, type: RecordType): Step | null {
    const own = this.#records.get(name);
    if (own !== undefined) return this.#answer(own, name, type);
    const apexTtlMs = this.#apexTtl(name);
    if (this.#above.has(name) && apexTtlMs === null) return null;
    if (this.#apexes.has(name) || this.#above.has(name)) return this.#none("nodata", apexTtlMs);
    const wildcard = this.#wildcard(name);
    if (wildcard !== undefined) return this.#answer(wildcard, name, type);
    return apexTtlMs === null ? null : this.#none("nxdomain", apexTtlMs);
  }

  #answer(records: readonly DnsRecord[], name: string, type: RecordType): Step {
    const found = records.filter((record) => record.type === type);
    const authentic = this.#authentic;
    if (found.length > 0) return { kind: "found", records: found, ttlMs: shortest(found), authentic };
    const alias = records.find((record) => record.type === "CNAME");
    if (alias !== undefined) return { kind: "alias", target: alias.value, ttlMs: alias.ttlMs, authentic };
    return this.#none("nodata", this.#apexTtl(name));
  }

  #none(kind: "nodata" | "nxdomain", apexTtlMs: number | null): Step {
    return { kind, ttlMs: negativeTtl(apexTtlMs), authentic: this.#authentic };
  }

  /** The records of `*` under the nearest existing name above (RFC 4592 §3.3.1). */
  #wildcard(name: string): readonly DnsRecord[] | undefined {
    for (let parent = parentOf(name); parent !== null; parent = parentOf(parent)) {
      const records = this.#records.get(`*.${parent}`);
      if (records !== undefined) return records;
      if (this.#records.has(parent) || this.#above.has(parent) || this.#apexes.has(parent)) return undefined;
    }
    return this.#records.get("*");
  }

  #apexTtl(name: string): number | null {
    for (let at: string | null = name; at !== null; at = parentOf(at)) {
      const ttlMs = this.#apexes.get(at);
      if (ttlMs !== undefined) return ttlMs;
    }
    return null;
  }
}

function parentOf(name: string): string | null {
  const dot = name.indexOf(".");
  return dot < 0 ? null : name.slice(dot + 1);
}

function shortest(records: readonly DnsRecord[]): number {
  return records.reduce((least, record) => Math.min(least, record.ttlMs), Number.POSITIVE_INFINITY);
}

/**
 * Makes a zone of a text. `name` is what the file is called in messages.
 * @throws {Fault} `config.invalid` with `NAME:LINE: what is wrong`, one a line.
 */
export function parseZone(text: string, name: string, authentic = false): StaticZone {
  return zoneOf(Buffer.from(text), name, authentic);
}

function zoneOf(bytes: Buffer, name: string, authentic: boolean): StaticZone {
  const steps = makeZone(bytes, name, authentic);
  for (;;) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** Most conflicts that are told. */
const MAX_CONFLICTS = 20;

/** A zone in small steps. */
function* makeZone(bytes: Buffer, name: string, authentic: boolean): Generator<undefined, StaticZone> {
  const { records, problems } = yield* zoneSteps(bytes);
  const zone = new StaticZone(authentic);
  for (const record of records) {
    zone.add(record);
    yield;
  }
  const conflicts = new Set<string>();
  for (const record of records) {
    yield;
    if (record.type !== "CNAME" || conflicts.size >= MAX_CONFLICTS || !zone.hasConflict(record.name)) continue;
    conflicts.add(` ${record.name} has a CNAME and something else`);
  }
  const all = [...problems, ...conflicts];
  if (all.length > 0) throw new Fault("config.invalid", all.map((problem) => `${name}:${problem}`).join("\n"));
  return zone;
}

/**
 * Reads a zone file.
 * @throws {Fault} `config.unreadable` when the file cannot be read, `config.invalid` when it is wrong.
 */
export function loadZone(path: string, authentic = false): StaticZone {
  let bytes: Buffer;
  try {
    if (statSync(path).size > MAX_BYTES) throw new Error(TOO_LARGE);
    bytes = readFileSync(path);
  } catch (error) {
    throw unreadable(path, error);
  }
  return zoneOf(bytes, path, authentic);
}

/**
 * Reads a zone file without keeping its thread for longer than a few milliseconds at a time; rejects with the faults that
 * `loadZone` throws.
 */
export async function loadZoneInSteps(path: string, authentic = false): Promise<StaticZone> {
  let bytes: Buffer;
  try {
    if ((await stat(path)).size > MAX_BYTES) throw new Error(TOO_LARGE);
    bytes = await readFile(path);
  } catch (error) {
    throw unreadable(path, error);
  }
  const steps = makeZone(bytes, path, authentic);
  for (;;) {
    const until = performance.now() + STRETCH_MS;
    do {
      for (let step = 0; step < STEPS_PER_LOOK; step++) {
        const { done, value } = steps.next();
        if (done === true) return value;
      }
    } while (performance.now() < until);
    await nextTurn();
  }
}

const TOO_LARGE = "the file is larger than 16MiB";

function unreadable(path: string, error: unknown): Fault {
  return new Fault("config.unreadable", `${path}: ${causeOf(error)}`, { errno: errnoOf(error), cause: error });
}
