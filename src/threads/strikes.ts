/**
 * Messages that workers died of. The first death is a strike; at the second the message is sentenced: no worker gets it in
 * hand again, its owner moves it to quarantine. An end of the whole process that may have come from outside (SIGKILL, a loss
 * of power, no memory) weighs less: only three of them are a sentence, or two and a death.
 *
 * Runs on   the main thread
 * Owns      the strikes, and their file in the spool, so that they count over restarts
 * When full (1,024) the oldest lone strike goes, then the oldest at all
 * On failure a file that makes no sense is told and left behind: no strikes; one that cannot be written is told, and the
 *           strikes count until the process ends
 *
 * Strikes without a sentence go when the message got through an attempt without another death, when it left the spool,
 * and after a day.
 */
import { readFileSync } from "node:fs";
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import type { ShardIndex, SpoolKey } from "../base/brands.js";
import { errnoOf, messageOf } from "../base/fault.js";
import { type Held, Work } from "../protocol/layout/hands.js";
import { MAX_SHARDS } from "../protocol/message-id.js";
import type { Sentence } from "../protocol/messages.js";
import type { SettledMessages, Suspects } from "../scheduler/ports.js";

/** What ended while a message was in hand. */
export enum End {
  /** A worker died or hung, or the process died of itself. */
  death = 1,
  /** The process ended, and left no sign that it did so by itself. */
  unknown = 2,
}

/** Weights of both ends, and the sum that is a sentence: two deaths, or three that are unknown, or one and two. */
const DEATH_WEIGHT = 3;
const UNKNOWN_WEIGHT = 2;
const SENTENCED = 6;
const MAX_STRIKES = 1024;
const LONE_MS = 86_400_000;

interface Strike {
  readonly shard: ShardIndex;
  readonly key: SpoolKey;
  deaths: number;
  /** Ends of the process that may have come from outside. */
  unknown: number;
  /** What it was in hand for at the last death. */
  work: Work;
  /** Whether each time a session had it: then its entry can be read. */
  onlySending: boolean;
  /** Whether it ever died where its row was taken apart: then not even that is done again. */
  untouchable: boolean;
  /** Wall clock of the last death. */
  atMs: number;
  /**
   * In quarantine, with its record, and perhaps still in the spool: a successor merely removes it. For this run only: the
   * next one believes the log, which may have lost more than this file when the power went.
   */
  recorded?: boolean;
}

/** What each kind of work is called in notices and records. */
const DOING: Readonly<Record<Work, string>> = {
  [Work.reading]: "reading",
  [Work.sending]: "sending",
  [Work.deciding]: "recording a decision about",
  [Work.announcing]: "announcing",
  [Work.settingAside]: "quarantining",
};

/** In words, what a worker did with a message. */
export function doing(work: Work): string {
  return DOING[work];
}

/** See the file's header. */
export class Strikes implements Suspects {
  readonly #path: string;
  readonly #nowMs: () => number;
  readonly #notice: (line: string) => void;
  readonly #shards = new Map<ShardIndex, Map<SpoolKey, Strike>>();
  #size = 0;
  #dirty = false;
  #saving: Promise<void> | null = null;

  /**
   * Reads what earlier runs left.
   * @param nowMs the wall clock.
   */
  constructor(path: string, nowMs: () => number, notice: (line: string) => void) {
    this.#path = path;
    this.#nowMs = nowMs;
    this.#notice = notice;
    for (const strike of this.#read()) this.#add(strike);
    this.#forgetOld();
  }

  /** Messages with a strike; nearly always 0. */
  get size(): number {
    return this.#size;
  }

  /** A worker, or the whole process, ended with this in hand. Returns how often that has happened, in this manner. */
  strike({ shard, key, work }: Held, end: End = End.death): number {
    const atMs = this.#nowMs();
    let strike = this.#find(shard, key);
    if (strike === undefined) {
      this.#forgetOld();
      if (this.#size >= MAX_STRIKES) this.#forgetOne();
      strike = { shard, key, deaths: 0, unknown: 0, work, onlySending: true, untouchable: false, atMs };
      this.#add(strike);
    }
    if (end === End.death) strike.deaths++;
    else strike.unknown++;
    strike.work = work;
    strike.atMs = atMs;
    if (work !== Work.sending) strike.onlySending = false;
    if (work === Work.announcing || work === Work.settingAside) strike.untouchable = true;
    this.#save();
    return end === End.death ? strike.deaths : strike.unknown;
  }

  sentence(shard: ShardIndex, key: SpoolKey): Sentence | null {
    const strike = this.#find(shard, key);
    return strike === undefined || !isSentenced(strike) ? null : sentenceOf(strike);
  }

  /** The message is in quarantine and its record is in the log; `gone` follows when it has left the spool. */
  recorded(shard: ShardIndex, key: SpoolKey): void {
    const strike = this.#find(shard, key);
    if (strike !== undefined) strike.recorded = true;
  }

  /** A worker died, and this is what it wrote without reporting it. */
  informed(settled: SettledMessages): void {
    for (const strike of this.#all()) if (settled.has(strike.shard, strike.key)) strike.recorded = true;
  }

  /** Every sentence about a message of this shard. */
  sentencesIn(shard: ShardIndex): Sentence[] {
    return [...(this.#shards.get(shard)?.values() ?? [])].filter(isSentenced).map(sentenceOf);
  }

  survived(shard: ShardIndex, key: SpoolKey): void {
    const strike = this.#find(shard, key);
    if (strike !== undefined && !isSentenced(strike)) this.gone(shard, key);
  }

  gone(shard: ShardIndex, key: SpoolKey): void {
    const strike = this.#find(shard, key);
    if (strike === undefined) return;
    this.#remove(strike);
    this.#save();
  }

  /** Resolves when the file says what is known now, or that it cannot has been told. */
  saved(): Promise<void> {
    return this.#saving ?? Promise.resolve();
  }

  #find(shard: ShardIndex, key: SpoolKey): Strike | undefined {
    return this.#shards.get(shard)?.get(key);
  }

  #add(strike: Strike): void {
    const { shard, key } = strike;
    let keys = this.#shards.get(shard);
    if (keys === undefined) {
      keys = new Map();
      this.#shards.set(shard, keys);
    }
    if (!keys.has(key)) this.#size++;
    keys.set(key, strike);
  }

  #remove({ shard, key }: Strike): void {
    const keys = this.#shards.get(shard);
    if (keys?.delete(key) !== true) return;
    this.#size--;
    if (keys.size === 0) this.#shards.delete(shard);
  }

  #all(): Strike[] {
    return [...this.#shards.values()].flatMap((keys) => [...keys.values()]);
  }

  #forgetOld(): void {
    const before = this.#nowMs() - LONE_MS;
    for (const strike of this.#all()) {
      if (!isSentenced(strike) && strike.atMs < before) this.#remove(strike);
    }
  }

  #forgetOne(): void {
    const all = this.#all().sort((a, b) => a.atMs - b.atMs);
    const victim = all.find((strike) => !isSentenced(strike)) ?? all[0];
    if (victim !== undefined) this.#remove(victim);
  }

  // ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #read(): Strike[] {
    let text: string;
    try {
      text = readFileSync(this.#path, "utf8");
    } catch (error) {
      if (errnoOf(error) !== "ENOENT") this.#distrust(messageOf(error));
      return [];
    }
    try {
      const read: unknown = JSON.parse(text);
      if (Array.isArray(read) && read.length <= MAX_STRIKES && read.every(isStrike)) {
        // Versions before counted deaths only.
        return read.map((strike) => ({ ...strike, unknown: strike.unknown ?? 0 }));
      }
      this.#distrust("it is no list of strikes");
    } catch (error) {
      this.#distrust(messageOf(error));
    }
    return [];
  }

  #distrust(why: string): void {
    this.#notice(`${this.#path} is left out: ${why}; deaths in earlier runs do not count`);
  }

  #save(): void {
    this.#dirty = true;
    this.#saving ??= this.#write().then(() => {
      this.#saving = null;
    });
  }

  async #write(): Promise<void> {
    try {
      while (this.#dirty) {
        this.#dirty = false;
        if (this.#size === 0) await rm(this.#path, { force: true });
        else await replaceDurably(this.#path, JSON.stringify(this.#all(), withoutRecorded));
      }
    } catch (error) {
      this.#notice(`${this.#path} cannot be written: ${messageOf(error)}; strikes are forgotten at the next start`);
    }
  }
}

function withoutRecorded(name: string, value: unknown): unknown {
  return name === "recorded" ? undefined : value;
}

function isSentenced({ deaths, unknown }: Strike): boolean {
  return deaths * DEATH_WEIGHT + unknown * UNKNOWN_WEIGHT >= SENTENCED;
}

function sentenceOf(strike: Strike): Sentence {
  const { shard, key, deaths, unknown, work, onlySending, untouchable, recorded = false } = strike;
  const manners = [
    deaths > 0 ? `${times(deaths)} a worker died or hung` : "",
    unknown > 0 ? `${times(unknown)} the process ended` : "",
  ];
  const ends = manners.filter((manner) => manner !== "").join(" and ");
  const reason = `${ends} with it in hand, last while ${doing(work)} it`;
  return { shard, key, reason, depth: onlySending ? "envelope" : untouchable ? "bytes" : "header", recorded };
}

function times(count: number): string {
  return count === 1 ? "once" : `${count} times`;
}

function isStrike(value: unknown): value is Omit<Strike, "unknown"> & { unknown?: number } {
  if (typeof value !== "object" || value === null) return false;
  const { shard, key, deaths, unknown, work, onlySending, untouchable, atMs }: { [name in keyof Strike]?: unknown } =
    value;
  return (
    isCount(shard) &&
    shard < MAX_SHARDS &&
    isCount(key) &&
    isCount(deaths) &&
    (unknown === undefined || isCount(unknown)) &&
    isCount(work) &&
    Work[work] !== undefined &&
    typeof onlySending === "boolean" &&
    typeof untouchable === "boolean" &&
    isCount(atMs)
  );
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Gives a file a new content that is there whole, or not at all, also after a loss of power. */
async function replaceDurably(path: string, text: string): Promise<void> {
  const partial = `${path}.new`;
  const file = await open(partial, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(partial, path);
  const directory = await open(dirname(path), "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
