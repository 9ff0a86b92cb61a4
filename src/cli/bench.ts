import { closeSync, openSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Command } from "commander";
import { Fault, messageOf } from "../base/fault.js";
import { type BenchOptions, runBench } from "../load/bench/bench.js";
import { compareReports, comparisonText, differences, type EarlierReport, readEarlier } from "../load/bench/compare.js";
import type { BenchReport, RunSettings } from "../load/bench/figures.js";
import { reportHtml } from "../load/bench/report-html.js";
import { reportJson } from "../load/bench/report-json.js";
import { reportText } from "../load/bench/report-text.js";
import {
  addBenchOptions,
  amountOf,
  type BenchFlags,
  conflictOf,
  DEFAULT_TOLERANCE_PERCENT,
  planOf,
  settingsOf,
} from "./bench-options.js";
import { reportFaults } from "./command-fault.js";

const INTERRUPTED = 130;
const CLEAR_LINE = "\r\u001b[K";

/** Adds `hikyaku bench` to the command line. */
export function addBenchCommand(program: Command, version: string): void {
  const command = program
    .command("bench")
    .description(
      "measure this machine: a server, a generator and a sink of its own, each a process, in a directory of its own",
    );
  addBenchOptions(command).action((flags: BenchFlags) => {
    const wrongUsage = (text: string): never => command.error(`error: ${text}`, { code: "commander.invalidArgument" });
    const conflict = conflictOf(flags);
    if (conflict !== null) wrongUsage(conflict);
    return reportFaults("bench", () => bench(flags, version, wrongUsage));
  });
}

async function bench(flags: BenchFlags, version: string, wrongUsage: (text: string) => never): Promise<void> {
  const earlier = flags.compare === undefined ? null : readEarlier(flags.compare);
  const differing = earlier === null ? [] : differencesOf(earlier, flags);
  if (differing.length > 0) wrongUsage(`${flags.compare} is of another load: ${differing.join("; ")}`);
  for (const path of [flags.json, flags.html]) if (typeof path === "string") checkWritable(path);
  const interrupted = new AbortController();
  const stop = () => interrupted.abort();
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, stop);
  try {
    const report = await runBench({
      program: { file: process.execPath, args: [fileURLToPath(new URL("./main.js", import.meta.url))] },
      said: { version, command: commandLine(process.argv.slice(2), process.env) },
      signal: interrupted.signal,
      settings: settingsOf(flags),
      amount: amountOf(flags),
      ...planOf(flags),
      ...terminal(),
    });
    if (process.stderr.isTTY) process.stderr.write(CLEAR_LINE);
    show(report, flags);
    if (report.result.refused > 0) process.exitCode = 1;
    if (earlier !== null) judge(earlier, report, flags);
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    process.stderr.write("hikyaku bench: interrupted\n");
    process.exitCode = INTERRUPTED;
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.removeListener(signal, stop);
  }
}

/** The command as it can be typed into a shell again, with what in its environment changes the server. */
export function commandLine(args: readonly string[], env: NodeJS.ProcessEnv): string {
  const addon = env["HIKYAKU_ADDON"] ?? "";
  const words = [...(addon === "" ? [] : [`HIKYAKU_ADDON=${quoted(addon)}`]), "hikyaku", ...args.map(quoted)];
  return words.join(" ");
}

function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** On a terminal one line that says where it stands; elsewhere a line for each thing that is measured. */
function terminal(): Pick<BenchOptions, "step" | "progress"> {
  if (!process.stderr.isTTY) {
    return { step: (title) => process.stderr.write(`hikyaku bench: ${title}\n`), progress: () => {} };
  }
  const show = (line: string) => void process.stderr.write(`${CLEAR_LINE}${line}`);
  return { step: show, progress: show };
}

/** Why a report cannot be compared with what is about to be measured. */
function differencesOf(earlier: EarlierReport, flags: BenchFlags): string[] {
  const swept: (keyof RunSettings)[] = [];
  if (flags.sweep !== undefined) swept.push("workers");
  if (flags.sweepConnections !== undefined) swept.push("connections");
  return differences(earlier, settingsOf(flags), amountOf(flags), swept);
}

function show(report: BenchReport, flags: BenchFlags): void {
  const json = `${JSON.stringify(reportJson(report), null, 2)}\n`;
  // First what cannot fail: the measurement may have taken an hour.
  process.stdout.write(flags.json === true ? json : reportText(report));
  if (typeof flags.json === "string") write(flags.json, json);
  if (flags.html !== undefined) write(flags.html, reportHtml(report, new Date()));
}

/** Asks for an output before anything is measured. @throws {Fault} when it cannot be written. */
function checkWritable(path: string): void {
  try {
    closeSync(openSync(path, "a"));
  } catch (error) {
    throw new Fault("file.unwritable", messageOf(error), { cause: error });
  }
}

function write(path: string, text: string): void {
  try {
    writeFileSync(path, text);
  } catch (error) {
    throw new Fault("file.unwritable", messageOf(error), { cause: error });
  }
}

function judge(earlier: EarlierReport, report: BenchReport, flags: BenchFlags): void {
  const tolerance = (flags.tolerance ?? DEFAULT_TOLERANCE_PERCENT) / 100;
  const comparison = compareReports(earlier, report, tolerance);
  const text = comparisonText(comparison, flags.compare ?? "", tolerance);
  (flags.json === true ? process.stderr : process.stdout).write(text);
  if (comparison.regression) process.exitCode = 1;
}
