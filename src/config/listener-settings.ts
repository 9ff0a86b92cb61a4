import type { DomainRule, HttpListenerConfig, ListenAddress, SmtpListenerConfig } from "./compiled.js";
import { choice, duration, flag, integer, type Kind, list, size } from "./kinds.js";
import { later, mapOf, refused, setting, table } from "./table.js";
import { ehloName, hostName, isHostName, network, socketAddress, text } from "./text-kinds.js";

const SECOND = 1000;
const DAY = 86_400_000;
const MAX_DOMAINS = 100_000;
const MIB = 1024 * 1024;

const listenKind = socketAddress({ defaultPort: null, minPort: 0 });
const networks = { what: "networks" };

const domain = {
  relayTo: setting("relay_to", flag(), { fallback: false, about: "Mail to this domain is accepted from anybody." }),
  relayFrom: setting("relay_from", list(network(), networks), {
    fallback: [] as readonly string[],
    about: "Networks that may send mail whose sender is of this domain.",
  }),
  logOob: later("log_oob", flag(), "Bounce reports to this domain become log records.", [false]),
  logArf: later("log_arf", flag(), "Feedback reports to this domain become log records.", [false]),
};

const domainTable: Kind<DomainRule> = table(Object.values(domain), (reader) => ({
  relayTo: reader.get(domain.relayTo),
  relayFrom: reader.get(domain.relayFrom),
}));

/** A domain of the listener's table, or `*`, in lower case; null when it is none. */
function domainKey(written: string): string | null {
  return written === "*" || isHostName(written) ? written.toLowerCase().replace(/\.$/, "") : null;
}

const trace = {
  received: setting("received_header", flag(), { fallback: true, about: "A Received header is added." }),
  supplemental: later("supplemental_header", flag(), "A second trace header with chosen metadata.", [false]),
  name: later("header_name", text({ max: 100 }), "Name of the second trace header."),
  meta: later(
    "include_meta_names",
    list(text({ max: 100 }), { what: "names" }),
    "Metadata in the second trace header.",
  ),
};

const traceTable: Kind<{ readonly received: boolean }> = table(Object.values(trace), (reader) => ({
  received: reader.get(trace.received),
}));

const smtp = {
  listen: setting("listen", listenKind, {
    fallback: { host: "127.0.0.1", port: 2025 } satisfies ListenAddress,
    reload: "start",
    about: "Address and port; port 0 lets the system choose.",
  }),
  hostname: setting("hostname", ehloName(), {
    fallback: null,
    fallbackText: "`node.hostname`",
    about: "Name in the greeting, the EHLO reply and the Received header.",
  }),
  banner: setting("banner", text({ max: 400 }), {
    fallback: "Hikyaku",
    about: "Text of the greeting behind the name.",
  }),
  relayHosts: setting("relay_hosts", list(network(), networks), {
    fallback: ["127.0.0.1", "::1"] as readonly string[],
    about: "Networks of clients that may send to anybody.",
  }),
  domains: setting("domains", mapOf(domainTable, { what: "domains", read: domainKey, max: MAX_DOMAINS }), {
    fallback: {},
    about: 'What is relayed by domain; "*" is the default.',
  }),
  clientTimeout: setting("client_timeout", duration({ min: 10, max: DAY }), {
    fallback: 60 * SECOND,
    about: "A client that is silent for this long is sent away with 421.",
  }),
  dataProcessingTimeout: setting("data_processing_timeout", duration({ min: 10, max: DAY }), {
    fallback: 300 * SECOND,
    about: "Longest time from the end of a message to its answer; beyond it the answer is 451.",
  }),
  maxConnections: setting("max_connections", integer({ min: 1, max: 1_000_000 }), {
    fallback: 32_768,
    about: "Most connections at once, of all workers together; one more is answered 421.",
  }),
  maxMessagesPerConnection: setting("max_messages_per_connection", integer({ min: 1, max: 1_000_000_000 }), {
    fallback: 10_000,
    about: "Most messages that one connection may send.",
  }),
  maxRecipientsPerMessage: setting("max_recipients_per_message", integer({ min: 1, max: 100_000 }), {
    fallback: 1024,
    about: "Most recipients of one message; one more is answered 452.",
  }),
  maxMessageSize: setting("max_message_size", size({ min: 65_536, max: 1024 * MIB }), {
    fallback: 20 * MIB,
    about: "Largest message; advertised by SIZE, beyond it the answer is 552.",
  }),
  dataBufferSize: later(
    "data_buffer_size",
    size({ min: 4096, max: 16 * MIB }),
    "Bytes read from a connection at once.",
  ),
  lineLengthHardLimit: setting("line_length_hard_limit", integer({ min: 998, max: 1_000_000 }), {
    fallback: 998,
    about: "Longest line of a message in octets, without its line end.",
  }),
  invalidLineEndings: setting("invalid_line_endings", choice("Deny", "Allow", "Fix"), {
    fallback: "Deny" as const,
    about: "What happens to a message with a bare CR or LF.",
  }),
  traceHeaders: setting("trace_headers", traceTable, {
    fallback: { received: true },
    about: "Headers that are added.",
  }),
  maxHops: setting("max_hops", integer({ min: 1, max: 1000 }), {
    fallback: 50,
    about: "Received headers above which a message is taken for a loop and answered 554.",
  }),
  batchHandling: refused("batch_handling", "several recipients in one message", ["BifurcateAlways"]),
  deferredSpool: refused("deferred_spool", 'use durability = "deferred" of [spool]', [false]),
  deferredQueue: refused("deferred_queue", "deferred injection", [false]),
  allowXclient: refused("allow_xclient", "XCLIENT", [false]),
  proxyProtocol: refused("require_proxy_protocol", "the PROXY protocol of a load balancer", [false]),
  peer: refused("peer", "settings by client address"),
  via: refused("via", "settings by local address"),
  meta: refused("meta", "connection metadata"),
  tlsCertificate: refused("tls_certificate", "STARTTLS for clients"),
  tlsPrivateKey: refused("tls_private_key", "STARTTLS for clients"),
  tlsRequiredClientCa: refused("tls_required_client_ca", "client certificates"),
};

