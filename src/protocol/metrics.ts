/**
 * The counters that threads keep in shared memory, and how they are shown. A thread adds to its own block, the admin
 * side sums them when asked. Names and labels follow the reference's metrics, so that existing dashboards fit.
 */
export enum Counter {
  connectionsOpen,
  connectionsTotal,
  connectionsDenied,
  messagesReceived,
  rejections,
  bytesReceived,
  clientConnectionsOpen,
  clientConnectionsTotal,
  delivered,
  transientFailures,
  failures,
  bytesSent,
  logRecords,
  logWriteFailures,
  rejectionsUnlogged,
  spoolBatches,
  spoolBatchedOperations,
  spoolFailures,
  spoolQuarantined,
  shardsUnhealthy,
  workersLost,
  promised,
  forcedFlushes,
  deferredMessages,
  deferredBytes,
  deferredStored,
  messagesLost,
  logsUnwritable,
  workersStuck,
  messageStrikes,
  spoolFileBytes,
  spoolUsedBytes,
  spoolCompactions,
  sockets,
  schedulerLagging,
  shedStopping,
  shedMemory,
  shedDisk,
  shedSpool,
  shedLog,
  shedLag,
  shedQueue,
  shedConnections,
  shedDescriptors,
  bindFailures,
  proxyConnectionFailures,
  dnsQueries,
  dnsCacheHits,
  dnsInProgress,
  dnsTimeouts,
  dnsServfails,
  dnsRefused,
  dnsMalformed,
  dnsLoops,
  dnsBusy,
  dnsSockets,
  /** Handshakes of TLS with mail hosts. */
  tlsHandshakes,
  /** Of those, the ones that went on from an earlier session. */
  tlsResumed,
  /** Handshakes that failed, or were not what was demanded. */
  tlsFailures,
  /** Connections ready for mail over TLS, to a server that proved what its certificate or DANE can prove. */
  tlsProved,
  /** The same, to a server that proved nothing. */
  tlsUnproved,
  /** Connections ready for mail in clear. */
  tlsClear,
  /** Connections that a server let in with AUTH. */
  authAccepted,
  /** Connections given up at AUTH, whatever the reason. */
  authFailures,
}

/** One counter's face outside. */
export interface MetricRow {
  readonly counter: Counter;
  readonly name: string;
  readonly kind: "counter" | "gauge";
  /** The value of the `service` label, null for none. */
  readonly service: string | null;
  /** The value of the `reason` label, for rows that have one. */
  readonly reason?: string;
  readonly help: string;
}

