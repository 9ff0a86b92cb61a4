/**
 * How TLS went on the connections of one session, until it is known for whom: the domain of the next message.
 *
 * Runs on   a worker, one per session
 * Owns      the notes of connections since the last message
 * When full a plan has few addresses; what is beyond is not noted
 * On failure nothing can fail
 */
import type { TlsOutcome } from "../../../protocol/tls-policy.js";
import type { StepResult } from "../../../smtp/client-result.js";
import type { LineSecurity } from "./desk.js";
import type { TlsFacts } from "./handshake.js";
import { NOT_OFFERED, type TlsFailure } from "./tls-failure.js";

/** Twice as many as a plan has addresses: each may be tried twice. */
const MAX_NOTES = 40;

type Note = Omit<TlsOutcome, "domain">;

/** See the file's header. */
export class SessionNotes {
  #notes: Note[] = [];

  /** A connection was greeted, over TLS or in clear. */
  reached(security: LineSecurity, tls: TlsFacts | null, sendingIp: string | null): void {
    security.reached(tls);
    if (tls !== null) this.#add(security, tls.lacks, sendingIp, true);
    // In clear by our own choice says nothing of the host.
    else if (security.demand.startTls !== "never") this.#add(security, NOT_OFFERED, sendingIp);
  }

  /** A connection could not be used, because of TLS or not. */
  failed(security: LineSecurity, { stage, answer }: StepResult, sendingIp: string | null): void {
    if (answer.kind === "tls") this.#add(security, answer, sendingIp);
    // What our own settings make impossible is no news for the domain.
    else if (answer.kind === "refused") return;
    else if (stage === "starttls" || stage === "handshake") this.#add(security, UNFINISHED, sendingIp);
  }

  /** What was noted, for a message's domain. */
  take(domain: string): readonly TlsOutcome[] {
    if (this.#notes.length === 0) return NOTHING;
    const notes = this.#notes;
    this.#notes = [];
    return notes.map((note) => ({ ...note, domain }));
  }

  #add({ target, path }: LineSecurity, lacks: TlsFailure | null, sendingIp: string | null, wasSecured = false): void {
    if (this.#notes.length >= MAX_NOTES) return;
    const dane = target.dane.kind;
    const policy = dane !== "none" ? "tlsa" : path.sts === "none" ? "no-policy-found" : "sts";
    // Without a policy nobody asked the certificate to be good; records that cannot be used are what is wrong then.
    const unasked = dane === "unusable" ? UNUSABLE : policy === "no-policy-found" ? null : lacks;
    const counted = wasSecured ? unasked : lacks;
    const where = { mxHost: target.name, sendingIp, receivingIp: target.address };
    this.#notes.push({ policy, result: counted?.result ?? "success", detail: counted?.reason ?? "", ...where });
  }
}

const NOTHING: readonly TlsOutcome[] = [];
const UNUSABLE: TlsFailure = { result: "tlsa-invalid", reason: "none of the TLSA records of this host can be used" };
const UNFINISHED: TlsFailure = { result: "validation-failure", reason: "TLS did not come about" };
