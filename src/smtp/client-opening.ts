import { type Capabilities, NO_CAPABILITIES, parseCapabilities } from "./client-capabilities.js";
import type { ClientHost, OpeningPhase } from "./client-host.js";
import type { PeerReply } from "./reply-reader.js";

/** What is to be done after a reply of the opening. */
export type OpeningStep =
  /** Write the phase's command. */
  | "issue"
  /** The peer is greeted. */
  | "ready"
  /** The session ends because of this reply. */
  | "broken";

/**
 * The opening of a client session: from the peer's banner until it is greeted and has said what it offers.
 *
 * Runs on: a worker, one per client machine.
 * Owns: where the opening stands, and what the peer offered.
 * When full: replies are bounded by their reader; nothing else is kept.
 * On failure: a reply that cannot be gone on from is `broken`; what that means is for the machine to say.
 *
 *     banner ─▶ ehlo ─▶ (helo) ─▶ ready
 */
export class Opening {
  readonly #ehloDomain: string;
  #phase: OpeningPhase = "banner";
  #peer: Capabilities = NO_CAPABILITIES;

  constructor(ehloDomain: string) {
    this.#ehloDomain = ehloDomain;
  }

  /** The reply that is waited for. */
  get phase(): OpeningPhase {
    return this.#phase;
  }

  /** What the peer offers; nothing before it is greeted, or when it knows no EHLO. */
  get peer(): Capabilities {
    return this.#peer;
  }

  /** Takes a reply: moves to the next phase and says what is to be done there. */
  take(reply: PeerReply): OpeningStep {
    const good = reply.code < 300;
    switch (this.#phase) {
      case "banner":
        if (reply.code !== 220) return "broken";
        this.#phase = "ehlo";
        return "issue";
      case "ehlo":
        if (good) {
          this.#peer = parseCapabilities(reply.lines);
          return "ready";
        }
        // RFC 5321 §3.2: a server that knows no EHLO says 5xx; then it is greeted the old way and offers nothing.
        if (reply.code < 500) return "broken";
        this.#phase = "helo";
        return "issue";
      default:
        return good ? "ready" : "broken";
    }
  }

  /** Writes the command of the phase. */
  issue(host: ClientHost): void {
    host.write(`${this.commandAt(this.#phase)}\r\n`);
  }

  /** The command that the peer answers at `phase`; null for the banner, which answers none. */
  commandAt(phase: OpeningPhase): string | null {
    return phase === "banner" ? null : `${phase.toUpperCase()} ${this.#ehloDomain}`;
  }
}
