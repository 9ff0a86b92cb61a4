import type { DelayReason, RecordKind, ResponseText } from "../../protocol/records.js";
import type { Envelope, Reception } from "../spool/envelope.js";
import { jsonObject, jsonText, jsonTextOrNull } from "./json-text.js";

/** What a record says of its message. */
export interface MessageFacts {
  /** 32 hex digits, see `protocol/message-id.ts`. */
  readonly id: string;
  readonly envelope: Envelope;
  /** Bytes of the content. */
  readonly size: number;
  /** True wall clock at reception, ms; `createdMs(key)` serves. */
  readonly createdMs: number;
  /** Attempts before this one. */
  readonly numAttempts: number;
}

/** The host that a response came from. */
export interface PeerFacts {
  /** MX name, or the client's EHLO name. */
  readonly name: string;
  /** Numeric address. */
  readonly addr: string;
  readonly isSecure: boolean;
}

/** The proxy of a source, as a record names it. */
export interface SourceProxyFacts {
  /** `host:port` as configured. */
  readonly server: string;
  readonly protocol: "haproxy" | "socks5";
}

/** What a record says of the attempt, or of the path that could not be used. All of it may be absent. */
export interface AttemptFacts {
  /** Ready queue's name, "" when no path was involved. */
  readonly site: string;
  readonly peer: PeerFacts | null;
  readonly egressPool: string | null;
  readonly egressSource: string | null;
  /** Address that the connection left from: of this machine, or of the proxy's. */
  readonly sourceAddress: string | null;
  /** The proxy that the connection went through, or should have. */
  readonly sourceProxy: SourceProxyFacts | null;
  /** `ESMTP` and so on; null when nothing was tried. */
  readonly deliveryProtocol: string | null;
  readonly tlsCipher: string | null;
  readonly tlsProtocolVersion: string | null;
  readonly tlsPeerSubjectName: readonly string[] | null;
  readonly providerName: string | null;
  /** The delivering session's id. */
  readonly sessionId: string | null;
}

/** An attempt of which there is nothing to say. */
export const NO_ATTEMPT: AttemptFacts = {
  site: "",
  peer: null,
  egressPool: null,
  egressSource: null,
  sourceAddress: null,
  sourceProxy: null,
  deliveryProtocol: null,
  tlsCipher: null,
  tlsProtocolVersion: null,
  tlsPeerSubjectName: null,
  providerName: null,
  sessionId: null,
};

/** What a Rejection says: there is no message yet. */
export interface RejectionFacts {
  /** "" where the refusal came before MAIL. */
  readonly sender: string;
  /** "" where the refusal was not about a recipient. */
  readonly recipient: string;
  readonly response: ResponseText;
  readonly reception: Reception;
  /** Bytes of the content that was refused, 0 when none was sent. */
  readonly size: number;
}

/** Kinds that are about a message; a Rejection has a method of its own. */
export type MessageRecordKind = Exclude<RecordKind, "Rejection">;

/** Milliseconds as RFC 3339 in UTC; whole seconds are formatted once and kept. */
class TimeText {
  #second = -1;
  #text = "";

  of(ms: number): string {
    const second = Math.floor(ms / 1000);
    if (second !== this.#second) {
      this.#second = second;
      this.#text = new Date(second * 1000).toISOString().slice(0, 20);
    }
    const fraction = Math.floor(ms) - second * 1000;
    return fraction < 10
      ? `${this.#text}00${fraction}Z`
      : fraction < 100
        ? `${this.#text}0${fraction}Z`
        : `${this.#text}${fraction}Z`;
  }
}

/**
 * Builds log records: one JSON object per line, in the reference's fields, by joining text rather than by making objects
 * (bench/micro/log-line.ts shows the difference). A line has no line end; `LogFile.append` adds it.
 *
 * Rules of the fields: `recipient` is one text; `size` is true; `seq` numbers the node's records; `meta` is left out when
 * there is none; the `tls_*` fields, `provider_name`, `session_id` and `wait_reason` are left out when absent; everything
 * else is there, null where it says nothing.
 *
 * Runs on: any thread. Owns: the last formatted seconds. When full, on failure: cannot.
 */
export class RecordLines {
  /** The end of every line. */
  readonly #tail: string;
  readonly #eventTime = new TimeText();
  readonly #createdTime = new TimeText();

  /** @param nodeId the node's UUID. */
  constructor(nodeId: string) {
    this.#tail = `,"nodeid":${jsonText(nodeId)}}`;
  }

  /** Accepted: `response` is what the client was told. */
  reception(seq: bigint, nowMs: number, message: MessageFacts, response: ResponseText): string {
    return this.message("Reception", seq, nowMs, message, response, NO_ATTEMPT, null, "Uncategorized");
  }

