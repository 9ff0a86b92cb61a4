import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { errnoOf } from "../base/fault.js";
import { listenFault } from "../native/faults.js";
import type { ProxyStatus } from "./counters.js";

/** The proxy's page, being served. */
export interface StatusServer {
  readonly host: string;
  readonly port: number;
  stop(): Promise<void>;
}

interface Page {
  readonly type: string;
  readonly text: () => string;
}

/**
 * Serves `GET /proxy/status` (JSON), `/metrics` (Prometheus' text format) and `/healthz/live`.
 * @throws {Fault} `listen.*` when the address cannot be listened on.
 */
export function serveStatus(
  host: string,
  port: number,
  listener: string,
  proxy: { status(): ProxyStatus },
): Promise<StatusServer> {
  const json = "application/json";
  const pages = new Map<string, Page>([
    ["/proxy/status", { type: json, text: () => `${JSON.stringify({ status: "ok", listener, ...proxy.status() })}\n` }],
    ["/metrics", { type: "text/plain; version=0.0.4", text: () => metricsText(proxy.status(), listener) }],
    ["/healthz/live", { type: json, text: () => '{"status":"ok"}\n' }],
  ]);
  const server = createServer((request, response) => {
    const page = request.method === "GET" || request.method === "HEAD" ? pages.get(request.url ?? "") : undefined;
    response.writeHead(page === undefined ? 404 : 200, { "content-type": page?.type ?? json });
    response.end(page?.text() ?? '{"error":"not found, try /proxy/status"}\n');
  });
  return new Promise((resolve, reject) => {
    server.on("error", (error) => reject(listenFault(host, port, errnoOf(error) ?? "EUNKNOWN")));
    server.listen(port, host, () => {
      resolve({
        host,
        port: (server.address() as AddressInfo).port,
        stop: () =>
          new Promise((done) => {
            server.close(() => done());
            server.closeAllConnections();
          }),
      });
    });
  });
}

/** The counters as metrics, named as the field's proxies name them. */
export function metricsText(status: ProxyStatus, listener: string): string {
  const rows: readonly (readonly [name: string, kind: "counter" | "gauge", value: number, help: string])[] = [
    ["proxy_connections_accepted_total", "counter", status.accepted, "Clients that were let in."],
    ["proxy_connections_completed_total", "counter", status.completed, "Relays that ended in order."],
    ["proxy_active_connections", "gauge", status.active, "Clients that are connected."],
    ["proxy_outbound_connections_total", "counter", status.outbound, "Connections that were asked for."],
    ["proxy_tls_handshake_failures_total", "counter", status.tlsFailures, "Clients without a TLS handshake."],
    ["proxy_bytes_client_to_dest_total", "counter", status.bytesClientToDestination, "Bytes from clients."],
    ["proxy_bytes_dest_to_client_total", "counter", status.bytesDestinationToClient, "Bytes to clients."],
  ];
  const label = `listener="${listener}"`;
  const lines = rows.flatMap(([name, kind, value, help]) => [
    `# HELP ${name} ${help}`,
    `# TYPE ${name} ${kind}`,
    `${name}{${label}} ${value}`,
  ]);
  const failed = "proxy_connections_failed_total";
  lines.push(`# HELP ${failed} Clients that did not get what they asked for.`, `# TYPE ${failed} counter`);
  for (const [reason, count] of Object.entries(status.failed))
    lines.push(`${failed}{${label},reason="${reason}"} ${count}`);
  return `${lines.join("\n")}\n`;
}
