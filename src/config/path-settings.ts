import type { PathConfig } from "./compiled.js";
import { choice, duration, flag, integer, limit, list, rate, size } from "./kinds.js";
import { laterTlsSettings, PATH_TLS_DEFAULTS, pathTlsOptions } from "./path-tls-settings.js";
import { later, mapOf, type Option, optionsOf, type Setting } from "./table.js";
import { ehloName, network, text } from "./text-kinds.js";

const SECOND = 1000;
const DAY = 86_400_000;

/** What an egress path does when no shaping rule says otherwise. */
export const PATH_DEFAULTS: PathConfig = {
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
  enableMtaSts: true,
  enableDane: false,
  enablePipelining: true,
  enableRset: true,
  maxBdatSize: 256 * 1024,
  ignore8bitChecks: false,
  useLmtp: false,
  ipLookupStrategy: "Ipv4AndIpv6",
  prohibitedHosts: ["127.0.0.0/8", "0.0.0.0", "::1", "::"],
  skipHosts: [],
  reconnectStrategy: "ConnectNextHost",
  tryNextHostOnTransportError: false,
  connectTimeoutMs: 60 * SECOND,
  bannerTimeoutMs: 60 * SECOND,
  ehloTimeoutMs: 300 * SECOND,
  mailFromTimeoutMs: 300 * SECOND,
  rcptToTimeoutMs: 300 * SECOND,
  dataTimeoutMs: 300 * SECOND,
  dataDotTimeoutMs: 300 * SECOND,
  rsetTimeoutMs: 5 * SECOND,
  idleTimeoutMs: 5 * SECOND,
  systemShutdownTimeoutMs: null,
  dispatcherProgressWatchdogTimeoutMs: null,
  providerName: null,
  ...PATH_TLS_DEFAULTS,
};

const option = optionsOf(PATH_DEFAULTS);
const timeout = duration({ min: 10, max: DAY });
const named = (what: string) => ({ what, read: (written: string) => written, max: 1000 });
const networks = list(network(), { what: "networks" });