  /**
   * Any record about a message. `nowMs` is the true wall clock; `waitReason` goes with TransientFailure and Delayed;
   * `classification` is the bounce class, `Uncategorized` when none was found.
   */
  message(
    kind: MessageRecordKind,
    seq: bigint,
    nowMs: number,
    message: MessageFacts,
    response: ResponseText,
    attempt: AttemptFacts,
    waitReason: DelayReason | null,
    classification: string,
  ): string {
    const { envelope } = message;
    const { reception } = envelope;
    const isReception = kind === "Reception";
    const sessionId = isReception ? reception.sessionId : attempt.sessionId;
    let line = `{"type":"${kind}","seq":${seq},"id":"${message.id}","sender":${jsonText(envelope.sender)}`;
    line += `,"recipient":${jsonText(envelope.recipient)},"queue":${jsonText(envelope.queue)}`;
    line += `,"site":${jsonText(attempt.site)},"size":${message.size}${responseText(response)}`;
    line += isReception ? clientText(reception) : peerText(attempt.peer);
    line += this.#times(nowMs, message.createdMs);
    line += `,"num_attempts":${message.numAttempts},"bounce_classification":${jsonText(classification)}`;
    line += `,"egress_pool":${jsonTextOrNull(attempt.egressPool)},"egress_source":${jsonTextOrNull(attempt.egressSource)}`;
    line += sourceText(attempt.sourceAddress, attempt.sourceProxy);
    line += `,"feedback_report":null`;
    if (envelope.meta !== null) line += `,"meta":${jsonObject(envelope.meta)}`;
    line += `,"headers":{},"delivery_protocol":${jsonTextOrNull(attempt.deliveryProtocol)}`;
    line += `,"reception_protocol":${jsonText(reception.protocol)},"durability":"${reception.durability}"`;
    if (waitReason !== null) line += `,"wait_reason":"${waitReason}"`;
    if (attempt.tlsCipher !== null) line += `,"tls_cipher":${jsonText(attempt.tlsCipher)}`;
    if (attempt.tlsProtocolVersion !== null) line += `,"tls_protocol_version":${jsonText(attempt.tlsProtocolVersion)}`;
    if (attempt.tlsPeerSubjectName !== null) {
      line += `,"tls_peer_subject_name":[${attempt.tlsPeerSubjectName.map(jsonText).join(",")}]`;
    }
    if (attempt.providerName !== null) line += `,"provider_name":${jsonText(attempt.providerName)}`;
    if (sessionId !== null) line += `,"session_id":${jsonText(sessionId)}`;
    return line + this.#tail;
  }

  /** A client was refused. Its record has no id and no queue; `created` is the time of the refusal. */
  rejection(seq: bigint, nowMs: number, facts: RejectionFacts): string {
    const { reception } = facts;
    let line = `{"type":"Rejection","seq":${seq},"id":"","sender":${jsonText(facts.sender)}`;
    line += `,"recipient":${jsonText(facts.recipient)},"queue":"","site":"","size":${facts.size}`;
    line += responseText(facts.response) + clientText(reception) + this.#times(nowMs, nowMs);
    line += `,"num_attempts":0,"bounce_classification":"Uncategorized","egress_pool":null,"egress_source":null`;
    line += `,"source_address":null,"feedback_report":null,"headers":{},"delivery_protocol":null`;
    line += `,"reception_protocol":${jsonText(reception.protocol)}`;
    if (reception.sessionId !== null) line += `,"session_id":${jsonText(reception.sessionId)}`;
    return line + this.#tail;
  }

  #times(nowMs: number, createdMs: number): string {
    const event = `,"timestamp":${Math.floor(nowMs / 1000)},"event_time":"${this.#eventTime.of(nowMs)}"`;
    return `${event},"created":${Math.floor(createdMs / 1000)},"created_time":"${this.#createdTime.of(createdMs)}"`;
  }
}

function responseText(response: ResponseText): string {
  const { enhanced } = response;
  const code = enhanced === null ? "null" : `{"class":${enhanced[0]},"subject":${enhanced[1]},"detail":${enhanced[2]}}`;
  return `,"response":{"code":${response.code},"enhanced_code":${code},"content":${jsonText(response.content)},"command":${jsonTextOrNull(response.command)}}`;
}

function sourceText(address: string | null, proxy: SourceProxyFacts | null): string {
  if (proxy !== null) {
    const facts = `"server":${jsonText(proxy.server)},"protocol":"${proxy.protocol}"`;
    return `,"source_address":{"address":${jsonTextOrNull(address)},${facts}}`;
  }
  return `,"source_address":${address === null ? "null" : `{"address":${jsonText(address)}}`}`;
}

function peerText(peer: PeerFacts | null): string {
  if (peer === null) return `,"peer_address":null`;
  const secure = peer.isSecure ? `,"is_secure":true` : "";
  return `,"peer_address":{"name":${jsonText(peer.name)},"addr":${jsonText(peer.addr)}${secure}}`;
}

function clientText(reception: Reception): string {
  if (reception.receivedFrom === null) return `,"peer_address":null`;
  return `,"peer_address":{"name":${jsonText(reception.ehlo ?? "")},"addr":${jsonText(reception.receivedFrom)}}`;
}
