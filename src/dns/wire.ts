import * as packet from "dns-packet";
import { canonicalName, type DnsRecord, type RecordType } from "./lookup.js";

/** What goes over the wire: building questions and reading responses. Nothing here throws for what a server sends. */

/** One question to a server. */
export interface Question {
  /** 16 bits, unpredictable. */
  readonly id: number;
  /** As `canonicalName` gives it. */
  readonly name: string;
  readonly type: RecordType;
  /** Asks the server to say whether it has validated the answer (RFC 6840 §5.7). */
  readonly wantAuthentic: boolean;
}

/** RCODE 0 (RFC 1035 §4.1.1). */
export const NOERROR = 0;
/** RCODE 2. */
export const SERVFAIL = 2;
/** RCODE 3. */
export const NXDOMAIN = 3;
/** RCODE 5. */
export const REFUSED = 5;

/** A response that answers the question. */
export interface Response {
  readonly kind: "response";
  readonly rcode: number;
  /** TC: the rest is to be had over TCP. */
  readonly truncated: boolean;
  /** AD: the server says that it has validated the answer. */
  readonly authentic: boolean;
  /** Records of the answer section, of the types we know, class IN. */
  readonly records: readonly DnsRecord[];
  /** From the SOA record of the authority section: the life of a negative answer; null without one. */
  readonly soaTtlMs: number | null;
  /** The authority section names other servers: this one only points on (RFC 1034 §4.3.1). */
  readonly referral: boolean;
}

/**
 * `stray`: bytes that are no response to this question; the right one may still come. `malformed`: it carries the
 * question's number but cannot be read.
 */
export type Received = Response | { readonly kind: "stray" } | { readonly kind: "malformed" };

const STRAY: Received = { kind: "stray" };
const MALFORMED: Received = { kind: "malformed" };
const CUT: Received = {
  kind: "response",
  rcode: 0,
  truncated: true,
  authentic: false,
  records: [],
  soaTtlMs: null,
  referral: false,
};
const HEADER_BYTES = 12;
const RESPONSE_FLAG = 0x80;
const TRUNCATED_FLAG = 0x02;

/** Most records of one response; more, and reading it (names point at names) would cost too much. */
const MAX_RECORDS = 1000;

/** The bytes of a question. */
export function encodeQuestion(question: Question): Buffer {
  const flags = packet.RECURSION_DESIRED | (question.wantAuthentic ? packet.AUTHENTIC_DATA : 0);
  const { id, name, type } = question;
  return packet.encode({ type: "query", id, flags, questions: [{ type, name, class: "IN" }] });
}

/** Reads what a server sent: is it the response to `question`, and what does it say? */
export function readResponse(bytes: Buffer, question: Question): Received {
  if (bytes.length < HEADER_BYTES || bytes.readUInt16BE(0) !== question.id) return STRAY;
  if ((bytes.readUInt8(2) & RESPONSE_FLAG) === 0) return STRAY;
  const records = bytes.readUInt16BE(6) + bytes.readUInt16BE(8) + bytes.readUInt16BE(10);
  if (bytes.readUInt16BE(4) > 1 || records > MAX_RECORDS) return MALFORMED;
  try {
    return understand(packet.decode(bytes), bytes.readUInt8(3) & 0x0f, question);
  } catch {
    // Cut inside a record (RFC 2181 §9): what is left is of no use, and all of it is to be had over TCP.
    return (bytes.readUInt8(2) & TRUNCATED_FLAG) === 0 ? MALFORMED : CUT;
  }
}

function understand(decoded: packet.DecodedPacket, rcode: number, question: Question): Received {
  const asked = decoded.questions?.[0];
  // A server that refuses may leave the question out; an answer without its question is nobody's.
  if (asked === undefined && (rcode === NOERROR || rcode === NXDOMAIN)) return STRAY;
  if (asked !== undefined && (asked.type !== question.type || asked.name.toLowerCase() !== question.name)) return STRAY;
  const authorities = decoded.authorities ?? [];
  return {
    kind: "response",
    rcode,
    truncated: decoded.flag_tc,
    authentic: decoded.flag_ad,
    records: (decoded.answers ?? []).flatMap(readRecord),
    soaTtlMs: soaTtl(authorities),
    referral: authorities.some((record) => record.type === "NS"),
  };
}

/** A record of a type that we know, as a list of one; others are left out. */
function readRecord(answer: packet.Answer): DnsRecord[] {
  switch (answer.type) {
    case "A":
    case "AAAA":
      return record(answer, answer.type, answer.data, 0);
    case "CNAME":
      return record(answer, answer.type, bareName(answer.data), 0);
    case "MX":
      return record(answer, answer.type, bareName(answer.data.exchange), answer.data.preference ?? 0);
    case "TXT":
      return record(answer, answer.type, textOf(answer.data), 0);
    default:
      return [];
  }
}

function record(
  answer: packet.BaseAnswer<string, unknown>,
  type: RecordType,
  value: string,
  preference: number,
): DnsRecord[] {
  if (answer.class !== undefined && answer.class !== "IN") return [];
  const name = canonicalName(answer.name);
  return name === null ? [] : [{ name, type, value, preference, ttlMs: ttlMs(answer.ttl) }];
}

/** Lower case, without the final dot; "" for the root. The name may be one that cannot be asked for. */
function bareName(name: string): string {
  return name.toLowerCase().replace(/\.$/, "");
}

function textOf(data: packet.TxtData): string {
  const parts = Array.isArray(data) ? data : [data];
  return parts.map((part) => (typeof part === "string" ? part : part.toString("utf8"))).join("");
}

/** A TTL with its top bit set counts as 0 (RFC 2181 §8). */
function ttlMs(seconds: number | undefined): number {
  return seconds === undefined || seconds > 0x7fffffff ? 0 : seconds * 1000;
}

function soaTtl(authorities: readonly packet.Answer[]): number | null {
  for (const answer of authorities) {
    if (answer.type === "SOA") return Math.min(ttlMs(answer.ttl), ttlMs(answer.data.minimum));
  }
  return null;
}