/** The options of an egress path that are in force. */
export const pathOptions: readonly Option<PathConfig>[] = [
  option("connection_limit", "connectionLimit", limit({ max: 100_000 }), "Most connections of one path at once."),
  option(
    "additional_connection_limits",
    "additionalConnectionLimits",
    mapOf(limit({ max: 100_000 }), named("limits")),
    "Limits by name: every connection counts towards each, over all paths that name it.",
  ),
  option("max_connection_rate", "maxConnectionRate", rate(), "Most new connections of one path."),
  option("source_selection_rate", "sourceSelectionRate", rate(), "How often this source may be chosen for this site."),
  option(
    "additional_source_selection_rates",
    "additionalSourceSelectionRates",
    mapOf(rate(), named("rates")),
    "Rates of choice by name, shared by all paths that name them.",
  ),
  option(
    "max_deliveries_per_connection",
    "maxDeliveriesPerConnection",
    integer({ min: 1, max: 1_000_000 }),
    "A connection is closed after this many messages.",
  ),
  option(
    "max_recipients_per_batch",
    "maxRecipientsPerBatch",
    integer({ min: 1, max: 1000 }),
    "Recipients of one message that share a transaction.",
  ),
  option("max_ready", "maxReady", integer({ min: 1, max: 10_000_000 }), "Capacity of the ready queue."),
  option(
    "consecutive_connection_failures_before_delay",
    "consecutiveConnectionFailuresBeforeDelay",
    integer({ min: 0, max: 1_000_000 }),
    "Failed connections in a row after which the whole ready queue is put off.",
  ),
  option("smtp_port", "smtpPort", integer({ min: 1, max: 65_535 }), "Port of the destination."),
  option(
    "ehlo_domain",
    "ehloDomain",
    ehloName(),
    "Name given with EHLO.",
    "the source's `ehlo_domain`, else `node.hostname`",
  ),
  option("enable_mta_sts", "enableMtaSts", flag(), "The policies of domains about TLS (MTA-STS) hold on this path."),
  option("enable_dane", "enableDane", flag(), "TLSA records of hosts (DANE) hold on this path; needs `dns.dnssec`."),
  option("enable_pipelining", "enablePipelining", flag(), "Commands are sent together when the server offers it."),
  option("enable_rset", "enableRset", flag(), "RSET is sent between messages."),
  option(
    "max_bdat_size",
    "maxBdatSize",
    size({ min: 0, max: 2 ** 30 }),
    "Content up to this size leaves in one write with its commands (BDAT) when the server offers it; 0 for never.",
  ),
  option(
    "ignore_8bit_checks",
    "ignore8bitChecks",
    flag(),
    "8-bit content is sent even to a server that does not offer 8BITMIME or SMTPUTF8.",
  ),
  option("use_lmtp", "useLmtp", flag(), "LMTP instead of SMTP: LHLO, and an answer for each recipient at the end."),
  option(
    "ip_lookup_strategy",
    "ipLookupStrategy",
    choice("Ipv4AndIpv6", "Ipv4Only", "Ipv6Only", "Ipv6ThenIpv4", "Ipv4ThenIpv6"),
    "Which addresses of a host are looked up.",
  ),
  option(
    "prohibited_hosts",
    "prohibitedHosts",
    networks,
    "Mail is bounced when a host has an address in one of these networks.",
  ),
  option("skip_hosts", "skipHosts", networks, "Addresses in these networks are not tried."),
  option(
    "reconnect_strategy",
    "reconnectStrategy",
    choice("ConnectNextHost", "TerminateSession", "ReconnectSameHost"),
    "What follows when a server closes the connection.",
  ),
  option(
    "try_next_host_on_transport_error",
    "tryNextHostOnTransportError",
    flag(),
    "The same message is tried on the next host when the connection breaks.",
  ),
  option("connect_timeout", "connectTimeoutMs", timeout, "For the connection to be made."),
  option("banner_timeout", "bannerTimeoutMs", timeout, "For the greeting."),
  option("ehlo_timeout", "ehloTimeoutMs", timeout, "For the reply to EHLO or HELO."),
  option("mail_from_timeout", "mailFromTimeoutMs", timeout, "For the reply to MAIL."),
  option("rcpt_to_timeout", "rcptToTimeoutMs", timeout, "For the reply to RCPT."),
  option("data_timeout", "dataTimeoutMs", timeout, "For the reply to DATA."),
  option("data_dot_timeout", "dataDotTimeoutMs", timeout, "For the reply to the end of a message."),
  option("rset_timeout", "rsetTimeoutMs", timeout, "For the reply to RSET."),
  option("idle_timeout", "idleTimeoutMs", timeout, "An unused connection is closed after this."),
  option(
    "system_shutdown_timeout",
    "systemShutdownTimeoutMs",
    timeout,
    "At a stop a message that is being sent has so long to come to its end.",
    "10 s",
  ),
  option(
    "dispatcher_progress_watchdog_timeout",
    "dispatcherProgressWatchdogTimeoutMs",
    duration({ min: SECOND, max: DAY }),
    "A session with a message in hand that makes no progress for so long is ended, and the message waits again.",
    "twice the longest of the MAIL, RCPT, DATA and end-of-data timeouts, at least a minute",
  ),
  option("provider_name", "providerName", text({ max: 100 }), "Label of metrics and log records."),
  ...pathTlsOptions,
];

const memory = choice("ShrinkDataAndMeta", "ShrinkData", "NoShrink");
const wakeUp = choice("Aggressive", "Relaxed");

/** Options of an egress path whose feature does not exist yet. */
export const laterPathSettings: readonly Setting<unknown, undefined>[] = [
  ...laterTlsSettings,
  later("max_message_rate", rate(), "Messages."),
  later("additional_message_rate_throttles", mapOf(rate(), named("rates")), "More named rates."),
  later("refresh_interval", duration({ min: SECOND, max: DAY }), "Rules are live; nothing is refreshed."),
  later("refresh_strategy", choice("Ttl", "Epoch"), "Rules are live; nothing is refreshed."),
  later("maintainer_wakeup_strategy", wakeUp, "There is one way of waking."),
  later("dispatcher_wakeup_strategy", wakeUp, "There is one way of waking."),
  later("low_memory_reduction_policy", memory, "Waiting messages are never held in memory."),
  later("no_memory_reduction_policy", memory, "Waiting messages are never held in memory."),
  later("readyq_pool_name", text({ max: 100 }), "There is one pool of workers."),
  later("aggressive_connection_opening", flag(), "Connections before there is a message.", [false]),
];
