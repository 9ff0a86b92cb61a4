import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from "node:crypto";

/**
 * Certificates for receivers that need one and were given none: of their own making, good for a test and trusted by nobody.
 * Just as much of X.509 (RFC 5280) as that takes. Pure but for chance.
 */

/** A certificate with its key, both PEM. */
export interface Certified {
  readonly certificate: string;
  readonly key: string;
}

/** What a certificate says. */
export interface CertificateWish {
  /** Names that it is for; the first one is also its subject. */
  readonly names: readonly string[];
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  /** Who signs it; null for itself. */
  readonly issuer: Certified | null;
  /** It may sign others. */
  readonly authority: boolean;
}

const DAY_MS = 86_400_000;

/** A certificate for these names that signs itself, good for a year. */
export function selfSigned(names: readonly string[], nowMs: number): Certified {
  return makeCertificate({
    names,
    notBeforeMs: nowMs - DAY_MS,
    notAfterMs: nowMs + 365 * DAY_MS,
    issuer: null,
    authority: false,
  });
}

/** Makes a key on P-256 and a certificate for it. */
export function makeCertificate(wish: CertificateWish): Certified {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const subject = nameOf(wish.names[0] ?? "");
  const issuer = wish.issuer === null ? subject : subjectOf(wish.issuer);
  const signer: KeyObject = wish.issuer === null ? privateKey : createPrivateKey(wish.issuer.key);
  const body = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    ECDSA_SHA256,
    issuer,
    sequence(time(wish.notBeforeMs), time(wish.notAfterMs)),
    subject,
    publicKey.export({ type: "spki", format: "der" }),
    tagged(0xa3, sequence(...extensions(wish))),
  );
  const signature = sign("sha256", body, signer);
  const whole = sequence(body, ECDSA_SHA256, tagged(0x03, Buffer.concat([Buffer.from([0]), signature])));
  return { certificate: pem(whole), key: privateKey.export({ type: "pkcs8", format: "pem" }).toString() };
}

function extensions({ names, authority }: CertificateWish): Buffer[] {
  const alternatives = sequence(...names.map((name) => tagged(0x82, Buffer.from(name, "latin1"))));
  const constraints = authority ? sequence(Buffer.from([0x01, 0x01, 0xff])) : sequence();
  return [
    sequence(oid("551d11"), tagged(0x04, alternatives)),
    sequence(oid("551d13"), Buffer.from([0x01, 0x01, 0xff]), tagged(0x04, constraints)),
  ];
}

/** ecdsa-with-SHA256. */
const ECDSA_SHA256 = sequence(oid("2a8648ce3d040302"));

/** `CN=…` alone. */
function nameOf(common: string): Buffer {
  const attribute = sequence(oid("550403"), tagged(0x0c, Buffer.from(common.slice(0, 64), "utf8")));
  return sequence(tagged(0x31, attribute));
}

/** The subject of a certificate that {@link makeCertificate} made. */
function subjectOf({ certificate }: Certified): Buffer {
  const der = Buffer.from(certificate.replace(/-----[^-]+-----|\s/g, ""), "base64");
  const body = inside(inside(der));
  // version, serial, algorithm, issuer, validity, subject
  let rest = body;
  for (let i = 0; i < 5; i++) rest = rest.subarray(lengthOf(rest));
  return rest.subarray(0, lengthOf(rest));
}

function tagged(tag: number, content: Buffer): Buffer {
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, (length >> 8) & 0xff, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return tagged(0x30, Buffer.concat(parts));
}

function integer(bytes: Buffer): Buffer {
  return tagged(0x02, bytes);
}

function oid(hex: string): Buffer {
  return tagged(0x06, Buffer.from(hex, "hex"));
}

/** UTCTime, which ends with the year 2049. */
function time(ms: number): Buffer {
  const text = new Date(ms).toISOString().replace(/[-:T]/g, "").slice(2, 14);
  return tagged(0x17, Buffer.from(`${text}Z`, "latin1"));
}

/** Bytes that the length of an element takes, from its second byte on. */
function headerOf(element: Buffer): number {
  const first = element[1] ?? 0;
  return first < 0x80 ? 2 : 2 + (first & 0x7f);
}

/** The whole length of the element that `bytes` begins with. */
function lengthOf(bytes: Buffer): number {
  const header = headerOf(bytes);
  return header + (header === 2 ? (bytes[1] ?? 0) : bytes.readUIntBE(2, header - 2));
}

function inside(element: Buffer): Buffer {
  return element.subarray(headerOf(element), lengthOf(element));
}

function pem(der: Buffer): string {
  const lines = der.toString("base64").replace(/.{64}/g, "$&\n").trimEnd();
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}

/** The public key of a certificate's key, in DER: what a TLSA record with selector 1 names. */
export function publicKeyOf({ key }: Certified): Buffer {
  return createPublicKey(key).export({ type: "spki", format: "der" });
}
