import type { Rate } from "../base/units.js";
import type { TlsVersion } from "./tls-options.js";

/**
 * The compiled configuration: what `config/compile.ts` makes of the written one. Plain data, so that it can be posted to
 * a worker. Durations are milliseconds, sizes bytes, absent options null; nothing here is parsed again.
 */
export interface CompiledConfig {
  readonly node: { readonly hostname: string; readonly dataDir: string; readonly nodeId: string };
  readonly threads: { readonly workers: number; readonly watchdogTimeoutMs: number };
  readonly delivery: { readonly mode: "sandbox" | "live" };
  readonly spool: SpoolConfig;
  readonly memory: MemoryConfig;
  readonly smtpListeners: readonly SmtpListenerConfig[];
  readonly httpListeners: readonly HttpListenerConfig[];
  readonly dns: DnsConfig;
  readonly mtaSts: MtaStsConfig;
  readonly log: LogConfig;
  readonly sources: Readonly<Record<string, SourceConfig>>;
  readonly pools: Readonly<Record<string, PoolConfig>>;
  /** In file order: the first match wins, missing keys come from the next match. */
  readonly queues: readonly QueueRule[];
  readonly shaping: ShapingRules;
}

/** An address to listen on or to ask. */
export interface ListenAddress {
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
}

/** `"10%"` becomes a fraction, a size becomes a count (bytes or inodes). */
export type FreeLimit = { readonly fraction: number } | { readonly count: number };

/** What a `250` stands for: on disk, in the page cache, or in memory until the first failed attempt. */
export type Durability = "flushed" | "committed" | "deferred";

/** `[spool]`. */
export interface SpoolConfig {
  /** Absolute. */
  readonly path: string;
  readonly durability: Durability;
  /** Most bytes of mail that a worker holds in memory only. */
  readonly deferredMemory: number;
  readonly deferredWaitMs: number;
  readonly minFreeSpace: FreeLimit;
  readonly minFreeInodes: FreeLimit;
  /** Most messages that may wait on this node; one more is answered 452. */
  readonly maxMessages: number;
  /** How long a shard's file must be mostly free before it is compacted unasked; 0 for never. */
  readonly compactAfterMs: number;
}

/** `[memory]`; null where the program finds out by itself. */
export interface MemoryConfig {
  /** Bytes in use from which on no mail is taken. */
  readonly softLimit: number | null;
  /** Bytes in use from which on caches are given up; null for 80 % of the soft limit. */
  readonly lowThresh: number | null;
}

/** What a listener may do for one domain: `[smtp_listener.domains."x"]`. */
export interface DomainRule {
  readonly relayTo: boolean;
  /** Networks (CIDR) that may send from this domain. */
  readonly relayFrom: readonly string[];
}

/** `[[smtp_listener]]`; limits and defaults as the reference documents them. */
export interface SmtpListenerConfig {
  readonly listen: ListenAddress;
  readonly hostname: string;
  readonly banner: string;
  /** Networks (CIDR) that may relay anywhere. */
  readonly relayHosts: readonly string[];
  /** By lower-case domain; `*` is the default. */
  readonly domains: Readonly<Record<string, DomainRule>>;
  readonly clientTimeoutMs: number;
  readonly dataProcessingTimeoutMs: number;
  readonly maxConnections: number;
  readonly maxMessagesPerConnection: number;
  readonly maxRecipientsPerMessage: number;
  readonly maxMessageSize: number;
  readonly lineLengthHardLimit: number;
  readonly invalidLineEndings: "Deny" | "Allow" | "Fix";
  readonly receivedHeader: boolean;
  /** Received headers in a message above which it is taken for a loop (RFC 5321 §6.3). */
  readonly maxHops: number;
}

/** `[[http_listener]]`. */
export interface HttpListenerConfig {
  readonly listen: ListenAddress;
  readonly trustedHosts: readonly string[];
}

/** `[dns]`. */
export interface DnsConfig {
  /** Empty for the system's. */
  readonly servers: readonly ListenAddress[];
  readonly timeoutMs: number;
  readonly dnssec: "off" | "trust-ad";
  /** Absolute path of the static zone file, null for none. */
  readonly hostsFile: string | null;
  /** Tells one content of the zone file from another; null without a file. */
  readonly hostsFileDigest: string | null;
  /** The static zone's records count as signed. */
  readonly hostsFileSecure: boolean;
  readonly maxConcurrent: number;
  readonly maxWaiting: number;
  readonly cacheEntries: number;
  readonly negativeTtlMs: number;
}

