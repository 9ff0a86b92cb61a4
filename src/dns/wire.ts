import * as packet from "dns-packet";
import { canonicalName, type DnsRecord, type RecordType } from "./lookup.js";

/** What goes over the wire: building questions and reading responses. Nothing here throws for what a server sends. */

/** One question to a server. */
export interface Question {
  /** 16 bits, unpredictable. */
  readonly id: number;
  /** As `canonicalName` gives it. */
  readonly name: string;
  /** The name as it is sent: in chance's case, so that an answer must know it ("0x20"), or as `name`. */
  readonly written: string;
  readonly type: RecordType;
  /** Sends an OPT record (RFC 6891), for larger answers by UDP. */
  readonly edns: boolean;
  /** Asks the server to say whether it has validated the answer (RFC 6840 §5.7). */
  readonly wantAuthentic: boolean;
}

/** RCODE 0 (RFC 1035 §4.1.1). */
export const NOERROR = 0;
/** RCODE 1: some servers answer a question with an OPT record so. */
export const FORMERR = 1;
/** RCODE 4: likewise. */
export const NOTIMP = 4;
/** RCODE 16, BADVERS: likewise. */
export const BADVERS = 16;
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
  /** The question came back as it was written, letter by letter. */
  readonly sameCase: boolean;
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
  sameCase: true,
  referral: false,
};
/** Fits into one packet on nearly every way, so that nothing is put together from fragments, which can be forged. */
const UDP_PAYLOAD = 1232;
const HEADER_BYTES = 12;
const RESPONSE_FLAG = 0x80;
const TRUNCATED_FLAG = 0x02;

const OPT: packet.OptAnswer = {
  type: "OPT",
  name: ".",
  udpPayloadSize: UDP_PAYLOAD,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  // The AD bit of the header is enough to be told of validation (RFC 6840 §5.7): no signatures are wanted.
  flag_do: false,
  options: [],
};

/** Most records of one response; more, and reading it (names point at names) would cost too much. */
const MAX_RECORDS = 1000;

/** The bytes of a question. */
export function encodeQuestion(question: Question): Buffer {
  const flags = packet.RECURSION_DESIRED | (question.wantAuthentic ? packet.AUTHENTIC_DATA : 0);
  const { id, written: name, type } = question;
  const additionals = question.edns ? [OPT] : [];
  return packet.encode({ type: "query", id, flags, questions: [{ type, name, class: "IN" }], additionals });
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
    rcode: rcode + 16 * extendedRcode(decoded),
    truncated: decoded.flag_tc,
    authentic: decoded.flag_ad,
    records: (decoded.answers ?? []).flatMap(readRecord),
    soaTtlMs: soaTtl(authorities),
    sameCase: asked === undefined || asked.name === question.written,
    referral: authorities.some((record) => record.type === "NS"),
  };
}

/** The upper bits of the response code (RFC 6891 §6.1.3). */
function extendedRcode(decoded: packet.DecodedPacket): number {
  for (const answer of decoded.additionals ?? []) if (answer.type === "OPT") return answer.extendedRcode;
  return 0;
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
    case "TLSA": {
      const { usage, selector, matchingType, certificate } = answer.data;
      return record(answer, answer.type, `${usage} ${selector} ${matchingType} ${certificate.toString("hex")}`, 0);
    }
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
