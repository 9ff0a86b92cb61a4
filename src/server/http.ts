import { healthFamilies } from "../admin/health-metrics.js";
import { type HttpListener, startHttpListener } from "../admin/http-listener.js";
import { counterFamilies, histogramFamilies, type MetricFamily } from "../admin/metrics-text.js";
import { inspectReadyQueue } from "../admin/ready-queue-routes.js";
import { reloadFamilies } from "../admin/reload-routes.js";
import { schedulerFamilies, sourceFamilies } from "../admin/scheduler-metrics.js";
import type { CompiledConfig } from "../config/compiled.js";
import { httpConnections } from "../threads/descriptors.js";
import type { ServerParts } from "./parts.js";

/**
 * Starts the HTTP listeners, one after the other.
 * @param started gets each as soon as it listens, so that a start that fails can end them.
 * @param stop what an order to stop does.
 */
export async function startHttp(
  config: CompiledConfig,
  parts: ServerParts,
  started: HttpListener[],
  stop: () => void,
): Promise<void> {
  for (const listener of config.httpListeners) {
    const http = await startHttpListener(listener, httpConnections(), {
      notAccepting: () => parts.health.refusal,
      notAlive: () => null,
      metrics: () => metrics(parts),
      compactSpool: () => parts.compaction.run(),
      reload: () => parts.live.reload("asked for over HTTP"),
      inspect: (name, queues) => inspectReadyQueue(parts.scheduler.core, parts.sessionViews, name, queues),
      stop,
    });
    started.push(http);
  }
}

function metrics({ shared, scheduler, health, live }: ServerParts): MetricFamily[] {
  return [
    ...counterFamilies(shared),
    ...histogramFamilies(shared),
    ...schedulerFamilies(scheduler),
    ...sourceFamilies(scheduler),
    ...reloadFamilies(live.figures),
    ...healthFamilies(health.figures),
  ];
}
