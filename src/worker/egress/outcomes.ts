/**
 * What is written down about a message that a session had: its record, what the scheduler hears, its way out of the spool.
 *
 * Runs on   a worker
 * Owns      nothing; it passes on what it is told at once
 * When full the journal and the reports bound what waits there
 * On failure a message that cannot be read has an outcome too; nothing is thrown
 */
import { assert, unreachable } from "../../base/assert.js";
import { FailureClass, OutcomeFlag, OutcomeKind } from "../../protocol/layout/frames.js";
import { createdMs, messageId } from "../../protocol/message-id.js";
import { Counter } from "../../protocol/metrics.js";
import type { DelayReason, ResponseText } from "../../protocol/records.js";
import type { TlsOutcome } from "../../protocol/tls-policy.js";
import type { AttemptFacts, MessageFacts, MessageRecordKind } from "../events/record.js";
import type { SpooledMessage, Unreadable } from "../spool/envelope.js";
import { serverName, unreachableFlags } from "./cause.js";
import type { EgressParts } from "./egress-parts.js";
import type { Assigned } from "./in-hand.js";
import type { EgressSession } from "./session.js";
import type { SettledEnd } from "./session-host.js";
import type { Fate } from "./verdict.js";

/** See the file's header. */
export class Outcomes {
  readonly #parts: EgressParts;
  readonly #tlsOutcome: (outcome: TlsOutcome) => void;

  /** @param tlsOutcome takes notes of how TLS went, for the reports that domains ask for. */
  constructor(parts: EgressParts, tlsOutcome: (outcome: TlsOutcome) => void) {
    this.#parts = parts;
    this.#tlsOutcome = tlsOutcome;
  }

  /** A message that a session had has its fate. */
  settle(session: EgressSession, assigned: Assigned, fate: Fate, end: SettledEnd): void {
    let flags = end === "ended" || end === "unreachable" ? OutcomeFlag.sessionEnded : 0;
    const isUnreached = end === "unreachable" || end === "unreached";
    const { loaded } = assigned;
    assigned.loaded = null;
    if (fate.kind !== "delivered" && fate.kind !== "bounced") this.#parts.inHand(assigned.shard, assigned.key, false);
    if (fate.kind === "returned") {
      this.#parts.outcome(assigned.row, session.id, OutcomeKind.returned, flags, 0);
      return;
    }
    // A session that could not connect has not read its message yet.
    const message = loaded ?? this.#parts.read(assigned.shard, assigned.key, null);
    if (message.kind !== "message") {
      if (isUnreached) flags |= this.#unreachable(session);
      this.unreadable(session, assigned, message, flags);
      return;
    }
    const { recipient } = message.envelope;
    for (const tls of session.tlsNotes.take(recipient.slice(recipient.lastIndexOf("@") + 1))) this.#tlsOutcome(tls);
    switch (fate.kind) {
      case "delivered":
        this.#count(Counter.delivered, 1);
        this.#count(Counter.bytesSent, message.content.length);
        this.#record(session, assigned, message, "Delivery", fate.response, null);
        this.#finish(session, assigned, OutcomeKind.delivered, fate.response.code, flags);
        break;
      case "bounced":
        this.#count(Counter.failures, 1);
        this.#record(session, assigned, message, "Bounce", fate.response, fate.reason ?? null);
        this.#finish(session, assigned, OutcomeKind.bounced, fate.response.code, flags);
        break;
      case "transient":
      case "next-host":
      case "again":
      case "by-data": {
        this.#count(Counter.transientFailures, 1);
        if (isUnreached) flags |= this.#unreachable(session);
        const reason = (fate.kind === "transient" ? fate.reason : undefined) ?? "LoggedTransientFailure";
        this.#record(session, assigned, message, "TransientFailure", fate.response, reason);
        this.#parts.outcome(assigned.row, session.id, OutcomeKind.transient, flags, fate.response.code);
        break;
      }
      case "stuck":
        this.#record(session, assigned, message, "Delayed", fate.response, "DispatcherDrop");
        this.#parts.outcome(assigned.row, session.id, OutcomeKind.returned, flags | OutcomeFlag.later, 451);
        break;
      default:
        unreachable(fate);
    }
    // Only what has certainly left, by the peer's own word: a socket that still holds it would send another's bytes.
    if (loaded !== null && session.line.outputGone) loaded.hold?.drop();
  }

