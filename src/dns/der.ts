/** As much of DER (X.690) as it takes to find one field of a certificate. */

interface Element {
  readonly tag: number;
  /** Where its content begins, and where it ends. */
  readonly content: number;
  readonly end: number;
}

const SEQUENCE = 0x30;
/** `[0] EXPLICIT`: the version, which certificates of version 1 do not have. */
const VERSION = 0xa0;
/** serialNumber, signature, issuer, validity, subject (RFC 5280 §4.1). */
const FIELDS_BEFORE_KEY = 5;

/**
 * The bytes of a certificate's subjectPublicKeyInfo exactly as they stand there: a key that is read and written again may
 * come out differently. Null for what is no certificate.
 */
export function subjectPublicKeyInfo(certificate: Buffer): Buffer | null {
  const whole = elementAt(certificate, 0, certificate.length);
  if (whole === null || whole.tag !== SEQUENCE) return null;
  const signed = elementAt(certificate, whole.content, whole.end);
  if (signed === null || signed.tag !== SEQUENCE) return null;
  let at = signed.content;
  let field = elementAt(certificate, at, signed.end);
  if (field?.tag === VERSION) at = field.end;
  for (let passed = 0; passed < FIELDS_BEFORE_KEY; passed++) {
    field = elementAt(certificate, at, signed.end);
    if (field === null) return null;
    at = field.end;
  }
  field = elementAt(certificate, at, signed.end);
  return field === null || field.tag !== SEQUENCE ? null : certificate.subarray(at, field.end);
}

/** The element that begins at `at` and ends before `limit`; null when there is none. Tags of one byte are enough here. */
function elementAt(bytes: Buffer, at: number, limit: number): Element | null {
  if (at + 2 > limit) return null;
  const tag = bytes.readUInt8(at);
  const first = bytes.readUInt8(at + 1);
  let content = at + 2;
  let length = first;
  if (first >= 0x80) {
    const lengthBytes = first & 0x7f;
    if (lengthBytes === 0 || lengthBytes > 4 || content + lengthBytes > limit) return null;
    length = bytes.readUIntBE(content, lengthBytes);
    content += lengthBytes;
  }
  return content + length > limit ? null : { tag, content, end: content + length };
}