/** `[mta_sts]`. */
export interface MtaStsConfig {
  readonly enabled: boolean;
  /** For fetching one policy, from the first look-up to the last byte. */
  readonly timeoutMs: number;
  readonly maxPolicies: number;
  /** Absolute path of more trusted authorities, null for none. */
  readonly caFile: string | null;
  /** Networks (CIDR) that are private, and in which policy hosts may be nonetheless. */
  readonly allowedNetworks: readonly string[];
  readonly port: number;
}

/** `[log]`. */
export interface LogConfig {
  /** Absolute. */
  readonly dir: string;
  readonly maxFileSize: number;
  readonly maxSegmentDurationMs: number | null;
}

/** When a source is out of use for a while: after so many failures within the period. */
export interface SuspendRule {
  readonly failures: number;
  readonly periodMs: number;
  readonly durationMs: number;
}

/** `[[source]]`: an origin of connections. */
export interface SourceConfig {
  readonly name: string;
  readonly sourceAddress: string | null;
  readonly ehloDomain: string | null;
  readonly remotePort: number | null;
  readonly proxy: ProxyConfig | null;
  /** Bind the address although no interface has it. */
  readonly freeBind: boolean;
  /** Null: never. */
  readonly suspendWhenUnplumbed: SuspendRule | null;
  readonly suspendWhenProxyUnhealthy: SuspendRule | null;
}

/** Where a proxy listens. */
export interface HostPort {
  /** A numeric address, or a name that is resolved for each connection. */
  readonly host: string;
  readonly port: number;
}

/** A HAProxy that connects for us: told by a PROXY header of this version, it says nothing itself. */
export interface HaProxyConfig {
  readonly protocol: "haproxy";
  readonly server: HostPort;
  readonly sourceAddress: string;
  readonly version: 1 | 2;
}

/** A SOCKS 5 proxy that connects for us. */
export interface SocksProxyConfig {
  readonly protocol: "socks5";
  readonly server: HostPort;
  /** Asked for with BIND; null where the proxy chooses (plain CONNECT). */
  readonly sourceAddress: string | null;
  readonly credentials: { readonly username: string; readonly password: string } | null;
}

/** The proxy that the connections of a source go through. */
export type ProxyConfig = HaProxyConfig | SocksProxyConfig;

/** `[[pool]]`: sources with their weights; weight 0 means absent. */
export interface PoolConfig {
  readonly name: string;
  readonly entries: readonly { readonly name: string; readonly weight: number }[];
}

/** One entry of `protocol.smtp.mx_list`. */
export interface MxListEntry {
  readonly name: string;
  readonly address: string | null;
  readonly port: number | null;
  readonly unix: string | null;
  /** The entry as written, for the site's name. */
  readonly written: string;
}

/** How a queue's messages leave: SMTP by MX or by a list of hosts, or nowhere (`null` discards). */
export type QueueProtocol =
  | { readonly kind: "smtp"; readonly mxList: readonly MxListEntry[] | null; readonly listSecure: boolean }
  | { readonly kind: "null" };

/** A rule's criteria: exact text, or `*` for any; a rule for a tenant or campaign does not match queues without one. */
export interface QueueRule {
  readonly domain: string;
  readonly tenant: string;
  readonly campaign: string;
  readonly options: Partial<QueueConfig>;
}

/** The options of one scheduled queue, complete. */
export interface QueueConfig {
  readonly retryIntervalMs: number;
  readonly maxRetryIntervalMs: number | null;
  readonly maxAgeMs: number;
  readonly egressPool: string;
  readonly protocol: QueueProtocol;
  readonly reapIntervalMs: number;
  /** Served first among the queues of a path: a higher number goes before a lower one. Default 0. */
  readonly priority: number;
  /** Share of a path among queues of one priority. Default 1, at least 1. */
  readonly weight: number;
  readonly providerName: string | null;
}

