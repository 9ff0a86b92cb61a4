import { createHash, createPublicKey, type KeyObject, X509Certificate } from "node:crypto";
import type { TlsaRecord, TlsResult } from "../protocol/tls-policy.js";
import { subjectPublicKeyInfo } from "./der.js";

/** Comparing a server's certificates with TLSA records (RFC 6698 §2.1, RFC 7671 §5, RFC 7672 §3). Pure. */

/** What the comparison gave; `result` and `reason` are for reports and log records. */
export type DaneMatch =
  | { readonly kind: "match"; readonly usage: 2 | 3 }
  | { readonly kind: "mismatch"; readonly result: TlsResult; readonly reason: string };

/** Longest chain that is looked at. */
const MAX_CHAIN = 10;

/**
 * Whether one of the records (usable ones, see `tlsa.ts`) vouches for a server. `chain` are its certificates in DER, its
 * own first, in the order in which it sent them.
 *
 * Usage 3 (DANE-EE): its own certificate or key is the one named; names and dates do not count. Usage 2 (DANE-TA): its own
 * certificate is good for one of `names`, and chains, each link signed and in its time, to the authority named, which
 * is among those sent, or is the record itself where it holds a whole certificate or key. Never throws.
 */
export function daneMatches(
  records: readonly TlsaRecord[],
  names: readonly string[],
  chain: readonly Uint8Array[],
  nowMs: number,
): DaneMatch {
  const certificates = parseAll(chain);
  const [leaf, ...others] = certificates ?? [];
  if (leaf === undefined) return mismatch("validation-failure", "no certificate that can be read");
  if (records.some((record) => record.usage === 3 && isNamed(record, leaf))) return { kind: "match", usage: 3 };
  const anchors = records.filter((record) => record.usage === 2);
  if (anchors.length === 0) return mismatch("validation-failure", "its certificate is none of the TLSA records'");
  // An authority may have two certificates, of which one is over.
  const current = others.filter((one) => inTime(one, nowMs));
  const path = pathToAnchor(leaf, current, anchors) ?? pathToAnchor(leaf, others, anchors);
  if (path === null) return mismatch("certificate-not-trusted", "no chain to an authority of the TLSA records");
  const late = path.find((one) => !inTime(one, nowMs));
  if (late !== undefined) return mismatch("certificate-expired", `${nameOf(late)} is valid to ${late.validTo}`);
  if (names.some((name) => leaf.checkHost(name, NAME_RULES) !== undefined)) return { kind: "match", usage: 2 };
  return mismatch("certificate-host-mismatch", `${nameOf(leaf)} is not for ${names.join(" or ")}`);
}

const NAME_RULES = { partialWildcards: false } as const;

function mismatch(result: TlsResult, reason: string): DaneMatch {
  return { kind: "mismatch", result, reason };
}

function parseAll(chain: readonly Uint8Array[]): readonly X509Certificate[] | null {
  try {
    return chain.slice(0, MAX_CHAIN).map((der) => new X509Certificate(der));
  } catch {
    return null;
  }
}

function nameOf(certificate: X509Certificate): string {
  return (certificate.subject ?? "").replace(/\s*\n\s*/g, ", ").slice(0, 100) || "a certificate without a name";
}

/** Whether a record names this certificate. */
function isNamed({ selector, matching, data }: TlsaRecord, certificate: X509Certificate): boolean {
  const selected = selector === 0 ? certificate.raw : subjectPublicKeyInfo(certificate.raw);
  if (selected === null) return false;
  const shown =
    matching === 0
      ? selected
      : createHash(matching === 1 ? "sha256" : "sha512")
          .update(selected)
          .digest();
  return shown.equals(data);
}

/** The certificates from `leaf` to one that a record names, the leaf first; null when there is no such way. */
function pathToAnchor(
  leaf: X509Certificate,
  others: readonly X509Certificate[],
  anchors: readonly TlsaRecord[],
): readonly X509Certificate[] | null {
  const keys = anchors.flatMap(keyIn);
  // Whoever has been looked at leads nowhere: without this, certificates that all sign each other would take for ever.
  const left = new Set([...others, ...anchors.flatMap(certificateIn)].slice(0, MAX_CHAIN));
  const walk = (path: readonly X509Certificate[], last: X509Certificate): readonly X509Certificate[] | null => {
    // A record may also hold the bare key of an authority whose certificate was not sent.
    if (keys.some((key) => signedBy(last, key))) return path;
    for (const next of left) {
      if (!next.ca || !last.checkIssued(next) || !signedBy(last, next.publicKey)) continue;
      left.delete(next);
      const longer = [...path, next];
      const found = anchors.some((record) => isNamed(record, next)) ? longer : walk(longer, next);
      if (found !== null) return found;
    }
    return null;
  };
  return walk([leaf], leaf);
}

function signedBy(certificate: X509Certificate, key: KeyObject): boolean {
  try {
    return certificate.verify(key);
  } catch {
    return false;
  }
}

/** The whole certificate that a record holds (2 0 0). */
function certificateIn({ selector, matching, data }: TlsaRecord): readonly X509Certificate[] {
  return selector === 0 && matching === 0 ? (parseAll([data]) ?? []) : [];
}

/** The whole key that a record holds (2 1 0). */
function keyIn({ selector, matching, data }: TlsaRecord): readonly KeyObject[] {
  if (selector !== 1 || matching !== 0) return [];
  try {
    return [createPublicKey({ key: Buffer.from(data), format: "der", type: "spki" })];
  } catch {
    return [];
  }
}

function inTime(certificate: X509Certificate, nowMs: number): boolean {
  return Date.parse(certificate.validFrom) <= nowMs && nowMs <= Date.parse(certificate.validTo);
}
