import { createHmac } from "node:crypto";
import type { Capabilities } from "./client-capabilities.js";
import type { Answer } from "./client-result.js";
import type { PeerReply } from "./reply-reader.js";

/** Who we are to a peer that asks for it (RFC 4954), and where that may be said. */
export interface ClientAuth {
  readonly username: string;
  /** Why we cannot say who we are, though it is configured: no message goes to the peer then. Null when we can. */
  readonly problem: string | null;
  readonly password: string | null;
  /** An access token for XOAUTH2; null for none. */
  readonly token: string | null;
  /** May be said in clear. */
  readonly withoutTls: boolean;
  /** May be said to a peer whose certificate proves nothing. */
  readonly withoutValidCertificate: boolean;
}

/** What the connection is worth: clear, or TLS with what its certificate lacks (null when it lacks nothing). */
export type Protection = { readonly kind: "clear" } | { readonly kind: "tls"; readonly unverified: string | null };

/** How the dialogue goes on after a reply. */
export type AuthStep = "issue" | "done" | "broken";

type Mechanism = "XOAUTH2" | "CRAM-MD5" | "PLAIN" | "LOGIN";

/** Longest command line with its end (RFC 5321 §4.5.3.1.4); a longer initial response waits for the peer's 334. */
const MAX_COMMAND_BYTES = 512;
/** Longest challenge that is answered; replies are bounded before. */
const MAX_CHALLENGE_CHARS = 12_288;

/**
 * The dialogue of AUTH (RFC 4954): one mechanism is chosen from those offered, and its lines are written one at a time.
 *
 * Runs on: a worker, one per opening that authenticates.
 * Owns: where the dialogue stands. It holds secrets: nothing of them is in what it reports.
 * When full: a challenge that cannot be right is answered with `*`, which ends the dialogue (RFC 4954 §4).
 * On failure: the peer's reply is the answer, or `broken` with a refusal of our own.
 */
export class AuthDialogue {
  readonly #auth: ClientAuth;
  readonly #mechanism: Mechanism;
  /** What is written next, without its line end. */
  #next: string;
  /** Challenges answered. */
  #answered = 0;
  #cancelled = false;

  private constructor(auth: ClientAuth, mechanism: Mechanism) {
    this.#auth = auth;
    this.#mechanism = mechanism;
    const command = `AUTH ${mechanism}`;
    const initial = this.#initial();
    // Some peers want the first word of LOGIN asked for, and all take it so.
    const whole = initial === null ? command : `${command} ${initial}`;
    this.#next = Buffer.byteLength(whole) + 2 <= MAX_COMMAND_BYTES ? whole : command;
    if (this.#next !== command) this.#answered = 1;
  }

  /** Begins, or says why nothing may be said to this peer. */
  static begin(auth: ClientAuth, peer: Capabilities, protection: Protection): AuthDialogue | Answer {
    const reason = auth.problem ?? guard(auth, protection);
    if (reason !== null) return refusal(reason);
    const offered = peer.keywords.get("AUTH");
    if (offered === undefined) return refusal("a username is configured, but the server does not offer AUTH");
    const words = new Set(offered.toUpperCase().split(/\s+/));
    const able: Mechanism[] = auth.token === null ? [] : ["XOAUTH2"];
    // In clear the password itself stays at home when the server can do without.
    if (auth.password !== null) able.push(...(protection.kind === "clear" ? CLEAR_ORDER : SECURE_ORDER));
    const mechanism = able.find((one) => words.has(one));
    if (mechanism !== undefined) return new AuthDialogue(auth, mechanism);
    return refusal(
      `the server offers AUTH ${offered.slice(0, 100)}, and we can do ${able.join(", ")} with what is configured`,
    );
  }

  /** The command that the peer answers, as records show it. */
  get command(): string {
    return `AUTH ${this.#mechanism}`;
  }

  /** The line to write, without its end. */
  get line(): string {
    return this.#next;
  }

  /** Takes a reply. */
  take(reply: PeerReply): AuthStep {
    if (reply.code === 235 && !this.#cancelled) return "done";
    if (reply.code !== 334 || this.#cancelled) return "broken";
    const response = reply.content.length > MAX_CHALLENGE_CHARS ? null : this.#respond(reply.content.trim());
    this.#answered++;
    this.#cancelled = response === null;
    this.#next = response ?? "*";
    return "issue";
  }

  #initial(): string | null {
    const { username, password, token } = this.#auth;
    switch (this.#mechanism) {
      case "PLAIN":
        return base64(`\0${username}\0${password ?? ""}`);
      case "XOAUTH2":
        return base64(`user=${username}\x01auth=Bearer ${token ?? ""}\x01\x01`);
      default:
        return null;
    }
  }

  /** What is said to a challenge; null when there is nothing to say to it. */
  #respond(challenge: string): string | null {
    const { username, password } = this.#auth;
    switch (this.#mechanism) {
      case "PLAIN":
        return this.#answered === 0 ? this.#initial() : null;
      case "XOAUTH2":
        // After the token comes a challenge only to tell what is wrong with it: an empty line, and the 535 follows.
        return this.#answered === 0 ? this.#initial() : this.#answered === 1 ? "" : null;
      case "LOGIN":
        return this.#answered === 0 ? base64(username) : this.#answered === 1 ? base64(password ?? "") : null;
      case "CRAM-MD5": {
        const asked = this.#answered === 0 ? fromBase64(challenge) : null;
        if (asked === null) return null;
        return base64(
          `${username} ${createHmac("md5", password ?? "")
            .update(asked)
            .digest("hex")}`,
        );
      }
    }
  }
}

const SECURE_ORDER: readonly Mechanism[] = ["PLAIN", "LOGIN", "CRAM-MD5"];
const CLEAR_ORDER: readonly Mechanism[] = ["CRAM-MD5", "PLAIN", "LOGIN"];

/** Why a secret may not be said on this connection; null when it may. */
function guard(auth: ClientAuth, protection: Protection): string | null {
  if (auth.withoutTls) return null;
  if (protection.kind === "clear")
    return "a username is configured, but without TLS it is not said (allow_smtp_auth_plain_without_tls)";
  if (protection.unverified === null || auth.withoutValidCertificate) return null;
  return `a username is configured, but it is not said to a server whose certificate is not proved: ${protection.unverified} (allow_smtp_auth_plain_without_valid_certificate)`;
}

/** RFC 4954 §6: 454 4.7.0, a failure for now. */
function refusal(text: string): Answer {
  return { kind: "refused", code: 454, enhanced: [4, 7, 0], text };
}

function base64(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}

/** Null for what is no base64 (RFC 4648 §4). */
function fromBase64(text: string): Buffer | null {
  if (text === "" || !/^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)) return null;
  return Buffer.from(text, "base64");
}