/** Which addresses of a host are used, and in which order. */
export type IpLookupStrategy = "Ipv4AndIpv6" | "Ipv4Only" | "Ipv6Only" | "Ipv6ThenIpv4" | "Ipv4ThenIpv6";
/** What a session does after it lost its connection in the middle of its work. */
export type ReconnectStrategy = "ConnectNextHost" | "TerminateSession" | "ReconnectSameHost";

/** The options of one egress path, complete. */
export interface PathConfig {
  readonly connectionLimit: number;
  /** Limits by name that this path shares with every other one that names them. */
  readonly additionalConnectionLimits: Readonly<Record<string, number>>;
  readonly maxConnectionRate: Rate | null;
  readonly sourceSelectionRate: Rate | null;
  /** By name, shared as the limits are. */
  readonly additionalSourceSelectionRates: Readonly<Record<string, Rate>>;
  readonly maxDeliveriesPerConnection: number;
  /** Recipients of one message that share a transaction. */
  readonly maxRecipientsPerBatch: number;
  readonly maxReady: number;
  readonly consecutiveConnectionFailuresBeforeDelay: number;
  readonly smtpPort: number;
  readonly ehloDomain: string | null;
  readonly enableMtaSts: boolean;
  readonly enableDane: boolean;
  readonly enablePipelining: boolean;
  readonly enableRset: boolean;
  /** Bytes of content that leave in one write with their commands; 0 for none. */
  readonly maxBdatSize: number;
  readonly ignore8bitChecks: boolean;
  readonly useLmtp: boolean;
  readonly ipLookupStrategy: IpLookupStrategy;
  readonly prohibitedHosts: readonly string[];
  readonly skipHosts: readonly string[];
  readonly reconnectStrategy: ReconnectStrategy;
  readonly tryNextHostOnTransportError: boolean;
  readonly connectTimeoutMs: number;
  readonly bannerTimeoutMs: number;
  readonly ehloTimeoutMs: number;
  readonly mailFromTimeoutMs: number;
  readonly rcptToTimeoutMs: number;
  readonly dataTimeoutMs: number;
  readonly dataDotTimeoutMs: number;
  readonly rsetTimeoutMs: number;
  readonly idleTimeoutMs: number;
  /** Null for the server's own. */
  readonly systemShutdownTimeoutMs: number | null;
  /** Null for one that follows from the other timeouts. */
  readonly dispatcherProgressWatchdogTimeoutMs: number | null;
  readonly providerName: string | null;
  readonly enableTls: TlsMode;
  readonly tlsMinimumVersion: TlsVersion;
  /** Each an absolute path, or the PEM text itself. */
  readonly tlsCertificate: string | null;
  readonly tlsPrivateKey: string | null;
  readonly tlsTrustedCertificates: string | null;
  readonly opensslCipherList: string | null;
  readonly opensslCipherSuites: string | null;
  readonly opensslOptions: string | null;
  readonly rustlsCipherSuites: readonly string[];
  /** Null for never, unless clear-text reconnection asks for its quarter of an hour. */
  readonly rememberBrokenTlsMs: number | null;
  readonly opportunisticTlsReconnect: boolean;
  readonly starttlsTimeoutMs: number;
  readonly authTimeoutMs: number;
  readonly smtpAuthUsername: string | null;
  readonly smtpAuthPassword: string | null;
  /** Absolute path of the file with an access token. */
  readonly smtpAuthTokenFile: string | null;
  readonly allowAuthWithoutTls: boolean;
  readonly allowAuthWithoutValidCertificate: boolean;
}

/** How TLS is used towards a peer: reference §15. */
export type TlsMode = "Disabled" | "Opportunistic" | "OpportunisticInsecure" | "Required" | "RequiredInsecure";

/** The part of the shaping rules that is in force: a default and blocks by site or by exact domain. */
export interface ShapingRules {
  readonly base: Partial<PathConfig>;
  /** What the default says of single sources. */
  readonly baseSources?: Readonly<Record<string, Partial<PathConfig>>>;
  readonly blocks: readonly ShapingBlock[];
}

/** One destination block of a shaping file. */
export interface ShapingBlock {
  /** Lower-case domain as written. */
  readonly domain: string;
  /** True: applies to the site of that domain; false: to this domain only. */
  readonly mxRollup: boolean;
  readonly options: Partial<PathConfig>;
  readonly sources: Readonly<Record<string, Partial<PathConfig>>>;
}
