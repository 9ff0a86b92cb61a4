/**
 * STARTTLS and AUTH of one session of the sink, well-behaved or not, as its profile says.
 *
 * Runs on   the sink's thread
 * Owns      whether the session is secured and authenticated, and the dialogue of AUTH under way
 * When full an AUTH dialogue has at most two responses
 * On failure whatever a client sends is answered
 */
import { createHmac } from "node:crypto";
import { Reply } from "../smtp/reply.js";
import { NOT_OFFERED } from "../smtp/server-replies.js";
import type { SinkProfile } from "./options.js";

const READY = new Reply(220, [2, 0, 0], "Ready to start TLS");
const NO_TLS = new Reply(454, [4, 7, 0], "TLS not available");
const TLS_FIRST = new Reply(530, [5, 7, 0], "Must issue STARTTLS first");
const AUTH_FIRST = new Reply(530, [5, 7, 0], "Authentication required");
const AUTH_OK = new Reply(235, [2, 7, 0], "Authentication successful");
const AUTH_BAD = new Reply(535, [5, 7, 8], "Authentication credentials invalid");
const AUTH_TWICE = new Reply(503, [5, 5, 1], "Already authenticated");
const AUTH_CANCELLED = new Reply(501, [5, 0, 0], "Authentication cancelled");
const AUTH_UNKNOWN = new Reply(504, [5, 5, 4], "Mechanism not offered");

/** See the file's header. */
export class SinkSecurity {
  /** STARTTLS was answered 220, and the handshake comes next. */
  wantsTls = false;
  isSecured = false;
  readonly #profile: SinkProfile;
  #authenticated = false;
  /** The mechanism of the dialogue under way. */
  #mechanism = "";
  #responses: string[] = [];
  #challenge = "";

  constructor(profile: SinkProfile) {
    this.#profile = profile;
  }

  /** Whether the next line is a response of AUTH. */
  get inAuth(): boolean {
    return this.#mechanism !== "";
  }

  /** What EHLO offers beyond the rest. */
  offers(): readonly string[] {
    const { tls, auth } = this.#profile;
    const offers: string[] = [];
    if (tls !== null && !this.isSecured) offers.push("STARTTLS");
    if (auth !== null && (this.isSecured || auth.inClear)) offers.push(`AUTH ${auth.mechanisms.join(" ")}`);
    return offers;
  }

  /** Why MAIL is not taken; null when it is. */
  mailRefusal(): Reply | null {
    const { tls, auth } = this.#profile;
    if (tls?.mode === "required" && !this.isSecured) return TLS_FIRST;
    return auth?.required === true && !this.#authenticated ? AUTH_FIRST : null;
  }

  /** Answers STARTTLS, AUTH and whatever else is not offered. */
  command(line: string): Reply {
    const { tls, auth } = this.#profile;
    const [verb = "", mechanism = "", initial] = line.trim().split(/ +/);
    if (verb.toUpperCase() === "STARTTLS" && tls !== null && !this.isSecured) {
      if (tls.fault === "refuse") return NO_TLS;
      this.wantsTls = true;
      return READY;
    }
    if (verb.toUpperCase() !== "AUTH" || auth === null || (!this.isSecured && !auth.inClear)) return NOT_OFFERED;
    if (this.#authenticated) return AUTH_TWICE;
    if (!auth.mechanisms.includes(mechanism.toUpperCase())) return AUTH_UNKNOWN;
    this.#mechanism = mechanism.toUpperCase();
    this.#responses = [];
    return initial === undefined ? this.#ask() : this.respond(initial);
  }

  /** Takes a response of AUTH. */
  respond(line: string): Reply {
    if (line === "*") return this.#end(AUTH_CANCELLED);
    this.#responses.push(Buffer.from(line, "base64").toString("utf8"));
    const { auth } = this.#profile;
    const [first = "", second] = this.#responses;
    switch (this.#mechanism) {
      case "PLAIN":
        return this.#end(first === `\0${auth?.username}\0${auth?.password}` ? AUTH_OK : AUTH_BAD);
      case "LOGIN":
        if (second === undefined) return this.#ask();
        return this.#end(first === auth?.username && second === auth.password ? AUTH_OK : AUTH_BAD);
      case "CRAM-MD5": {
        const digest = createHmac("md5", auth?.password ?? "")
          .update(this.#challenge)
          .digest("hex");
        return this.#end(first === `${auth?.username} ${digest}` ? AUTH_OK : AUTH_BAD);
      }
      default:
        if (first === `user=${auth?.username}\x01auth=Bearer ${auth?.password}\x01\x01`) return this.#end(AUTH_OK);
        if (second !== undefined) return this.#end(AUTH_BAD);
        return new Reply(334, null, Buffer.from('{"status":"401"}').toString("base64"));
    }
  }

  /** Nothing that was said before counts. */
  secured(): void {
    this.isSecured = true;
    this.wantsTls = false;
    this.#authenticated = false;
  }

  #ask(): Reply {
    this.#challenge =
      this.#mechanism === "CRAM-MD5"
        ? `<${Date.now()}@${this.#profile.hostname}>`
        : this.#mechanism === "LOGIN"
          ? (["Username:", "Password:"][this.#responses.length] ?? "")
          : "";
    return new Reply(334, null, Buffer.from(this.#challenge).toString("base64"));
  }

  #end(reply: Reply): Reply {
    this.#mechanism = "";
    this.#authenticated = reply === AUTH_OK;
    return reply;
  }
}
