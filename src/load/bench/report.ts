/** What a benchmark found; as `bench --json` prints it, with keys in snake_case. */
export interface BenchReport {
  readonly settings: {
    /** As given to the generator. */
    readonly amount: string;
    readonly size: string;
    readonly concurrency: number;
    readonly pipelining: boolean;
    readonly durability: string;
    /** Null when neither the caller nor the server said. */
    readonly workers: number | null;
    /** Node's version. */
    readonly node: string;
    /** The spool was in memory, so that flushing cost nothing. */
    readonly tmpfs: boolean;
  };
  readonly accepted: number;
  readonly failed: number;
  /** From the generator's start to the server's last answer. */
  readonly injection: {
    readonly seconds: number;
    readonly messagesPerSecond: number;
    readonly mebibytesPerSecond: number;
    /** mean, min, max and percentiles by name. */
    readonly latencyMs: Readonly<Record<string, number>>;
  };
  /** From the generator's start to the sink's last message. */
  readonly endToEnd: { readonly seconds: number; readonly messagesPerSecond: number };
  readonly server: {
    readonly cpuUsPerMessage: number;
    /** The first thread is the scheduler; most CPU first. */
    readonly threads: readonly { readonly id: number; readonly name: string; readonly cpuUsPerMessage: number }[];
    readonly maxRssBytes: number;
  };
  readonly sinkCpuUsPerMessage: number;
  readonly generatorCpuUsPerMessage: number;
  /** Where spool and logs were left; null when they were removed. */
  readonly directory: string | null;
}

/** Threads that used less than this are summed up in one line. */
const SMALL_SHARE_US = 0.5;

/** The report as people read it. */
export function reportText(report: BenchReport): string {
  const { settings, injection, endToEnd, server } = report;
  const latency = ["mean", "p50", "p90", "p99", "p99.9", "max"].map((key) => `${key} ${injection.latencyMs[key] ?? 0}`);
  const busy = server.threads.filter(
    (thread) => thread.name === "scheduler" || thread.cpuUsPerMessage >= SMALL_SHARE_US,
  );
  const rest = server.threads.filter((thread) => !busy.includes(thread));
  const restUs = rest.reduce((sum, thread) => sum + thread.cpuUsPerMessage, 0);
  const lines = [
    `${report.accepted} messages of ${settings.size}, ${settings.concurrency} connections, ${settings.durability}` +
      `${settings.workers === null ? "" : `, ${settings.workers} workers`}, Node ${settings.node}`,
    `taken        ${injection.messagesPerSecond.toFixed(0)} msgs/s (${injection.mebibytesPerSecond.toFixed(1)} MiB/s) in ${injection.seconds.toFixed(2)} s`,
    `end to end   ${endToEnd.messagesPerSecond} msgs/s in ${endToEnd.seconds.toFixed(2)} s`,
    `latency ms   ${latency.join(", ")}`,
    `server CPU   ${server.cpuUsPerMessage.toFixed(1)} us per message, ${(server.maxRssBytes / 2 ** 20).toFixed(0)} MiB at most`,
    ...busy.map((thread) => `  ${`${thread.name} ${thread.id}`.padEnd(24)} ${thread.cpuUsPerMessage.toFixed(1)} us`),
    `  ${`${rest.length} other threads`.padEnd(24)} ${restUs.toFixed(1)} us`,
    `others' CPU  generator ${report.generatorCpuUsPerMessage.toFixed(1)} us, sink ${report.sinkCpuUsPerMessage.toFixed(1)} us per message`,
  ];
  if (report.failed > 0) lines.push(`refused      ${report.failed}`);
  if (settings.tmpfs) lines.push("note         the spool was in memory (tmpfs): flushing cost nothing, see --dir");
  if (report.directory !== null) lines.push(`kept         ${report.directory}`);
  return `${lines.join("\n")}\n`;
}

/** The report with keys in snake_case, for `--json`. */
export function reportJson(report: BenchReport): unknown {
  return snake(report);
}

function snake(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(snake);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [
      key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
      snake(one),
    ]),
  );
}
