import { z } from "zod";

const wait = z.object({ context: z.string(), since: z.string() }).nullable();
const dispatcher = z.object({
  session_id: z.number(),
  worker: z.number(),
  from_worker: z.boolean(),
  phase: z.string(),
  phase_ms: z.number().nullable(),
  last_progress_ms: z.number(),
  host: z.string().nullable(),
  address: z.string().nullable(),
  port: z.number().nullable(),
  tls_protocol: z.string().nullable(),
  messages_delivered: z.number().nullable(),
  local_address: z.string().nullable(),
  proxy: z.string().nullable(),
});

/** What a server answers of a ready queue, as far as it is printed. */
export const readyQueueAnswer = z.object({
  queue_name: z.string(),
  egress_source: z.string(),
  egress_pool: z.string(),
  mx: z.array(z.string()),
  path_config: z.record(z.string(), z.unknown()),
  state: z.object({
    ready_count: z.number(),
    max_ready: z.number(),
    connection_count: z.number(),
    connection_limit: z.number(),
    connection_limited: wait,
    connection_rate_throttled: wait,
    suspended: z.string().nullable(),
    connection_failures: z.number(),
    rests_for_ms: z.number(),
    parked_queues: z.number(),
    retired: z.boolean(),
  }),
  workers_silent: z.array(z.number()),
  dispatchers: z.array(dispatcher),
  scheduled_queue_names: z.array(z.string()).optional(),
  scheduled_queues_complete: z.boolean().optional(),
});
type Answer = z.infer<typeof readyQueueAnswer>;
type Dispatcher = z.infer<typeof dispatcher>;

/** What is shown besides the summary. */
export interface ReadyQueueParts {
  readonly connections?: boolean;
  readonly config?: boolean;
  readonly schedQ?: boolean;
}

/** A ready queue for people. What comes from elsewhere (names of hosts, say) has no control characters left. */
export function readyQueueText(answer: Answer, parts: ReadyQueueParts): string {
  const lines = summary(answer);
  if (parts.connections === true) lines.push("", ...connections(answer));
  if (parts.config === true) {
    const options = Object.entries(answer.path_config).map(([name, value]) => [name, JSON.stringify(value)]);
    lines.push("", ...columns(options));
  }
  if (parts.schedQ === true) {
    lines.push("", "scheduled queues that feed it:", ...(answer.scheduled_queue_names ?? []));
    if (answer.scheduled_queues_complete === false) lines.push("… and perhaps more: not all queues were looked at");
  }
  return `${lines.map(printable).join("\n")}\n`;
}

function summary(answer: Answer): string[] {
  const { state } = answer;
  const rows = [
    ["ready queue", answer.queue_name],
    ["source", `${answer.egress_source} of pool ${answer.egress_pool}`],
    ["hosts", answer.mx.join(", ")],
    ["messages ready", `${state.ready_count} of ${state.max_ready}`],
    ["connections", `${state.connection_count} of ${state.connection_limit}`],
  ];
  const { connection_limited: limited, connection_rate_throttled: throttled } = state;
  if (limited !== null) rows.push(["waits for", `a lease of ${limited.context}, since ${limited.since}`]);
  if (throttled !== null) rows.push(["waits for", `${throttled.context}, since ${throttled.since}`]);
  if (state.suspended !== null) rows.push(["suspended", state.suspended]);
  if (state.connection_failures > 0) rows.push(["failures in a row", String(state.connection_failures)]);
  if (state.rests_for_ms > 0) rows.push(["rests for", seconds(state.rests_for_ms)]);
  if (state.parked_queues > 0) rows.push(["queues that wait for room", String(state.parked_queues)]);
  if (state.retired) rows.push(["retired", "yes: its source is not in the configuration any more"]);
  return columns(rows);
}

function connections(answer: Answer): string[] {
  const { dispatchers, workers_silent: silent, state } = answer;
  const head = ["session", "worker", "phase", "since", "moved", "sent", "peer", "TLS", "from"];
  const lines = columns([head, ...dispatchers.map(row)]);
  const left = state.connection_count - dispatchers.length;
  if (left > 0) lines.push(`… and ${left} more`);
  if (dispatchers.some((session) => !session.from_worker)) lines.push("* as the scheduler sees it");
  if (silent.length > 0) lines.push(`did not answer: worker ${silent.join(", ")}`);
  return lines;
}

function row(session: Dispatcher): string[] {
  const { host, address, port } = session;
  const where =
    address === null || port === null ? address : `${address.includes(":") ? `[${address}]` : address}:${port}`;
  const peer = host === where || host === null || host === address ? where : `${host} (${where})`;
  const origin = session.local_address ?? "-";
  return [
    String(session.session_id),
    String(session.worker),
    session.from_worker ? session.phase : `${session.phase}*`,
    session.phase_ms === null ? "-" : seconds(session.phase_ms),
    seconds(session.last_progress_ms),
    session.messages_delivered === null ? "-" : String(session.messages_delivered),
    peer ?? "-",
    session.from_worker ? (session.tls_protocol ?? "no") : "-",
    session.proxy === null ? origin : `${origin} via ${session.proxy}`,
  ];
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

/** Rows with their cells under each other. */
function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, i) => Math.max(...rows.map((cells) => cells[i]?.length ?? 0)));
  return rows.map((cells) =>
    cells
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

function printable(line: string): string {
  return line.replace(/\p{Cc}/gu, "?");
}