  /** A failure of a message that is tried on at once elsewhere. */
  failedOnce(session: EgressSession, assigned: Assigned, response: ResponseText): void {
    const { loaded } = assigned;
    assert(loaded !== null, "what was tried had been read");
    this.#record(session, assigned, loaded, "TransientFailure", response, "LoggedTransientFailure");
  }

  /** The last of a message, after its record: its outcome, and its way out of the spool. */
  #finish(session: EgressSession, assigned: Assigned, kind: OutcomeKind, code: number, flags: number): void {
    const { row, shard, key } = assigned;
    const own = this.#parts.owns(shard);
    if (own) this.#parts.remove(shard, key, row);
    this.#parts.outcome(row, session.id, kind, own ? flags | OutcomeFlag.removing : flags, code);
  }

  #record(
    session: EgressSession,
    assigned: Assigned,
    message: SpooledMessage,
    kind: MessageRecordKind,
    response: ResponseText,
    reason: DelayReason | null,
  ): void {
    const facts: MessageFacts = {
      id: messageId(this.#parts.node, assigned.shard, assigned.key),
      envelope: message.envelope,
      size: message.content.length,
      createdMs: createdMs(assigned.key),
      numAttempts: assigned.attempts,
    };
    this.#parts.log(kind, facts, response, attemptOf(session), reason);
  }

  /** A message that its shard cannot give: gone, or damaged and moved to quarantine by its owner. */
  unreadable(session: EgressSession, assigned: Assigned, found: Unreadable, flags: number): void {
    const { row, shard, key } = assigned;
    // While the disk cannot be read nothing was tried. Otherwise its owner has the last word: this worker has said it when
    // the entry is its own, and for another's the scheduler asks.
    let kind = found.kind === "failed" ? OutcomeKind.returned : OutcomeKind.quarantined;
    if (kind === OutcomeKind.quarantined && !this.#parts.owns(shard)) kind = OutcomeKind.absent;
    else if (found.kind === "missing") this.#parts.lost(shard, key);
    if (kind === OutcomeKind.returned) this.#parts.inHand(shard, key, false);
    this.#parts.outcome(row, session.id, kind, flags, 0);
  }

  /** Counts a plan of which no address could be used; gives the outcome's flags. */
  #unreachable({ targets: { cause } }: EgressSession): number {
    if (cause === FailureClass.unplumbed || cause === FailureClass.proxyUnplumbed) this.#count(Counter.bindFailures, 1);
    else if (cause === FailureClass.proxyConnect) this.#count(Counter.proxyConnectionFailures, 1);
    return unreachableFlags(cause);
  }

  #count(counter: Counter, by: number): void {
    (this.#parts.counters[counter] as number) += by;
  }
}

function attemptOf(session: EgressSession): AttemptFacts {
  const { path, line } = session;
  const target = session.targets.current;
  const { tls } = line;
  const peer =
    target === null ? null : { name: target.name, addr: target.address ?? target.unix ?? "", isSecure: tls !== null };
  return {
    site: path.name,
    peer,
    egressPool: path.pool,
    egressSource: path.source,
    sourceAddress: line.localAddress ?? path.proxy?.sourceAddress ?? null,
    sourceProxy: path.proxy === null ? null : { server: serverName(path.proxy), protocol: path.proxy.protocol },
    deliveryProtocol: path.config.useLmtp ? "LMTP" : "ESMTP",
    tlsCipher: tls?.cipher ?? null,
    tlsProtocolVersion: tls?.version ?? null,
    tlsPeerSubjectName: tls === null || tls.subject.length === 0 ? null : tls.subject,
    providerName: path.config.providerName,
    sessionId: session.logId,
  };
}