/** One `[[smtp_listener]]`; the host name is null where the node's is meant. */
export type WrittenSmtpListener = Omit<SmtpListenerConfig, "hostname"> & { readonly hostname: string | null };

/** `[[smtp_listener]]`. */
export const smtpListenerTable: Kind<WrittenSmtpListener> = table(Object.values(smtp), (reader) => {
  const listen = reader.sound(smtp.listen);
  const rest = {
    hostname: reader.get(smtp.hostname),
    banner: reader.get(smtp.banner),
    relayHosts: reader.get(smtp.relayHosts),
    domains: reader.get(smtp.domains),
    clientTimeoutMs: reader.get(smtp.clientTimeout),
    dataProcessingTimeoutMs: reader.get(smtp.dataProcessingTimeout),
    maxConnections: reader.get(smtp.maxConnections),
    maxMessagesPerConnection: reader.get(smtp.maxMessagesPerConnection),
    maxRecipientsPerMessage: reader.get(smtp.maxRecipientsPerMessage),
    maxMessageSize: reader.get(smtp.maxMessageSize),
    dataBufferSize: reader.get(smtp.dataBufferSize),
    lineLengthHardLimit: reader.get(smtp.lineLengthHardLimit),
    invalidLineEndings: reader.get(smtp.invalidLineEndings),
    receivedHeader: reader.get(smtp.traceHeaders).received,
    maxHops: reader.get(smtp.maxHops),
  };
  return listen === undefined ? undefined : { listen, ...rest };
});

const http = {
  listen: setting("listen", listenKind, {
    fallback: { host: "127.0.0.1", port: 8000 } satisfies ListenAddress,
    reload: "start",
    about: "Address and port; port 0 lets the system choose.",
  }),
  trustedHosts: setting("trusted_hosts", list(network(), networks), {
    reload: "start",
    fallback: ["127.0.0.1", "::1"] as readonly string[],
    about: "Networks of clients that may do everything without authentication.",
  }),
  hostname: later("hostname", hostName(), "Name of this server in HTTP answers."),
  requestBodyLimit: later(
    "request_body_limit",
    size({ min: 1024, max: 1024 * MIB }),
    "Largest request after decompression.",
  ),
  useTls: refused("use_tls", "HTTPS", [false]),
  tlsCertificate: refused("tls_certificate", "HTTPS"),
  tlsPrivateKey: refused("tls_private_key", "HTTPS"),
};

/** `[[http_listener]]`. */
export const httpListenerTable: Kind<HttpListenerConfig> = table(Object.values(http), (reader) => {
  const listen = reader.sound(http.listen);
  const trustedHosts = reader.get(http.trustedHosts);
  return listen === undefined ? undefined : { listen, trustedHosts };
});
