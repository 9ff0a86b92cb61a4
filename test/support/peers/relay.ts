/** A whole server between a client and real mail hosts, and what became of the messages that it was handed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { SystemClock } from "../../../src/base/clock.js";
import { TlsReports } from "../../../src/dns/tls-reports.js";
import {
  type LogRecord,
  makeDir,
  readLog,
  removeDir,
  startServer,
  type TestConfig,
  type TestServer,
  until,
  writeConfig,
} from "../server.js";
import { connectAndGreet } from "../smtp-client.js";
import { type MailHost, type StoredMail, storedMail } from "./mail-host.js";
import { PEER_PORT } from "./program.js";

/** What every path to a real mail host needs, to stand under `["default"]`. */
export const PEER_PATH = `smtp_port = ${PEER_PORT}\nprohibited_hosts = []\nip_lookup_strategy = "Ipv4Only"\n`;

const ends = new WeakMap<TestContext, (() => unknown)[]>();

/** Does something when the test has ended: what was said last first, other than `t.after`. */
export function atEnd(t: TestContext, act: () => unknown): void {
  const known = ends.get(t);
  if (known !== undefined) {
    known.push(act);
    return;
  }
  const acts = [act];
  ends.set(t, acts);
  t.after(async () => {
    for (const one of acts.reverse()) await one();
  });
}

/** A directory that is removed when the test has ended, after what was started in it with {@link atEnd} is over. */
export function testDir(t: TestContext): string {
  const dir = makeDir();
  atEnd(t, () => removeDir(dir));
  return dir;
}

/** Starts a server in `dir` that stops with the test; the queue is tried once, unless `config` says otherwise. */
export async function startRelay(t: TestContext, dir: string, config: TestConfig): Promise<TestServer> {
  writeConfig(dir, { queue: 'retry_interval = "1h"', ...config });
  const running = await startServer(dir);
  let stopped: Promise<void> | undefined;
  const stop = (): Promise<void> => (stopped ??= running.stop());
  atEnd(t, stop);
  return { ...running, stop };
}

/** Hands in one message for each recipient. */
export async function handIn(port: number, recipients: readonly string[]): Promise<void> {
  const client = await connectAndGreet(port);
  for (const recipient of recipients) {
    assert.match(await client.send("s@from.example", [recipient], "Subject: x\r\n\r\nhello"), /^250 /);
  }
  await client.end();
}

/** All outcomes so far. */
export function outcomesIn(dir: string): LogRecord[] {
  return readLog(dir).filter((record) => record.type !== "Reception");
}

/** The first outcome of a recipient; waits for it. */
export async function outcomeOf(dir: string, recipient: string): Promise<LogRecord> {
  const find = (): LogRecord | undefined => outcomesIn(dir).find((record) => record.recipient === recipient);
  await until(() => find() !== undefined, `an outcome of ${recipient}`);
  return find()!;
}

/** What a host stored for a recipient; waits for it. */
export async function storedFor(host: MailHost, recipient: string): Promise<StoredMail> {
  const find = (): StoredMail | undefined => storedMail(host).find((mail) => mail.recipient === recipient);
  await until(() => find() !== undefined, `mail for ${recipient} at ${host.kind}`);
  return find()!;
}

/** How a record says that TLS went: the version, or `clear`. */
export function tlsOf(record: LogRecord): string {
  const version = record["tls_protocol_version"];
  return typeof version === "string" ? version : "clear";
}

/** What Postfix counts of each connection that ended: `ehlo=2 starttls=1 mail=1 …`. */
export function connectionsOf(host: Pick<MailHost, "log">): string[] {
  return [...host.log.matchAll(/ disconnect from \S+ (.*)/g)].map((match) => match[1] as string);
}

/** What a stopped server kept for reports about TLS: `domain policy successes/failures result*count`, sorted. */
export async function keptReports(dir: string): Promise<string[]> {
  const reports = new TlsReports(join(dir, "var"), new SystemClock(), (line) => assert.fail(line));
  const lines = new Map<string, [number, number, Map<string, number>]>();
  // A test may run over midnight.
  for (const day of reports.days) {
    for (const { policy, summary, "failure-details": details } of reports
      .domains(day)
      .flatMap((domain) => reports.report(day, domain))) {
      const key = `${policy["policy-domain"]} ${policy["policy-type"]}`;
      const sums = lines.get(key) ?? [0, 0, new Map<string, number>()];
      lines.set(key, sums);
      sums[0] += summary["total-successful-session-count"];
      sums[1] += summary["total-failure-session-count"];
      for (const detail of details) {
        const of = detail["result-type"];
        sums[2].set(of, (sums[2].get(of) ?? 0) + detail["failed-session-count"]);
      }
    }
  }
  await reports.stop();
  return [...lines]
    .map(([key, [successes, failures, kinds]]) =>
      [key, `${successes}/${failures}`, ...[...kinds].sort().map(([kind, count]) => `${kind}*${count}`)].join(" "),
    )
    .sort();
}
