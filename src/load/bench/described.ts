import type { BenchReport } from "./figures.js";

/** What a durability promises, in a few words. */
const PROMISES = {
  flushed: "flushed: 250 means on disk",
  committed: "committed: 250 means in the page cache",
  deferred: "deferred: 250 means in memory until the first attempt fails",
} as const;

/** `1 worker`, `2 workers`. */
export function counted(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}

/** The load in short: what is the same for all that was measured, part by part. */
export function loadParts({ settings, result }: BenchReport): string[] {
  return [
    `${counted(result.accepted, "message")} of ${settings.size}`,
    counted(settings.connections, "connection"),
    settings.durability,
    ...(result.workers === null ? [] : [counted(result.workers, "worker")]),
    ...(settings.pipelining ? [] : ["no pipelining"]),
    ...(settings.tls ? ["sent over TLS"] : []),
    ...(settings.messagesPerConnection === null ? [] : [`${settings.messagesPerConnection} a connection`]),
    ...(settings.domains === 1 ? [] : [`${settings.domains} domains (Zipf ${settings.zipf})`]),
    ...(settings.defer === 0 ? [] : [`${settings.defer} % deferred`]),
    ...(settings.bounce === 0 ? [] : [`${settings.bounce} % bounced`]),
  ];
}

/** What was measured, as rows of a name and a sentence: enough to judge the figures and to measure them again. */
export function whatWasMeasured(report: BenchReport): readonly (readonly [name: string, text: string])[] {
  const { machine, program } = report;
  const gib = (machine.memoryBytes / 2 ** 30).toFixed(0);
  const spool = machine.tmpfs ? "; the spool was in memory (tmpfs), so that flushing cost nothing" : "";
  return [
    ["Load", loadSentence(report)],
    ["Server", serverSentence(report)],
    ["Method", methodSentence(report)],
    ["Machine", `${machine.cpus} × ${machine.cpuModel}, ${gib} GiB, ${machine.system}${spool}`],
    ["Versions", `Hikyaku ${program.version}, Node ${machine.node}`],
    ["Command", program.command],
  ];
}

function loadSentence({ settings, amount, result, load }: BenchReport): string {
  const rate = result.ratePerSecond;
  const pace = rate === null ? "as fast as the server took them" : `at ${rate} a second`;
  const share = load === null ? "" : `, ${Number((load.share * 100).toFixed(1))} % of the maximum`;
  const each =
    settings.messagesPerConnection === null ? "kept open" : `of ${settings.messagesPerConnection} messages each`;
  const refusals = [
    ...(settings.defer === 0 ? [] : [`${settings.defer} % of the attempts refused for now`]),
    ...(settings.bounce === 0 ? [] : [`${settings.bounce} % refused for good`]),
  ];
  return [
    `${counted(result.accepted, "message")} of ${settings.size}, ${pace}${share}`,
    `after a warm-up of ${amount.warmup}`,
    `${counted(settings.connections, "connection")}, ${each}, ${settings.pipelining ? "with" : "without"} pipelining`,
    ...(settings.tls ? ["sent to the sink over TLS"] : []),
    settings.domains === 1 ? "to one domain" : `to ${settings.domains} domains (Zipf ${settings.zipf})`,
    refusals.length === 0 ? "nothing refused by the sink" : `${refusals.join(", ")} by the sink`,
  ].join("; ");
}

function serverSentence({ settings, result }: BenchReport): string {
  const { retryMs } = settings;
  return [
    PROMISES[settings.durability],
    ...(result.workers === null ? [] : [counted(result.workers, "worker")]),
    "plain SMTP to loopback, no TLS, no DKIM",
    ...(retryMs === null ? [] : [`retries after ${retryMs / 1000} s`]),
  ].join("; ");
}

function methodSentence({ rounds, sweeps, baseline }: BenchReport): string {
  return [
    rounds.length === 1 ? "one round" : `${rounds.length} rounds, shown is the one with the median rate`,
    ...sweeps.map((sweep) => `${counted(sweep.candidates.length, "number")} of ${sweep.of} tried, best ${sweep.best}`),
    ...(baseline === null
      ? []
      : [`compared with ${baseline.kind === "own" ? "our own source and sink" : "smtp-source and smtp-sink"} alone`]),
  ].join("; ");
}
