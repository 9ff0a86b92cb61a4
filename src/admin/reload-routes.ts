import type { FastifyInstance } from "fastify";
import type { Reloaded, ReloadFigures } from "../config/reloaded.js";
import type { Access } from "./access.js";
import type { MetricFamily } from "./metrics-text.js";

/**
 * `POST /api/admin/bump-config-epoch`: reads the configuration again; 200 when it is in force, 422 with the problems when
 * it is wrong and the old one stays.
 */
export function addReloadRoutes(app: FastifyInstance, access: Access, reload: () => Promise<Reloaded>): void {
  const answer = async (_request: unknown, reply: { code(status: number): { send(body: unknown): unknown } }) => {
    const reloaded = await reload();
    if (reloaded.kind === "refused") {
      return reply.code(422).send({ error: reloaded.reason, problems: reloaded.problems });
    }
    const { epoch, warnings, needsRestart } = reloaded;
    return reply.code(200).send({ epoch, warnings, needs_restart: needsRestart });
  };
  // The reference's clients know the first form; the second is that of every other endpoint.
  app.post("/api/admin/bump-config-epoch", { preHandler: access.trustedOnly }, answer);
  app.post("/api/admin/bump-config-epoch/v1", { preHandler: access.trustedOnly }, answer);
}

/** Reloads, as metrics. */
export function reloadFamilies(figures: ReloadFigures): MetricFamily[] {
  const gauge = (name: string, help: string, value: number): MetricFamily => ({
    name,
    kind: "gauge",
    help,
    series: [{ labels: {}, value }],
  });
  return [
    gauge("config_epoch", "Configurations that have come into force since the start", figures.epoch),
    gauge("config_stale", "1 while the files hold a wrong configuration and an older one is in force", +figures.stale),
    gauge("config_needs_restart", "Changed settings that take effect only at a start", figures.needsRestart),
    {
      name: "config_reloads_total",
      kind: "counter",
      help: "Readings of the configuration since the start, by result",
      series: [
        { labels: { result: "applied" }, value: figures.applied },
        { labels: { result: "refused" }, value: figures.refused },
      ],
    },
  ];
}
