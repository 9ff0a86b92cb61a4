import type { SmtpListenerConfig } from "../config/compiled.js";
import { type ScanContent, scanContent } from "../native/content-scan.js";
import type { ReceivedContent } from "./content.js";
import type { DecoderLimits } from "./dot-decoder.js";
import { formatLines, printableAscii, type Reply } from "./reply.js";
import { TOO_MANY_HOPS } from "./server-replies.js";

/** Protocol errors in a row (not refusals by policy, not full messages) after which a session is ended with 421. */
export const MAX_ERRORS_IN_ROW = 50;
/** Largest buffer taken on the word of SIZE alone. */
export const MAX_EXPECTED_OCTETS = 256 * 1024;
/** First octet of a TLS record: somebody who expects TLS from the start. */
export const TLS_HANDSHAKE = 0x16;
/** A doomed message is read to its end, up to this many times the size limit, and at least {@link MIN_DRAIN_OCTETS}. */
const DRAIN_FACTOR = 4;
const MIN_DRAIN_OCTETS = 64 * 1024 * 1024;

/** What a listener's sessions have in common; the listener's configuration has all of it but the last two. */
export interface ServerOptions
  extends Pick<
    SmtpListenerConfig,
    | "hostname"
    | "banner"
    | "maxMessagesPerConnection"
    | "maxRecipientsPerMessage"
    | "maxMessageSize"
    | "lineLengthHardLimit"
    | "invalidLineEndings"
    | "maxHops"
  > {
  /** Counts the hops in a message's header section, `buffer[start, end)`: `mail/headers.ts`. */
  readonly countHops: (buffer: Buffer, start: number, end: number) => number;
  /**
   * Whether input that arrives in one piece with EHLO, HELO or DATA, behind it, ends the session with 554: RFC 2920 §3.1 has
   * those last in their group, and whoever goes on without the answer is not talking to us. Default true.
   */
  readonly enforceGroups?: boolean;
  /** How content is scanned: the native side's way. Default: the script's. */
  readonly scan?: ScanContent;
}

/** One listener's options with everything made of them that every session would make again. One per listener and thread. */
export class ServerSettings {
  readonly greeting: string;
  /** The whole answer to EHLO. */
  readonly ehlo: string;
  readonly helo: string;
  readonly maxMessages: number;
  readonly maxRecipients: number;
  /** 0 for no limit. */
  readonly maxOctets: number;
  readonly maxDrainOctets: number;
  readonly decoder: DecoderLimits;
  readonly enforceGroups: boolean;
  readonly #maxHops: number;
  readonly #countHops: (buffer: Buffer, start: number, end: number) => number;

  constructor(options: ServerOptions) {
    const hostname = printableAscii(options.hostname).slice(0, 255);
    this.greeting = `220 ${hostname} ${printableAscii(options.banner).slice(0, 200)}\r\n`;
    this.ehlo = formatLines(250, [
      hostname,
      "PIPELINING",
      `SIZE ${options.maxMessageSize}`,
      "8BITMIME",
      "SMTPUTF8",
      "ENHANCEDSTATUSCODES",
    ]);
    this.helo = `250 ${hostname}\r\n`;
    this.maxMessages = options.maxMessagesPerConnection;
    this.maxRecipients = options.maxRecipientsPerMessage;
    this.maxOctets = options.maxMessageSize;
    this.#maxHops = options.maxHops;
    this.maxDrainOctets = Math.max(MIN_DRAIN_OCTETS, DRAIN_FACTOR * options.maxMessageSize);
    this.decoder = {
      maxOctets: options.maxMessageSize,
      maxLineOctets: options.lineLengthHardLimit,
      denyBare: options.invalidLineEndings === "Deny",
      scan: options.scan ?? scanContent,
    };
    this.enforceGroups = options.enforceGroups ?? true;
    this.#countHops = options.countHops;
  }

  /** The refusal for a message that has made too many hops, or null. */
  loopRefusal(content: ReceivedContent): Reply | null {
    const hops = this.#countHops(content.buffer, content.start, content.end);
    return hops > this.#maxHops ? TOO_MANY_HOPS : null;
  }
}
