/** One size of a distribution: the whole content in bytes, headers included, and how often it comes among the others. */
export interface SizeShare {
  readonly bytes: number;
  readonly weight: number;
}

/** One domain of recipients and how often it comes among the others. */
export interface DomainShare {
  /** With `{n}` in it, each message has a domain of its own: its number stands there. */
  readonly name: string;
  readonly weight: number;
}

/** How a load uses STARTTLS. */
export interface LoadTls {
  /** `opportunistic`: where it is offered. */
  readonly mode: "off" | "opportunistic" | "required";
  /** The server's certificate must be good for `name`; otherwise nobody looks at it. */
  readonly verify: boolean;
  /** The name that is asked for (SNI) and checked; an address is checked only. */
  readonly name: string;
}

/** A load: where it goes, what it consists of, when it ends. */
export interface LoadOptions {
  /** Numeric address and port of the server. */
  readonly target: { readonly host: string; readonly port: number };
  /** Connections, each with one message under way; at least 1. */
  readonly concurrency: number;
  /** Messages sent before counting begins, as fast as the server takes them. */
  readonly warmup: number;
  /** Counting begins only when the caller says so (`RunningLoad.go`), not as soon as the warm-up is over. */
  readonly hold: boolean;
  /** Messages to send, exactly, the warm-up not counted; null when only the time ends the run. */
  readonly count: number | null;
  /** No message begins after this time; null when only the count ends the run. */
  readonly durationMs: number | null;
  /** Messages per second over all connections; null for as many as the server takes. */
  readonly ratePerSecond: number | null;
  readonly sizes: readonly SizeShare[];
  readonly domains: readonly DomainShare[];
  /** MAIL, RCPT and DATA in one group (RFC 2920), where the server offers it. */
  readonly pipelining: boolean;
  readonly tls: LoadTls;
  /** After so many messages a connection is closed and opened again; null for never. */
  readonly messagesPerConnection: number | null;
  /** Further header lines, `Name: value`, without line ends. */
  readonly headers: readonly string[];
  /**
   * File for the moments at which counted messages were accepted (`base/times-file.ts`); the recipients' local parts then
   * carry the messages' numbers. Null for none.
   */
  readonly times: string | null;
  /** Name given with EHLO, also used in Message-ID. */
  readonly helo: string;
  /** Return path. */
  readonly sender: string;
  /** Longest wait for a reply; then the connection is given up and the message sent again. */
  readonly timeoutMs: number;
  /** The run ends when for so long there was no connection and none could be made, ms. */
  readonly giveUpMs: number;
  /** Where chance begins; the same seed gives the same recipients and sizes. */
  readonly seed: number;
}

const KIB = 1024;

/**
 * The size distribution `mixed`, made like the traffic of a sender of newsletters and receipts: 2 KiB 20 %, 5 KiB 20 %,
 * 10 KiB 25 %, 25 KiB 20 %, 50 KiB 10 %, 100 KiB 4 %, 500 KiB 1 %; about 23 KiB on average.
 */
export const MIXED_SIZES: readonly SizeShare[] = [
  { bytes: 2 * KIB, weight: 20 },
  { bytes: 5 * KIB, weight: 20 },
  { bytes: 10 * KIB, weight: 25 },
  { bytes: 25 * KIB, weight: 20 },
  { bytes: 50 * KIB, weight: 10 },
  { bytes: 100 * KIB, weight: 4 },
  { bytes: 500 * KIB, weight: 1 },
];

/** Everything but the target and the end: ten thousand messages of 1 KiB over 40 connections. */
export const DEFAULT_LOAD: Omit<LoadOptions, "target"> = {
  concurrency: 40,
  warmup: 0,
  hold: false,
  count: 10_000,
  durationMs: null,
  ratePerSecond: null,
  sizes: [{ bytes: KIB, weight: 1 }],
  domains: [{ name: "example.com", weight: 1 }],
  pipelining: true,
  tls: { mode: "off", verify: false, name: "" },
  messagesPerConnection: null,
  headers: [],
  times: null,
  helo: "generator.invalid",
  sender: "load@generator.invalid",
  timeoutMs: 60_000,
  giveUpMs: 5_000,
  seed: 1,
};
