/** One answer of a provider: a code and the text behind it, which usually begins with an enhanced code (RFC 3463). */
export interface SinkReply {
  /** 400–599. A 421 ends the connection. */
  readonly code: number;
  /** One line without its end. */
  readonly text: string;
}

/** How the recipients of one domain fare. */
export interface DomainRates {
  /** Percent of the recipients refused for good (5xx), 0–100; together with `defer` at most 100. */
  readonly bounce: number;
  /** Percent refused for now (4xx), 0–100. */
  readonly defer: number;
}

/** How a sink does STARTTLS. */
export interface SinkTls {
  /** Without it mail is taken too, or not. */
  readonly mode: "offered" | "required";
  /** PEM; null for one of the sink's own making, which nobody trusts. */
  readonly certificate: string | null;
  readonly key: string | null;
  /** Highest version; null for the best that there is. */
  readonly maxVersion: "TLSv1.2" | "TLSv1.3" | null;
  /**
   * What goes wrong: STARTTLS is offered and then refused; a reply in clear comes ahead of the handshake; the handshake is
   * not answered; or it is answered in clear.
   */
  readonly fault: "none" | "refuse" | "inject" | "hang" | "garbage";
}

/** How a sink does AUTH. The password is the token for XOAUTH2. */
export interface SinkAuth {
  readonly username: string;
  readonly password: string;
  /** In upper case: PLAIN, LOGIN, CRAM-MD5, XOAUTH2. */
  readonly mechanisms: readonly string[];
  /** No mail is taken without it. */
  readonly required: boolean;
  /** Offered without TLS too. */
  readonly inClear: boolean;
}

/** The behaviour of a provider: what a profile file says. */
export interface SinkProfile {
  readonly fallback: DomainRates;
  /** By lower-case domain, exact. */
  readonly domains: Readonly<Record<string, DomainRates>>;
  /** Answers to choose from, by lower-case domain or `default`; all 500–599. */
  readonly bounceReplies: Readonly<Record<string, readonly SinkReply[]>>;
  /** The same, 400–499. */
  readonly deferReplies: Readonly<Record<string, readonly SinkReply[]>>;
  /** Where a refusal is said: in answer to RCPT, or only in answer to the end of the data. */
  readonly refuseAt: "rcpt" | "data";
  /** Code of the greeting: 220, or a refusal (400–599). */
  readonly greeting: number;
  /** Percent of transactions that are answered 421 at MAIL and the connection closed, 0–100. */
  readonly closePercent: number;
  /** Waited before each group of replies that leaves together, ms. */
  readonly latencyMs: number;
  /** Waited before a refusal, in addition and growing by itself with each refusal of the connection, ms; at most 60 s. */
  readonly tarpitMs: number;
  /** Name in greetings. */
  readonly hostname: string;
  /** Largest content in bytes; announced by SIZE (RFC 1870), and more is answered 552. */
  readonly maxMessageSize: number;
  /** Connections beyond are answered 421 and closed. */
  readonly maxConnections: number;
  /** Null for a sink without STARTTLS. */
  readonly tls: SinkTls | null;
  /** Null for a sink without AUTH. */
  readonly auth: SinkAuth | null;
  /** Where chance begins; the same seed and the same traffic give the same answers. */
  readonly seed: number;
}

/** What is in force when nothing else is said: accept everything at once. */
export const DEFAULT_PROFILE: SinkProfile = {
  fallback: { bounce: 0, defer: 0 },
  domains: {},
  bounceReplies: {},
  deferReplies: {},
  refuseAt: "rcpt",
  greeting: 220,
  closePercent: 0,
  latencyMs: 0,
  tarpitMs: 0,
  hostname: "sink.invalid",
  maxMessageSize: 50 * 1024 * 1024,
  maxConnections: 10_000,
  tls: null,
  auth: null,
  seed: 1,
};

/** Who sent a kept message, and to whom it was accepted. */
export interface SinkEnvelope {
  /** The name given with EHLO or HELO. */
  readonly helo: string;
  /** Empty for the null return path. */
  readonly sender: string;
  readonly recipients: readonly string[];
}

/** A sink: where it listens and how it behaves. Plain data but for `onMessage`. */
export interface SinkOptions {
  /** Numeric address. */
  readonly host: string;
  /** 0 lets the system choose. */
  readonly port: number;
  readonly profile: SinkProfile;
  /**
   * File for the moments at which messages were accepted (`base/times-file.ts`), of those recipients whose local part
   * carries a number. None by default.
   */
  readonly times?: string;
  /** Asked for by tests: gets each accepted message, its content without dot-stuffing and without the final dot. */
  readonly onMessage?: (envelope: SinkEnvelope, content: Buffer) => void;
}
