import { AuthDialogue, type ClientAuth, type Protection } from "./client-auth.js";
import { type Capabilities, NO_CAPABILITIES, parseCapabilities } from "./client-capabilities.js";
import type { ClientHost, OpeningPhase } from "./client-host.js";
import type { Answer } from "./client-result.js";
import type { PeerReply } from "./reply-reader.js";

/** What is to be done after a reply of the opening. */
export type OpeningStep =
  /** Write the phase's command. */
  | "issue"
  /** The peer awaits the TLS handshake. */
  | "handshake"
  /** The peer is greeted. */
  | "ready"
  /** The session ends because of this reply. */
  | "broken"
  /** The session ends by our own decision: `refusal` says why. */
  | "refused";

/** What is demanded of a peer before it gets a message. */
export interface OpeningDemand {
  /** STARTTLS is used never, where it is offered, or always: a peer without it gets nothing. */
  readonly startTls: "never" | "offered" | "required";
  /** A peer that offers STARTTLS and then refuses it is greeted again and served in clear. */
  readonly clearWhenRefused: boolean;
  /** Null for a peer that is not told who we are. */
  readonly auth: ClientAuth | null;
}

/** Nothing is demanded, and TLS not used. */
export const NO_DEMAND: OpeningDemand = { startTls: "never", clearWhenRefused: false, auth: null };

/**
 * The opening of a client session: from the peer's banner until it is greeted and has said what it offers, over TLS and
 * knowing who we are where that is demanded.
 *
 * Runs on: a worker, one per client machine.
 * Owns: where the opening stands, and what the peer offered: over TLS nothing that was said before holds (RFC 3207 §4.2).
 * When full: replies are bounded by their reader; nothing else is kept.
 * On failure: a reply that cannot be gone on from is `broken`; what that means is for the machine to say.
 *
 *     banner ─▶ ehlo ─▶ (starttls ─▶ handshake ─▶ ehlo) ─▶ (auth) ─▶ ready
 *                 └──▶ (helo) ────────────────────────────────┘
 */
export class Opening {
  readonly #ehloDomain: string;
  readonly #demand: OpeningDemand;
  readonly #lmtp: boolean;
  #phase: OpeningPhase = "banner";
  #peer: Capabilities = NO_CAPABILITIES;
  #protection: Protection = { kind: "clear" };
  /** STARTTLS was refused, and clear is good enough. */
  #stayClear = false;
  #auth: AuthDialogue | null = null;
  #refusal: Answer = { kind: "closed" };

  /** @param lmtp the greeting is LHLO, and there is no other one (RFC 2033 §4.1). */
  constructor(ehloDomain: string, lmtp: boolean, demand: OpeningDemand) {
    this.#ehloDomain = ehloDomain;
    this.#lmtp = lmtp;
    this.#demand = demand;
  }

  /** The reply that is waited for, or the handshake. */
  get phase(): OpeningPhase {
    return this.#phase;
  }

  /** What the peer offers; nothing before it is greeted, or when it knows no EHLO. */
  get peer(): Capabilities {
    return this.#peer;
  }

  /** Why we refused; only after `refused`. */
  get refusal(): Answer {
    return this.#refusal;
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
          return this.#greeted();
        }
        // RFC 5321 §3.2: a server that knows no EHLO says 5xx; then it is greeted the old way and offers nothing.
        if (reply.code < 500 || this.#lmtp || this.#protection.kind === "tls") return "broken";
        this.#phase = "helo";
        return "issue";
      case "starttls":
        if (reply.code === 220) {
          this.#phase = "handshake";
          return "handshake";
        }
        if (!this.#demand.clearWhenRefused || reply.code === 421) return "broken";
        this.#stayClear = true;
        return this.#greetAgain();
      case "auth":
        return this.#onAuth(reply);
      default:
        return good ? this.#greeted() : "broken";
    }
  }

  /**
   * The handshake has ended well: everything begins again.
   * @param unverified what the peer's certificate lacks to prove who it is; null when it lacks nothing.
   */
  secured(unverified: string | null): void {
    this.#protection = { kind: "tls", unverified };
    this.#greetAgain();
  }

  /** Writes the command of the phase. */
  issue(host: ClientHost): void {
    host.write(`${this.#phase === "auth" ? (this.#auth?.line ?? "") : this.commandAt(this.#phase)}\r\n`);
  }

  /** The command that the peer answers at `phase`, without what is secret; null for those that answer none. */
  commandAt(phase: OpeningPhase): string | null {
    switch (phase) {
      case "banner":
      case "handshake":
        return null;
      case "starttls":
        return "STARTTLS";
      case "auth":
        return this.#auth?.command ?? "AUTH";
      default:
        return `${this.#lmtp ? "LHLO" : phase.toUpperCase()} ${this.#ehloDomain}`;
    }
  }

  #greetAgain(): OpeningStep {
    this.#peer = NO_CAPABILITIES;
    this.#phase = "ehlo";
    return "issue";
  }

  #greeted(): OpeningStep {
    const { startTls, auth } = this.#demand;
    if (this.#protection.kind === "clear" && startTls !== "never" && !this.#stayClear) {
      const offered = this.#peer.keywords.has("STARTTLS");
      if (offered || startTls === "required") this.#phase = "starttls";
      if (offered) return "issue";
      if (startTls === "required") return this.#refuse(NOT_OFFERED);
    }
    if (auth === null) return "ready";
    this.#phase = "auth";
    const begun = AuthDialogue.begin(auth, this.#peer, this.#protection);
    if (!(begun instanceof AuthDialogue)) return this.#refuse(begun);
    this.#auth = begun;
    return "issue";
  }

  #onAuth(reply: PeerReply): OpeningStep {
    const step = this.#auth?.take(reply) ?? "broken";
    return step === "done" ? "ready" : step;
  }

  #refuse(answer: Answer): OpeningStep {
    this.#refusal = answer;
    return "refused";
  }
}

const NOT_OFFERED: Answer = {
  kind: "tls",
  result: "starttls-not-supported",
  reason: "TLS is required, and the server does not offer STARTTLS",
};
