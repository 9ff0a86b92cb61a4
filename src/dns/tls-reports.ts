/**
 * How TLS went today and in the days before, for the reports that domains ask for (RFC 8460).
 * Runs on: the main thread.
 * Owns: the counts of the last days, one file for each under `data_dir/tls-reports`.
 * When full: three days; in each, `MAX_ROWS_PER_DAY` domains.
 * On failure: a file that cannot be read or written is told; at most a minute of counts is lost with the process.
 */
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Clock } from "../base/clock.js";
import { messageOf } from "../base/fault.js";
import { LinesFile } from "../base/lines-file.js";
import type { TlsCount, TlsOutcome } from "../protocol/tls-policy.js";
import { type DomainRow, type PolicyReport, TlsDay } from "./tls-report-book.js";

/** Today, and time to send what was before. */
const DAYS_KEPT = 3;
const DELAY_MS = 60_000;
const FILE = /^(\d{4}-\d\d-\d\d)\.lines$/;

interface Day {
  readonly counts: TlsDay;
  readonly file: LinesFile;
}

/** See the file's header. */
export class TlsReports {
  readonly #directory: string;
  readonly #clock: Clock;
  readonly #notice: (line: string) => void;
  readonly #days = new Map<string, Day>();

  constructor(dataDir: string, clock: Clock, notice: (line: string) => void) {
    this.#directory = join(dataDir, "tls-reports");
    this.#clock = clock;
    this.#notice = notice;
    for (const name of this.#files()) this.#day(name);
  }

  /** The days that something is known of (UTC, `YYYY-MM-DD`), oldest first. */
  get days(): readonly string[] {
    return [...this.#days.keys()].sort();
  }

  /** Counts outcomes of now. */
  add(outcomes: readonly TlsCount[]): void {
    const day = this.#day(new Date(this.#clock.wallMs()).toISOString().slice(0, 10));
    for (const outcome of outcomes) day.counts.add(outcome);
    day.file.changed();
  }

  /** Domains of a day that there is something to tell. */
  domains(day: string): readonly string[] {
    return [...(this.#days.get(day)?.counts.domains ?? [])];
  }

  /** What is to be told to a domain about a day: the `policies` of a report in JSON (RFC 8460 §4.4). */
  report(day: string, domain: string): readonly PolicyReport[] {
    return this.#days.get(day)?.counts.report(domain) ?? [];
  }

  /** Writes what has not been written. */
  async stop(): Promise<void> {
    await Promise.all([...this.#days.values()].map(({ file }) => file.stop()));
  }

  #files(): readonly string[] {
    try {
      mkdirSync(this.#directory, { recursive: true });
      return readdirSync(this.#directory)
        .flatMap((name) => FILE.exec(name)?.[1] ?? [])
        .sort();
    } catch (error) {
      this.#notice(`${this.#directory}: ${messageOf(error)}`);
      return [];
    }
  }

  #day(name: string): Day {
    const known = this.#days.get(name);
    if (known !== undefined) return known;
    const counts = new TlsDay();
    const path = join(this.#directory, `${name}.lines`);
    const file = new LinesFile(path, DELAY_MS, () => counts.rows.map((row) => () => printRow(row)), this.#notice);
    file.load((line) => readRow(line, counts));
    const day = { counts, file };
    this.#days.set(name, day);
    for (const old of this.days.slice(0, -DAYS_KEPT)) this.#drop(old);
    return day;
  }

  #drop(name: string): void {
    this.#days.delete(name);
    try {
      rmSync(join(this.#directory, `${name}.lines`), { force: true });
    } catch (error) {
      this.#notice(`${this.#directory}: ${messageOf(error)}`);
    }
  }
}

/** A domain's row as one line of JSON. */
function printRow({ domain, policy, successes, unlisted, kinds }: DomainRow): string {
  return JSON.stringify([domain, policy, successes, unlisted, ...kinds.values()]);
}

function readRow(line: string, counts: TlsDay): boolean {
  try {
    const [domain, policy, successes, unlisted, ...kinds]: unknown[] = JSON.parse(line);
    if (typeof domain !== "string" || !isPolicy(policy) || typeof successes !== "number") return false;
    if (typeof unlisted !== "number") return false;
    const row = { domain, policy };
    counts.add({ ...row, ...SUCCESS, count: successes });
    counts.addUnlisted(domain, policy, unlisted);
    return kinds.every((kind) => {
      const read = readKind(kind);
      if (read !== null) counts.add({ ...row, ...read });
      return read !== null;
    });
  } catch {
    return false;
  }
}

const SUCCESS = { result: "success", mxHost: "", sendingIp: null, receivingIp: null, detail: "" } as const;

function isPolicy(value: unknown): value is TlsOutcome["policy"] {
  return value === "tlsa" || value === "sts" || value === "no-policy-found";
}

const RESULTS: readonly TlsOutcome["result"][] = [
  "starttls-not-supported",
  "certificate-host-mismatch",
  "certificate-expired",
  "certificate-not-trusted",
  "validation-failure",
  "tlsa-invalid",
  "dnssec-invalid",
  "dane-required",
  "sts-policy-fetch-error",
  "sts-policy-invalid",
  "sts-webpki-invalid",
];

function readKind(value: unknown): Omit<TlsCount, "domain" | "policy"> | null {
  if (typeof value !== "object" || value === null) return null;
  const of = new Map<string, unknown>(Object.entries(value));
  const result = RESULTS.find((one) => one === of.get("result"));
  const [mxHost, detail, count] = [of.get("mxHost"), of.get("detail"), of.get("count")];
  if (result === undefined || typeof mxHost !== "string" || typeof detail !== "string") return null;
  if (typeof count !== "number") return null;
  const address = (key: string): string | null => {
    const written = of.get(key);
    return typeof written === "string" ? written : null;
  };
  return { result, mxHost, detail, count, sendingIp: address("sendingIp"), receivingIp: address("receivingIp") };
}
