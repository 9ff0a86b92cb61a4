import { State } from "../scheduler/message-table.js";
import type { Scheduler } from "../scheduler/scheduler.js";
import { type SourceSnapshot, sourceSnapshots } from "../scheduler/snapshot.js";
import type { MetricFamily } from "./metrics-text.js";

/** What the scheduler holds, as metrics. */
export function schedulerFamilies(scheduler: Scheduler): MetricFamily[] {
  const { table, counters, queues, paths } = scheduler.core;
  const scheduled = table.counts[State.waiting] + table.counts[State.due];
  const gauge = (name: string, help: string, value: number, labels = {}): MetricFamily => ({
    name,
    kind: "gauge",
    help,
    series: [{ labels, value }],
  });
  const client = { service: "smtp_client" };
  return [
    gauge("scheduled_count_total", "Messages in scheduled queues", scheduled),
    gauge("message_count", "Messages that this node holds", table.live),
    gauge("ready_count", "Messages in ready queues", table.counts[State.ready], client),
    gauge("in_flight_count", "Messages in the hands of sessions", table.counts[State.inFlight], client),
    gauge("retiring_count", "Settled messages whose spool entries are being removed", table.counts[State.retiring]),
    gauge(
      "unlisted_count",
      "Messages in the spool beyond max_messages, which wait for the next start",
      counters.unlisted,
    ),
    gauge("scheduled_queue_count", "Scheduled queues", queues.size),
    gauge("ready_queue_count", "Ready queues", paths.size),
    {
      name: "sessions_held_back_total",
      kind: "counter",
      help: "Times that a path could open no session because of the limit of open files",
      series: [{ labels: { ...client, reason: "descriptors" }, value: counters.heldBack }],
    },
    {
      name: "connections_held_back_total",
      kind: "counter",
      help: "Times that a path could open no session because of a rate or a shared limit",
      series: [
        { labels: { ...client, reason: "rate" }, value: counters.connectionsThrottled },
        { labels: { ...client, reason: "limit" }, value: counters.connectionsLimited },
      ],
    },
    {
      name: "sources_exhausted_total",
      kind: "counter",
      help: "Times that a scheduled queue had to wait because no source of its pool might be chosen",
      series: [{ labels: client, value: counters.throttled }],
    },
    {
      name: "ready_full",
      kind: "counter",
      help: "Times that a scheduled queue was parked because its ready queues were full",
      series: [{ labels: client, value: counters.parked }],
    },
  ];
}

/** Sources that are, or have been, in trouble or suspended: as metrics. */
export function sourceFamilies(scheduler: Scheduler): MetricFamily[] {
  const sources = sourceSnapshots(scheduler.core).filter(({ failures, suspensions }) => failures + suspensions > 0);
  const family = (
    name: string,
    kind: "gauge" | "counter",
    help: string,
    value: (source: SourceSnapshot) => number,
  ): MetricFamily => ({
    name,
    kind,
    help,
    series: sources.map((source) => ({ labels: { source: source.name }, value: value(source) })),
  });
  return [
    family("source_suspended", "gauge", "1 while a source is out of use for its health", (one) =>
      one.suspended === "none" ? 0 : 1,
    ),
    family("source_suspensions_total", "counter", "Times that a source was suspended", (one) => one.suspensions),
    family(
      "source_failures_total",
      "counter",
      "Connections that failed by the source's own fault",
      (one) => one.failures,
    ),
  ];
}
