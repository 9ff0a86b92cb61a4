import { readFileSync } from "node:fs";
import { type Command, Option } from "commander";
import { Fault, messageOf } from "../base/fault.js";
import { Undo } from "../base/undo.js";
import type { ListenAddress } from "../config/compiled.js";
import { formatSocketAddress } from "../config/text-kinds.js";
import { DEFAULT_PROFILE, type SinkProfile, type SinkTls } from "../sink/options.js";
import { loadProfile } from "../sink/profile.js";
import { startSink } from "../sink/sink.js";
import type { SinkStats } from "../sink/stats.js";
import { serveStats } from "../sink/stats-server.js";
import { durationArgument, listenArgument, optionWithDefault, percentArgument, wholeArgument } from "./arguments.js";
import { reportFaults } from "./command-fault.js";
import { writeReadyFile } from "./ready-file.js";
import { ignoreDebuggerSignal } from "./signals.js";

const MINUTE_MS = 60_000;
const DEFAULT_LISTEN: ListenAddress = { host: "127.0.0.1", port: 2026 };

interface SinkFlags {
  readonly listen: ListenAddress;
  readonly profile?: string;
  readonly http?: ListenAddress;
  readonly bounce?: number;
  readonly defer?: number;
  readonly refuseAt?: "rcpt" | "data";
  readonly greeting?: number;
  readonly close?: number;
  readonly latency?: number;
  readonly tarpit?: number;
  readonly maxConnections?: number;
  readonly hostname?: string;
  readonly tls?: "offered" | "required";
  readonly tlsCertificate?: string;
  readonly tlsKey?: string;
  readonly seed?: number;
  readonly times?: string;
  readonly readyFile?: string;
  readonly json?: boolean;
}

/** Adds `hikyaku sink` to the command line. */
export function addSinkCommand(program: Command): void {
  program
    .command("sink")
    .description("receive mail as a mailbox provider does, count it and throw it away")
    .addOption(
      optionWithDefault(
        "--listen <ADDR>",
        "where to listen; port 0 lets the system choose",
        listenArgument,
        DEFAULT_LISTEN,
        "127.0.0.1:2026",
      ),
    )
    .option("--profile <FILE>", "TOML file that says how to behave; the options below win over it")
    .option("--http <ADDR>", "serve the counters there, GET /stats, or /totals without domains", listenArgument)
    .option("--bounce <PERCENT>", "refuse this share of the recipients for good (5xx)", percentArgument)
    .option("--defer <PERCENT>", "refuse this share of the recipients for now (4xx)", percentArgument)
    .addOption(new Option("--refuse-at <STEP>", "where refusals are said").choices(["rcpt", "data"]))
    .option("--greeting <CODE>", "greet with this code: 220, or a refusal from 400", greetingArgument)
    .option("--close <PERCENT>", "answer this share of MAIL commands 421 and close", percentArgument)
    .option("--latency <MS>", "wait before each group of replies (500, 20ms, 1s)", delayArgument)
    .option("--tarpit <MS>", "wait before each refusal, longer with each of a connection", delayArgument)
    .option("--max-connections <N>", "answer connections beyond with 421", wholeArgument(1, 1_000_000))
    .option("--hostname <NAME>", "name in the greeting")
    .addOption(
      new Option("--tls <MODE>", "offer STARTTLS, or take no mail without it").choices(["offered", "required"]),
    )
    .option("--tls-certificate <FILE>", "PEM file with the certificate and its chain (default: one made at the start)")
    .option("--tls-key <FILE>", "PEM file with its key")
    .option("--seed <N>", "where chance begins: the same traffic gets the same answers", wholeArgument(0, 0xffff_ffff))
    .option("--times <FILE>", "write there when each numbered message arrived, for those of `generate --times`")
    .option("--ready-file <FILE>", "write pid and ports there as JSON once everything listens")
    .option("--json", "print JSON lines: where it listens, and the counters at the end")
    .addHelpText("after", RECIPIENTS_HELP)
    .action((flags: SinkFlags, command: Command) => reportFaults("sink", () => runSink(flags, command)));
}

const RECIPIENTS_HELP = `
Recipients steer their own answer: a local part that begins with 451- is answered 451 (any 4xx or 5xx), 250- is always
accepted, one with "tempfail" in it is refused for now and one with "permfail" for good.`;

function greetingArgument(text: string): number {
  return text === "220" ? 220 : wholeArgument(400, 599)(text);
}

