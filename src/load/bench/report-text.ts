import { counted, loadParts } from "./described.js";
import { type Baseline, type BenchReport, median, type RunFigures, type Sweep } from "./figures.js";

/** Threads that used less than this are summed up in one line. */
const SMALL_SHARE_US = 0.5;
const NAMES = ["mean", "p50", "p90", "p99", "p99.9", "max"];

/** The report as people read it. */
export function reportText(report: BenchReport): string {
  const { result, load, machine } = report;
  const lines = [loadLine(report)];
  if (load !== null) {
    lines.push(
      `maximum      ${load.maximum.endToEnd.messagesPerSecond.toFixed(0)} msgs/s end to end; what follows is at ` +
        `${Number((load.share * 100).toFixed(1))} % of it, ${result.ratePerSecond} msgs/s`,
    );
  }
  lines.push(...runLines(result));
  if (report.rounds.length > 1) lines.push(`rounds       ${report.rounds.map(whole).join(", ")} msgs/s end to end`);
  if (report.baseline !== null) lines.push(...baselineLines(report.baseline));
  for (const sweep of report.sweeps) lines.push(...sweepLines(sweep));
  if (machine.tmpfs) lines.push("note         the spool was in memory (tmpfs): flushing cost nothing, see --dir");
  if (report.directory !== null) lines.push(`kept         ${report.directory}`);
  return `${lines.join("\n")}\n`;
}

function loadLine(report: BenchReport): string {
  const { amount, machine } = report;
  const around = [`${amount.warmup} before counting`, counted(machine.cpus, "core"), `Node ${machine.node}`];
  return [...loadParts(report), ...around].join(", ");
}

function runLines(run: RunFigures): string[] {
  const { injection, endToEnd, server, spool, transit } = run;
  const fates = [`${run.delivered} delivered`, `${run.bounced} bounced`, `${run.waiting} waiting`];
  const lines = [
    `end to end   ${whole(endToEnd.messagesPerSecond)} msgs/s in ${endToEnd.seconds.toFixed(2)} s`,
    `taken        ${whole(injection.messagesPerSecond)} msgs/s (${injection.mebibytesPerSecond.toFixed(1)} MiB/s) in ${injection.seconds.toFixed(2)} s`,
    `of ${String(run.accepted).padEnd(9)} ${fates.join(", ")}${run.refused === 0 ? "" : `; ${run.refused} more refused`}`,
    `latency ms   from 250 to the remote 250: ${latencies(transit.latencyMs)}`,
    ...(transit.early * 20 > transit.count ? [`             ${earlyText(run)}`] : []),
    `answer ms    from the first command to 250: ${latencies(injection.latencyMs)}`,
  ];
  const memory = `${whole(server.maxRssBytes / 2 ** 20)} MiB at most`;
  if (server.cpuUsPerMessage !== null) {
    lines.push(`server CPU   ${server.cpuUsPerMessage.toFixed(1)} us per message, ${memory}`, ...threadLines(run));
  }
  if (spool !== null)
    lines.push(`spool        ${spool.operationsPerBatch} operations per commit, ${spool.batches} commits`);
  const sink = run.sinkCpuUsPerMessage === null ? "" : `, sink ${run.sinkCpuUsPerMessage.toFixed(1)} us`;
  lines.push(`others' CPU  generator ${run.generatorCpuUsPerMessage.toFixed(1)} us${sink} per message`);
  return lines;
}

function earlyText({ transit }: RunFigures): string {
  const percent = ((transit.early / transit.count) * 100).toFixed(0);
  return `${percent} % were there before the generator had read the server's 250: they count as 0`;
}

function threadLines(run: RunFigures): string[] {
  const { threads } = run.server;
  const busy = threads.filter((thread) => thread.name === "scheduler" || thread.cpuUsPerMessage >= SMALL_SHARE_US);
  const rest = threads.filter((thread) => !busy.includes(thread));
  const restUs = rest.reduce((sum, thread) => sum + thread.cpuUsPerMessage, 0);
  return [
    ...busy.map((thread) => `  ${`${thread.name} ${thread.id}`.padEnd(24)} ${thread.cpuUsPerMessage.toFixed(1)} us`),
    `  ${`${rest.length} other threads`.padEnd(24)} ${restUs.toFixed(1)} us`,
  ];
}

function baselineLines(baseline: Baseline): string[] {
  const { rounds, ratios, kind } = baseline;
  const alone = median(rounds.map((round) => round.messagesPerSecond));
  const names = kind === "own" ? "generator → sink" : "smtp-source → smtp-sink";
  const cpu = ratios.cpu === null ? "" : `; CPU per message ${ratios.cpu.toFixed(2)} of theirs`;
  return [
    `baseline     ${names} alone ${whole(alone)} msgs/s; with the server ${ratios.throughput.toFixed(3)} of it${cpu}`,
  ];
}

function sweepLines(sweep: Sweep): string[] {
  const percent = (sweep.noise * 100).toFixed(0);
  return [
    `sweep        ${sweep.of}, msgs/s end to end by round (noise ${percent} %):`,
    ...sweep.candidates.map(({ value, messagesPerSecond }) => {
      const mark = value === sweep.best ? "  ◀ best" : "";
      return `  ${String(value).padStart(6)}  median ${whole(median(messagesPerSecond)).padStart(7)}  (${messagesPerSecond.map(whole).join(", ")})${mark}`;
    }),
    ...(sweep.doubtful
      ? ["warning      the rounds differ too much to choose by: take a quieter machine, --rounds, --count"]
      : []),
    ...(sweep.toml === null
      ? [`best         let senders keep ${sweep.best} connections open`]
      : [
          "best         in hikyaku.toml:",
          ...sweep.toml
            .trimEnd()
            .split("\n")
            .map((line) => `  ${line}`),
        ]),
  ];
}

function latencies(values: Readonly<Record<string, number>>): string {
  return NAMES.map((name) => `${name} ${values[name] ?? 0}`).join(", ");
}

function whole(value: number): string {
  return value.toFixed(0);
}
