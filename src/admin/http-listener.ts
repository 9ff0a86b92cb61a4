/**
 * The HTTP listener: liveness, metrics, and the order to stop.
 *
 * Runs on   the main thread
 * Owns      the listening socket and its connections
 * When full connections over the bound are closed at once; bodies of 1 MiB, headers of 16 KiB, requests of 30 s
 * On failure a port in use is a fault at start; a failing request gets 500 and nothing else suffers
 */
import { once } from "node:events";
import { createServer } from "node:net";
import Fastify, { type FastifyInstance } from "fastify";
import { errnoOf, Fault, messageOf } from "../base/fault.js";
import type { HttpListenerConfig } from "../config/compiled.js";
import type { Reloaded } from "../config/reloaded.js";
import { Access } from "./access.js";
import { type MetricFamily, metricsJson, prometheusText } from "./metrics-text.js";
import { addReadyQueueRoutes } from "./ready-queue-routes.js";
import { addReloadRoutes } from "./reload-routes.js";
import { addSpoolRoutes, type CompactedSpool } from "./spool-routes.js";

/** What the listener asks the server. */
export interface AdminSource {
  /** Null when the server accepts mail, otherwise why it does not. */
  notAccepting(): string | null;
  /** Null while the process does its work at all. */
  notAlive(): string | null;
  metrics(): MetricFamily[];
  /** Begins an orderly stop. */
  stop(): void;
  compactSpool(): Promise<CompactedSpool>;
  /** Reads the configuration again. */
  reload(): Promise<Reloaded>;
  /** One ready queue with what the workers know of its sessions; null when there is none of that name. */
  inspect(queue: string, withScheduledQueues: boolean): Promise<object | null>;
}

/** A listener that runs. */
export interface HttpListener {
  readonly host: string;
  readonly port: number;
  close(): Promise<void>;
}

/**
 * Starts a listener.
 * @param maxConnections open at a time; one more is closed at once.
 * @throws {Fault} `listen.in-use`, `listen.denied`, `listen.failed`.
 */
export async function startHttpListener(
  config: HttpListenerConfig,
  maxConnections: number,
  source: AdminSource,
): Promise<HttpListener> {
  const app = Fastify({ logger: false, bodyLimit: 1 << 20, requestTimeout: 30_000, forceCloseConnections: true });
  app.server.maxConnections = maxConnections;
  addRoutes(app, new Access(config.trustedHosts), source);
  try {
    await app.listen({ host: config.listen.host, port: config.listen.port });
  } catch (error) {
    throw listenFault(error, config);
  }
  const address = app.server.address();
  const bound = typeof address === "string" || address === null ? null : address;
  return {
    host: bound?.address ?? config.listen.host,
    port: bound?.port ?? config.listen.port,
    close: () => app.close(),
  };
}

/**
 * Looks whether a listener could be started, and holds nothing: whoever comes in between finds the port closed, as before.
 * @throws {Fault} as {@link startHttpListener}.
 */
export async function tryHttpPort(config: HttpListenerConfig): Promise<void> {
  const probe = createServer();
  try {
    probe.listen({ host: config.listen.host, port: config.listen.port });
    await once(probe, "listening");
  } catch (error) {
    throw listenFault(error, config);
  }
  await new Promise<void>((resolve) => probe.close(() => resolve()));
}

/** Closes listeners, one after the other. */
export async function closeListeners(listeners: readonly HttpListener[]): Promise<void> {
  for (const listener of listeners) await listener.close();
}

function addRoutes(app: FastifyInstance, access: Access, source: AdminSource): void {
  const trusted = { preHandler: access.trustedOnly };
  app.get("/api/check-liveness/v1", (_request, reply) => answer(reply, source.notAccepting()));
  app.get("/healthz/live", (_request, reply) => answer(reply, source.notAlive()));
  app.get("/healthz/ready", (_request, reply) => answer(reply, source.notAccepting()));
  app.get("/metrics", trusted, (_request, reply) =>
    reply.type("text/plain; version=0.0.4; charset=utf-8").send(prometheusText(source.metrics())),
  );
  app.get("/metrics.json", trusted, (_request, reply) => reply.send(metricsJson(source.metrics())));
  addSpoolRoutes(app, access, () => source.compactSpool());
  addReloadRoutes(app, access, () => source.reload());
  addReadyQueueRoutes(app, access, (name, queues) => source.inspect(name, queues));
  app.post("/api/admin/stop/v1", trusted, (_request, reply) => {
    source.stop();
    return reply.code(202).send({ stopping: true });
  });
}

function answer(reply: { code(status: number): { send(body: unknown): unknown } }, problem: string | null): unknown {
  return problem === null ? reply.code(200).send({ status: "ok" }) : reply.code(503).send({ status: problem });
}

function listenFault(error: unknown, config: HttpListenerConfig): Fault {
  const errno = errnoOf(error);
  const where = `${config.listen.host}:${config.listen.port}`;
  if (errno === "EADDRINUSE") {
    return new Fault("listen.in-use", `http_listener ${where}: the port is in use by another process`, { errno });
  }
  if (errno === "EACCES") return new Fault("listen.denied", `http_listener ${where}: not permitted`, { errno });
  return new Fault("listen.failed", `http_listener ${where}: ${messageOf(error)}`, { errno });
}