function delayArgument(text: string): number {
  return Math.min(MINUTE_MS, durationArgument(1)(text));
}

function profileOf(flags: SinkFlags): SinkProfile {
  const base = flags.profile === undefined ? DEFAULT_PROFILE : loadProfile(flags.profile);
  return {
    ...base,
    fallback: { bounce: flags.bounce ?? base.fallback.bounce, defer: flags.defer ?? base.fallback.defer },
    refuseAt: flags.refuseAt ?? base.refuseAt,
    greeting: flags.greeting ?? base.greeting,
    closePercent: flags.close ?? base.closePercent,
    latencyMs: flags.latency ?? base.latencyMs,
    tarpitMs: flags.tarpit ?? base.tarpitMs,
    maxConnections: flags.maxConnections ?? base.maxConnections,
    hostname: flags.hostname ?? base.hostname,
    tls: tlsOf(flags, base),
    seed: flags.seed ?? base.seed,
  };
}

function tlsOf(flags: SinkFlags, base: SinkProfile): SinkTls | null {
  const mode = flags.tls ?? base.tls?.mode;
  if (mode === undefined) return null;
  const files = { certificate: flags.tlsCertificate, key: flags.tlsKey };
  return {
    mode,
    certificate: files.certificate === undefined ? (base.tls?.certificate ?? null) : readPem(files.certificate),
    key: files.key === undefined ? (base.tls?.key ?? null) : readPem(files.key),
    maxVersion: base.tls?.maxVersion ?? null,
    fault: base.tls?.fault ?? "none",
  };
}

function readPem(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    throw new Fault("config.unreadable", `${path}: ${messageOf(error)}`, { cause: error });
  }
}

async function runSink(flags: SinkFlags, command: Command): Promise<void> {
  ignoreDebuggerSignal((line) => process.stderr.write(`hikyaku sink: ${line}\n`));
  if ((flags.tlsCertificate === undefined) !== (flags.tlsKey === undefined)) {
    command.error("error: --tls-certificate and --tls-key go together", { code: "commander.invalidArgument" });
  }
  const profile = profileOf(flags);
  if (profile.fallback.bounce + profile.fallback.defer > 100) {
    command.error("error: --bounce and --defer are more than 100 together", { code: "commander.invalidArgument" });
  }
  const undo = new Undo();
  try {
    await receive(flags, profile, undo);
  } finally {
    // What was begun goes too when a later step has failed; else it would keep the process alive, unannounced.
    await undo.run();
  }
}

async function receive(flags: SinkFlags, profile: SinkProfile, undo: Undo): Promise<void> {
  const times = flags.times === undefined ? {} : { times: flags.times };
  const sink = await startSink({ host: flags.listen.host, port: flags.listen.port, profile, ...times });
  undo.push(() => sink.stop());
  const page = flags.http === undefined ? null : await serveStats(flags.http.host, flags.http.port, sink);
  if (page !== null) undo.push(() => page.stop());
  const smtp = [{ host: sink.host, port: sink.port }];
  const http = page === null ? [] : [{ host: page.host, port: page.port }];
  if (flags.json) process.stdout.write(`${JSON.stringify({ pid: process.pid, smtp, http })}\n`);
  else {
    const counters = page === null ? "" : `, counters at http://${formatSocketAddress(page)}/stats`;
    process.stdout.write(`hikyaku sink: receives on ${formatSocketAddress(sink)}${counters}\n`);
  }
  if (flags.readyFile !== undefined) writeReadyFile(flags.readyFile, { smtp, http });
  const progress = process.stderr.isTTY ? setInterval(() => showProgress(sink.stats()), 1000) : undefined;
  await new Promise<void>((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => resolve());
  });
  clearInterval(progress);
  const stats = sink.stats();
  await undo.run();
  process.stdout.write(flags.json ? `${JSON.stringify(stats)}\n` : `${summary(stats)}\n`);
}

function showProgress(stats: SinkStats): void {
  process.stderr.write(`\r${stats.messages} messages, ${stats.open} connections open   `);
}

function summary(stats: SinkStats): string {
  const codes = Object.entries(stats.codes).map(([code, count]) => `${code}: ${count}`);
  return [
    `connections ${stats.connections}`,
    `messages    ${stats.messages}`,
    `recipients  ${stats.recipients}`,
    `bytes       ${stats.bytes}`,
    `replies     ${codes.join(", ")}`,
  ].join("\n");
}
