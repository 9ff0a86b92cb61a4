import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { errnoOf, Fault, messageOf } from "../base/fault.js";
import type { SinkStats, SinkTotals } from "./stats.js";

/** A page of counters that is being served. */
export interface StatsServer {
  readonly host: string;
  readonly port: number;
  stop(): Promise<void>;
}

/**
 * Serves `GET /stats` and `GET /totals` as JSON; anything else is 404.
 * @throws {Fault} `listen.*` when the address cannot be listened on.
 */
export function serveStats(
  host: string,
  port: number,
  sink: { stats(): SinkStats; totals(): SinkTotals },
): Promise<StatsServer> {
  const pages = new Map([
    ["/stats", () => sink.stats()],
    ["/totals", () => sink.totals()],
  ]);
  const server = createServer((request, response) => {
    const page = request.method === "GET" || request.method === "HEAD" ? pages.get(request.url ?? "") : undefined;
    const headers = { "content-type": "application/json", "cache-control": "no-store" };
    response.writeHead(page === undefined ? 404 : 200, headers);
    response.end(page === undefined ? '{"error":"not found, try /stats"}\n' : `${JSON.stringify(page())}\n`);
  });
  return new Promise((resolve, reject) => {
    server.on("error", (error) => {
      const errno = errnoOf(error);
      const code = errno === "EADDRINUSE" ? "listen.in-use" : errno === "EACCES" ? "listen.denied" : "listen.failed";
      reject(new Fault(code, messageOf(error), { errno, cause: error }));
    });
    server.listen(port, host, () => {
      const address = server.address() as AddressInfo;
      resolve({
        host,
        port: address.port,
        stop: () =>
          new Promise((done) => {
            server.close(() => done());
            server.closeAllConnections();
          }),
      });
    });
  });
}
