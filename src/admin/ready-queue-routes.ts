import type { FastifyInstance } from "fastify";
import { z } from "zod";
import type { PathConfig } from "../config/compiled.js";
import { isPem } from "../config/tls-kinds.js";
import { MAX_SESSION_VIEWS, type SessionView } from "../protocol/session-view.js";
import type { Core } from "../scheduler/core.js";
import type { EgressPath } from "../scheduler/egress-path.js";
import { pathSnapshot, type SessionSnapshot, sessionSnapshots } from "../scheduler/snapshot.js";
import type { Access } from "./access.js";

/** Scheduled queues that an answer lists at most, and that are looked at for it: so much takes a few milliseconds. */
const MAX_QUEUES = 1000;
const MAX_QUEUES_SEEN = 20_000;

const request = z.object({
  queue_name: z.string().min(1).max(1000),
  include_scheduled_queues: z.enum(["true", "false"]).default("false"),
});

/** Who asks the workers what their sessions do. */
export interface AskWorkers {
  ask(sessions: readonly { readonly id: number; readonly worker: number }[]): Promise<{
    readonly views: ReadonlyMap<number, SessionView>;
    readonly silent: readonly number[];
  }>;
}

/** One ready queue as an operator sees it, its sessions as their workers do; null when there is none of that name. */
export async function inspectReadyQueue(
  core: Core,
  workers: AskWorkers,
  name: string,
  withScheduledQueues = false,
): Promise<object | null> {
  const path = core.paths.find(name);
  if (path === undefined) return null;
  // All of the scheduler's view is of one moment: before the workers are asked. Its own clock stands while it sleeps.
  const nowMs = core.clock.steadyMs();
  const queue = describeQueue(core, path, nowMs);
  const queues = withScheduledQueues ? feeding(core, path) : {};
  const sessions = sessionSnapshots(core, path, MAX_SESSION_VIEWS, nowMs);
  const { views, silent } = await workers.ask(sessions);
  return {
    ...queue,
    ...queues,
    workers_silent: silent,
    dispatchers: sessions.map((session) => describeSession(session, views.get(session.id))),
  };
}

function describeSession(session: SessionSnapshot, view: SessionView | undefined): object {
  return {
    session_id: session.id,
    worker: session.worker,
    state: session.state,
    age_ms: session.openForMs,
    messages: session.deliveries,
    // What follows is its worker's; without an answer the scheduler's view alone.
    from_worker: view !== undefined,
    phase: view?.phase ?? session.state,
    phase_ms: view?.phaseMs ?? null,
    last_progress_ms: view?.quietMs ?? session.quietForMs,
    log_session_id: view?.logId ?? null,
    host: view?.host ?? null,
    address: view?.address ?? null,
    port: view === undefined || view.port === 0 ? null : view.port,
    tls_protocol: view?.tls?.version ?? null,
    tls_cipher: view?.tls?.cipher ?? null,
    transactions: view?.transactions ?? null,
    messages_delivered: view?.delivered ?? null,
    messages_in_hand: view?.inHand ?? null,
    local_address: view?.localAddress ?? null,
    proxy: view?.proxy ?? null,
  };
}

/** The scheduled queues whose messages go this way, and whether these are all. */
function feeding(core: Core, path: EgressPath): object {
  const names: string[] = [];
  let seen = 0;
  for (const queue of core.queues.all()) {
    if (seen >= MAX_QUEUES_SEEN || names.length >= MAX_QUEUES) {
      return { scheduled_queue_names: names, scheduled_queues_complete: false };
    }
    seen++;
    if (queue.lanes.some((lane) => lane?.path === path)) names.push(queue.name);
  }
  return { scheduled_queue_names: names, scheduled_queues_complete: true };
}

function describeQueue(core: Core, path: EgressPath, nowMs: number): object {
  const now = pathSnapshot(path, nowMs);
  const { hosts, site, source, pool, config } = path.definition;
  const waits = (context: string, forMs: number | null) =>
    forMs === null ? null : { context, since: new Date(core.clock.wallMs() - forMs).toISOString() };
  return {
    queue_name: now.name,
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

/** `GET /api/admin/inspect-ready-q/v1?queue_name=…&include_scheduled_queues=…`: 200, or 404 when there is no such ready queue. */
export function addReadyQueueRoutes(
  app: FastifyInstance,
  access: Access,
  inspect: (name: string, withScheduledQueues: boolean) => Promise<object | null>,
): void {
  app.get("/api/admin/inspect-ready-q/v1", { preHandler: access.trustedOnly }, async (asked, reply) => {
    const query = request.safeParse(asked.query);
    if (!query.success) {
      const error = "queue_name: the name of a ready queue; include_scheduled_queues: true or false";
      return reply.code(400).send({ error });
    }
    const { queue_name: name, include_scheduled_queues: queues } = query.data;
    const found = await inspect(name, queues === "true");
    if (found === null) return reply.code(404).send({ error: `no ready queue named ${name}` });
    return reply.send(found);
  });
}
