import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { errnoOf, Fault, messageOf } from "../base/fault.js";
import type { SinkStats } from "./stats.js";

/** A page of counters that is being served. */
export interface StatsServer {
  readonly host: string;
  readonly port: number;
  stop(): Promise<void>;
}

/**
 * Serves `GET /stats` as JSON; anything else is 404.
 * @throws {Fault} `listen.*` when the address cannot be listened on.
 */
export function serveStats(host: string, port: number, stats: () => SinkStats): Promise<StatsServer> {
  const server = createServer((request, response) => {
    const known = request.url === "/stats" && (request.method === "GET" || request.method === "HEAD");
    response.writeHead(known ? 200 : 404, { "content-type": "application/json", "cache-control": "no-store" });
    response.end(known ? `${JSON.stringify(stats())}\n` : '{"error":"not found, try /stats"}\n');
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
