import type { MetricFamily } from "./metrics-text.js";

/** What is shown of the server's health; bytes and counts, Infinity for no limit. */
export interface HealthFigures {
  /** Each reason for taking no mail. */
  readonly reasons: readonly { readonly reason: string; readonly inForce: boolean }[];
  /** Memory: in use, and where it is too much or low. */
  readonly used: number;
  readonly soft: number;
  readonly low: number;
  /** The limit of open files, and what of it sockets may take. */
  readonly files: number;
  readonly sockets: number;
}

/** The server's health as metrics. */
export function healthFamilies({ reasons, used, soft, low, files, sockets }: HealthFigures): MetricFamily[] {
  return [
    {
      name: "shed_state",
      kind: "gauge",
      help: "1 while this is a reason for taking no mail",
      series: reasons.map(({ reason, inForce }) => ({ labels: { reason }, value: inForce ? 1 : 0 })),
    },
    gauge("memory_usage", "Bytes of memory in use that cannot be taken back, every 3 s", used),
    gauge("memory_limit", "Bytes of memory from which on no mail is taken", soft),
    gauge("memory_low", "Bytes of memory from which on caches are given up", low),
    gauge("open_files_limit", "Limit of open files", files),
    gauge("socket_limit", "Most sockets of clients and mail hosts below that limit", sockets),
  ];
}

function gauge(name: string, help: string, value: number): MetricFamily {
  // Without a limit there is nothing to show.
  return { name, kind: "gauge", help, series: Number.isFinite(value) ? [{ labels: {}, value }] : [] };
}