/** Every counter once, in the order of {@link Counter}. */
export const METRICS: readonly MetricRow[] = [
  row(Counter.connectionsOpen, "connection_count", "gauge", "esmtp_listener", "Connections that are open now"),
  row(Counter.connectionsTotal, "total_connection_count", "counter", "esmtp_listener", "Connections since the start"),
  row(
    Counter.connectionsDenied,
    "total_connections_denied",
    "counter",
    "esmtp_listener",
    "Connections refused with 421 before the greeting",
  ),
  row(Counter.messagesReceived, "total_messages_received", "counter", "esmtp_listener", "Recipients accepted"),
  row(Counter.rejections, "smtp_server_rejections", "counter", "esmtp_listener", "Replies 4xx and 5xx to clients"),
  row(Counter.bytesReceived, "smtp_server_bytes_received", "counter", null, "Bytes of accepted messages"),
  row(Counter.clientConnectionsOpen, "connection_count", "gauge", "smtp_client", "Connections that are open now"),
  row(
    Counter.clientConnectionsTotal,
    "total_connection_count",
    "counter",
    "smtp_client",
    "Connections since the start",
  ),
  row(Counter.delivered, "total_messages_delivered", "counter", "smtp_client", "Recipients delivered"),
  row(Counter.transientFailures, "total_messages_transfail", "counter", "smtp_client", "Attempts that failed for now"),
  row(Counter.failures, "total_messages_fail", "counter", "smtp_client", "Recipients that failed for good"),
  row(Counter.bytesSent, "smtp_client_bytes_sent", "counter", null, "Bytes of delivered messages"),
  row(Counter.logRecords, "log_records_total", "counter", null, "Event records written"),
  row(Counter.logWriteFailures, "log_write_failures_total", "counter", null, "Failed writes of the event log"),
  row(
    Counter.rejectionsUnlogged,
    "log_rejections_dropped_total",
    "counter",
    null,
    "Rejection records left out while the event log could not be written",
  ),
  row(Counter.spoolBatches, "spool_batches_total", "counter", null, "Transactions committed to the spool"),
  row(
    Counter.spoolBatchedOperations,
    "spool_operations_total",
    "counter",
    null,
    "Stores, removals and updates committed to the spool",
  ),
  row(Counter.spoolFailures, "spool_failures_total", "counter", null, "Transactions that the spool refused"),
  row(
    Counter.spoolQuarantined,
    "spool_quarantined_total",
    "counter",
    null,
    "Entries moved to quarantine: damaged, or deadly to workers",
  ),
  row(
    Counter.shardsUnhealthy,
    "spool_shards_unhealthy",
    "gauge",
    null,
    "Shards that refuse mail after a failed commit",
  ),
  row(Counter.workersLost, "workers_lost_total", "counter", null, "Worker threads that died and were replaced"),
  row(
    Counter.promised,
    "spool_promised_count",
    "gauge",
    null,
    "Recipients being stored, not yet known to the scheduler",
  ),
  row(
    Counter.forcedFlushes,
    "spool_forced_flushes_total",
    "counter",
    null,
    "Syncs that a message asked for beyond the server's durability",
  ),
  row(Counter.deferredMessages, "spool_deferred_messages", "gauge", null, "Accepted messages in memory only"),
  row(Counter.deferredBytes, "spool_deferred_bytes", "gauge", null, "Bytes charged for them"),
  row(
    Counter.deferredStored,
    "spool_deferred_stored_total",
    "counter",
    null,
    "Messages in memory only that were stored after all",
  ),
  row(
    Counter.messagesLost,
    "spool_lost_total",
    "counter",
    null,
    "Messages that were accepted and are gone: with a worker that had them in memory only, or out of the spool",
  ),
  row(
    Counter.logsUnwritable,
    "log_writers_unhealthy",
    "gauge",
    null,
    "Workers that cannot write the event log, and so take no mail",
  ),
  row(
    Counter.workersStuck,
    "workers_stuck_total",
    "counter",
    null,
    "Worker threads that the watchdog ended because they took no turns",
  ),
  row(
    Counter.messageStrikes,
    "message_strikes_total",
    "counter",
    null,
    "Deaths of workers, or of the whole process, with a message in hand",
  ),
  row(Counter.spoolFileBytes, "spool_file_bytes", "gauge", null, "Bytes of the spool's files, all shards"),
  row(
    Counter.spoolUsedBytes,
    "spool_used_bytes",
    "gauge",
    null,
    "Bytes of their pages in use; the rest is free for new mail, or given back by a compaction",
  ),
  row(Counter.spoolCompactions, "spool_compactions_total", "counter", null, "Shards that were compacted"),
  row(Counter.sockets, "socket_count", "gauge", null, "Sockets of clients and mail hosts, closing ones included"),
  row(
    Counter.schedulerLagging,
    "scheduler_lagging_workers",
    "gauge",
    null,
    "Workers whose reports the scheduler has left unread for too long, and which so take no mail",
  ),
  shed(Counter.shedStopping, "stopping"),
  shed(Counter.shedMemory, "memory"),
  shed(Counter.shedDisk, "disk"),
  shed(Counter.shedSpool, "spool"),
  shed(Counter.shedLog, "log"),
  shed(Counter.shedLag, "lag"),
  shed(Counter.shedQueue, "queue"),
  shed(Counter.shedConnections, "connections"),
  shed(Counter.shedDescriptors, "descriptors"),
  row(
    Counter.bindFailures,
    "bind_failures",
    "counter",
    null,
    "Messages that could not leave from their source's address, here or on its proxy",
  ),
  row(
    Counter.proxyConnectionFailures,
    "proxy_connection_failures",
    "counter",
    null,
    "Messages whose source's proxy could not be reached, or did not do what it is for",
  ),
  row(
    Counter.dnsQueries,
    "dns_queries_total",
    "counter",
    null,
    "Questions put to name servers, repeated ones included",
  ),
  row(Counter.dnsCacheHits, "dns_cache_hits_total", "counter", null, "Look-ups that the cache answered"),
  row(Counter.dnsInProgress, "dns_lookups_in_progress", "gauge", null, "Look-ups under way or waiting"),
  dnsFailure(Counter.dnsTimeouts, "timeout"),
  dnsFailure(Counter.dnsServfails, "servfail"),
  dnsFailure(Counter.dnsRefused, "refused"),
  dnsFailure(Counter.dnsMalformed, "malformed"),
  dnsFailure(Counter.dnsLoops, "loop"),
  dnsFailure(Counter.dnsBusy, "busy"),
  dnsFailure(Counter.dnsSockets, "socket"),
  row(Counter.tlsHandshakes, "tls_client_handshakes_total", "counter", null, "TLS handshakes with mail hosts"),
  row(Counter.tlsResumed, "tls_client_resumed_total", "counter", null, "Of those, the ones that resumed a session"),
  row(
    Counter.tlsFailures,
    "tls_client_failures_total",
    "counter",
    null,
    "TLS handshakes that failed, or whose server did not prove what was demanded",
  ),
  tlsConnections(Counter.tlsProved, "proved"),
  tlsConnections(Counter.tlsUnproved, "unproved"),
  tlsConnections(Counter.tlsClear, "clear"),
  row(
    Counter.authAccepted,
    "auth_client_accepted_total",
    "counter",
    null,
    "Connections that a mail host let in with AUTH",
  ),
  row(
    Counter.authFailures,
    "auth_client_failures_total",
    "counter",
    null,
    "Connections given up at AUTH: refused, not offered, not allowed on that connection, or half configured",
  ),
];

/** How many counters a thread's block has. */
export const COUNTER_COUNT: number = METRICS.length;

function row(
  counter: Counter,
  name: string,
  kind: "counter" | "gauge",
  service: string | null,
  help: string,
): MetricRow {
  return { counter, name, kind, service, help };
}

function dnsFailure(counter: Counter, reason: string): MetricRow {
  const help = "Look-ups without an answer, by reason";
  return { counter, name: "dns_failures_total", kind: "counter", service: null, reason, help };
}

function tlsConnections(counter: Counter, reason: string): MetricRow {
  const help =
    "Connections that were ready for mail: over TLS with a server that proved its name or did not, or in clear";
  return { counter, name: "tls_client_connections_total", kind: "counter", service: null, reason, help };
}

function shed(counter: Counter, reason: string): MetricRow {
  const help = "Connections, MAIL and DATA commands and messages refused for now, by reason";
  return { counter, name: "shed_refusals_total", kind: "counter", service: null, reason, help };
}
