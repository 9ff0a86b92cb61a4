/** A delivery session as the worker that holds it sees it at one moment, for somebody who asks. */
export interface SessionView {
  readonly id: number;
  /** What it waits for: `planning`, `connecting`, `banner`, `mailFrom`, `ready` … */
  readonly phase: string;
  /** How long it has been in that phase, ms; known to a quarter of a second. */
  readonly phaseMs: number;
  /** How long ago it last moved at all, ms; as exact. */
  readonly quietMs: number;
  /** As in log records. */
  readonly logId: string;
  /** The host that it is connected to or tries; null before the first. */
  readonly host: string | null;
  /** Its numeric address, or the path of its unix socket. */
  readonly address: string | null;
  /** 0 for a unix socket. */
  readonly port: number;
  /** Protocol and cipher; null in clear. */
  readonly tls: { readonly version: string; readonly cipher: string } | null;
  /** Transactions begun, and recipients for whom the peer has taken a message. */
  readonly transactions: number;
  readonly delivered: number;
  /** Messages in its hand. */
  readonly inHand: number;
  /** Our address on the connection; null before it stands. */
  readonly localAddress: string | null;
  /** The proxy that it goes through, `socks5 192.0.2.7:1080`; null for none. */
  readonly proxy: string | null;
}

/** Sessions that an answer tells of at most. */
export const MAX_SESSION_VIEWS = 1000;
