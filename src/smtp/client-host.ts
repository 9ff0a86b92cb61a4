import { unreachable } from "../base/assert.js";
import type { PathConfig } from "../config/compiled.js";
import type { OpeningDemand } from "./client-opening.js";
import type { SessionEnd, StepResult, TransactionResult } from "./client-result.js";

/** The settings of an egress path that the client machine follows. */
export type ClientPath = Pick<
  PathConfig,
  | "enablePipelining"
  | "enableRset"
  | "maxBdatSize"
  | "ignore8bitChecks"
  | "useLmtp"
  | "bannerTimeoutMs"
  | "ehloTimeoutMs"
  | "starttlsTimeoutMs"
  | "authTimeoutMs"
  | "mailFromTimeoutMs"
  | "rcptToTimeoutMs"
  | "dataTimeoutMs"
  | "dataDotTimeoutMs"
  | "rsetTimeoutMs"
>;

/** What a client machine is told when it is made. */
export interface ClientOptions {
  /** Argument of EHLO and HELO: a domain name or an address literal, checked with the configuration. */
  readonly ehloDomain: string;
  readonly path: ClientPath;
  readonly demand: OpeningDemand;
}

/**
 * Who owns a client machine: the connection's keeper. The machine's callbacks come from inside `feed`, `send`, `quit`,
 * `timedOut`, `peerEnded` and `transportFailed`. Exactly one of `onFailed` and `onClosing` is called, last of all; the
 * owner then closes the connection, letting out first what is still queued (a QUIT, if any).
 */
export interface ClientHost {
  /** Text of ASCII characters for the peer. Many small writes of one turn should leave together. */
  write(text: string): void;
  /** Bytes for the peer. Message content comes by reference and must not change until it has left. */
  writeBytes(bytes: Uint8Array): void;
  /**
   * The peer awaits the TLS handshake: begin it, and call `secured` or `handshakeFailed`. Nothing may be fed that came
   * from outside of it.
   */
  onStartTls(): void;
  /** Greeted; `send` may be called from now on, also from inside this callback. */
  onReady(): void;
  /** This host cannot be used: it said no, nothing, or nonsense, before any message was given. */
  onFailed(failure: StepResult): void;
  /** What became of the message. When `result.end` is null, `send` may be called again, also from inside. */
  onResult(result: TransactionResult): void;
  /** The session is over and no message is in hand. */
  onClosing(end: SessionEnd): void;
}

/** What a session waits for: a reply to the command of that name, the next message, or nothing ever again. */
export type ClientPhase = OpeningPhase | "ready" | TransactionPhase | "quit" | "closed";

/** Phases before the peer is greeted. */
export type OpeningPhase = "banner" | "ehlo" | "helo" | "starttls" | "handshake" | "auth";

/** Phases with a message in hand. */
export type TransactionPhase = "rset" | "mailFrom" | "rcptTo" | "data" | "dataDot" | "bdat";

/** How long a wait may last, in ms, by the path's settings; Infinity when nothing is waited for. */
export function deadlineOf(phase: ClientPhase, path: ClientPath): number {
  switch (phase) {
    case "banner":
      return path.bannerTimeoutMs;
    case "ehlo":
    case "helo":
      return path.ehloTimeoutMs;
    case "starttls":
    case "handshake":
      return path.starttlsTimeoutMs;
    case "auth":
      return path.authTimeoutMs;
    case "mailFrom":
      return path.mailFromTimeoutMs;
    case "rcptTo":
      return path.rcptToTimeoutMs;
    case "data":
      return path.dataTimeoutMs;
    case "dataDot":
    case "bdat":
      return path.dataDotTimeoutMs;
    case "rset":
    case "quit":
      return path.rsetTimeoutMs;
    case "ready":
    case "closed":
      return Number.POSITIVE_INFINITY;
    default:
      return unreachable(phase);
  }
}
