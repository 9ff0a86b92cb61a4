import type { FastifyInstance } from "fastify";
import { z } from "zod";
import type { PathConfig } from "../config/compiled.js";
import { isPem } from "../config/tls-kinds.js";
import type { Core } from "../scheduler/core.js";
import { pathSnapshot, sessionSnapshots } from "../scheduler/snapshot.js";
import type { Access } from "./access.js";

/** Sessions that an answer lists at most. */
const MAX_SESSIONS = 1000;

const request = z.object({ queue_name: z.string().min(1).max(1000) });

/** One ready queue as an operator sees it; null when there is none of that name. */
export function inspectReadyQueue(core: Core, name: string): object | null {
  const path = core.paths.find(name);
  if (path === undefined) return null;
  const now = pathSnapshot(path, core.nowMs);
  const { hosts, site, source, pool, config } = path.definition;
  const waits = (context: string, forMs: number | null) =>
    forMs === null ? null : { context, since: new Date(core.clock.wallMs() - forMs).toISOString() };
  return {
    queue_name: name,
    site,
    egress_source: source.name,
    source_address: source.address,
    egress_pool: pool,
    mx: hosts.map((host) => host.name),
    path_config: withoutSecrets(config),
    state: {
      ready_count: now.ready,
      max_ready: now.maxReady,
      connection_count: now.sessions,
      connection_limit: now.connectionLimit,
      connection_limited: waits(now.limitedBy ?? "", now.limitedForMs),
      connection_rate_throttled: waits("max_connection_rate", now.throttledForMs),
      suspended: now.suspended === "none" ? null : now.suspended,
      connection_failures: now.failures,
      rests_for_ms: now.restMs,
      parked_queues: now.parked,
      retired: now.retired,
    },
    dispatchers: sessionSnapshots(core, path, MAX_SESSIONS).map((session) => ({
      session_id: session.id,
      worker: session.worker,
      phase: session.state,
      age_ms: session.openForMs,
      last_progress_ms: session.quietForMs,
      messages: session.deliveries,
    })),
  };
}

/** What stands where a secret is set. */
const HIDDEN = "(hidden)";

/** Whoever may look at a path need not know its password, nor a key that is written out instead of named by its file. */
function withoutSecrets(config: PathConfig): PathConfig {
  const { smtpAuthPassword, tlsPrivateKey } = config;
  return {
    ...config,
    smtpAuthPassword: smtpAuthPassword === null ? null : HIDDEN,
    tlsPrivateKey: tlsPrivateKey !== null && isPem(tlsPrivateKey) ? HIDDEN : tlsPrivateKey,
  };
}

/** `GET /api/admin/inspect-ready-q/v1?queue_name=…`: 200, or 404 when there is no such ready queue. */
export function addReadyQueueRoutes(
  app: FastifyInstance,
  access: Access,
  inspect: (name: string) => object | null,
): void {
  app.get("/api/admin/inspect-ready-q/v1", { preHandler: access.trustedOnly }, (asked, reply) => {
    const query = request.safeParse(asked.query);
    if (!query.success) return reply.code(400).send({ error: "queue_name: the name of a ready queue" });
    const found = inspect(query.data.queue_name);
    if (found === null) return reply.code(404).send({ error: `no ready queue named ${query.data.queue_name}` });
    return reply.send(found);
  });
}
