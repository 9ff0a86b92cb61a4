import type { PathConfig, QueueConfig } from "../../src/config/compiled.js";
import { PATH_TLS_DEFAULTS } from "../../src/config/path-tls-settings.js";

/** A queue's options: the reference's defaults, with what a test wants different. */
export function queueConfig(options: Partial<QueueConfig> = {}): QueueConfig {
  return {
    retryIntervalMs: 1_200_000,
    maxRetryIntervalMs: null,
    maxAgeMs: 604_800_000,
    egressPool: "unspecified",
    protocol: { kind: "smtp", mxList: null, listSecure: false },
    reapIntervalMs: 600_000,
    priority: 0,
    weight: 1,
    providerName: null,
    ...options,
  };
}

/** A path's options: the reference's defaults, with what a test wants different. */
export function pathConfig(options: Partial<PathConfig> = {}): PathConfig {
  return {
    enableMtaSts: true,
    enableDane: false,
    connectionLimit: 32,
    additionalConnectionLimits: {},
    maxConnectionRate: null,
    sourceSelectionRate: null,
    additionalSourceSelectionRates: {},
    maxDeliveriesPerConnection: 1024,
    maxRecipientsPerBatch: 100,
    maxReady: 1024,
    consecutiveConnectionFailuresBeforeDelay: 100,
    smtpPort: 25,
    ehloDomain: null,
    enablePipelining: true,
    enableRset: true,
    maxBdatSize: 65_536,
    ignore8bitChecks: false,
    useLmtp: false,
    ipLookupStrategy: "Ipv4AndIpv6",
    prohibitedHosts: [],
    skipHosts: [],
    reconnectStrategy: "ConnectNextHost",
    tryNextHostOnTransportError: false,
    connectTimeoutMs: 60_000,
    bannerTimeoutMs: 60_000,
    ehloTimeoutMs: 300_000,
    mailFromTimeoutMs: 300_000,
    rcptToTimeoutMs: 300_000,
    dataTimeoutMs: 300_000,
    dataDotTimeoutMs: 300_000,
    rsetTimeoutMs: 5000,
    systemShutdownTimeoutMs: null,
    dispatcherProgressWatchdogTimeoutMs: null,
    idleTimeoutMs: 5000,
    providerName: null,
    ...PATH_TLS_DEFAULTS,
    ...options,
  };
}
