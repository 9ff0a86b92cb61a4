import type { TlsResult } from "../../../protocol/tls-policy.js";

/** What went wrong with TLS, in words that an operator understands and in those of RFC 8460 §4.3. Pure. */

/** A failure of TLS. */
export interface TlsFailure {
  readonly result: Exclude<TlsResult, "success">;
  readonly reason: string;
}

/** A host that knows no STARTTLS. */
export const NOT_OFFERED: TlsFailure = { result: "starttls-not-supported", reason: "STARTTLS is not offered" };

/** Longest text of a stranger's certificate that is repeated. */
const MAX_NAMES_CHARS = 200;

const UNKNOWN_AUTHORITY: TlsFailure = {
  result: "certificate-not-trusted",
  reason: "its certificate comes from an unknown authority, or without the certificates in between",
};

/** OpenSSL's words for a chain that proves nothing. */
const CHAIN_WORDS: Readonly<Record<string, TlsFailure>> = {
  CERT_HAS_EXPIRED: { result: "certificate-expired", reason: "its certificate has expired" },
  CERT_NOT_YET_VALID: { result: "certificate-expired", reason: "its certificate is not valid yet" },
  DEPTH_ZERO_SELF_SIGNED_CERT: { result: "certificate-not-trusted", reason: "its certificate is self-signed" },
  SELF_SIGNED_CERT_IN_CHAIN: {
    result: "certificate-not-trusted",
    reason: "its certificate comes from an authority that is not trusted",
  },
  UNABLE_TO_GET_ISSUER_CERT: UNKNOWN_AUTHORITY,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: UNKNOWN_AUTHORITY,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: UNKNOWN_AUTHORITY,
  CERT_REVOKED: { result: "certificate-not-trusted", reason: "its certificate was revoked" },
  CERT_SIGNATURE_FAILURE: { result: "validation-failure", reason: "its certificate's signature is wrong" },
  INVALID_PURPOSE: { result: "validation-failure", reason: "its certificate is not made for servers" },
  EE_KEY_TOO_SMALL: { result: "validation-failure", reason: "its certificate's key is too small" },
  CA_MD_TOO_WEAK: { result: "validation-failure", reason: "its certificate is signed with a digest that is too weak" },
};

/**
 * What a certificate lacks.
 * @param code the code of Node's `authorizationError`.
 * @param host the name that it should have.
 * @param names the names that it has, as Node prints them: `DNS:a.example, DNS:b.example`.
 */
export function certificateFailure(code: string, host: string, names: string): TlsFailure {
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    const shown = names.replace(/DNS:/g, "").slice(0, MAX_NAMES_CHARS);
    const seen = shown === "" ? "no name" : shown;
    return { result: "certificate-host-mismatch", reason: `its certificate is not for ${host} but for ${seen}` };
  }
  return CHAIN_WORDS[code] ?? { result: "validation-failure", reason: `its certificate is not good (${code})` };
}

/** OpenSSL's words for a handshake that did not come about, by what they begin with. */
const HANDSHAKE_WORDS: readonly (readonly [code: RegExp, reason: string])[] = [
  [/WRONG_VERSION_NUMBER|UNEXPECTED_MESSAGE|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST/, "what it sent is not TLS"],
  [
    /UNSUPPORTED_PROTOCOL|PROTOCOL_VERSION|VERSION_TOO_LOW|NO_PROTOCOLS_AVAILABLE|TLSV1_ALERT_INAPPROPRIATE_FALLBACK/,
    "no TLS version in common (tls_minimum_version)",
  ],
  [
    /HANDSHAKE_FAILURE|NO_SHARED_CIPHER|NO_CIPHERS_AVAILABLE|INSUFFICIENT_SECURITY|NO_CIPHER_MATCH/,
    "no shared cipher, or the server refused the handshake",
  ],
  [/DH_KEY_TOO_SMALL|EE_KEY_TOO_SMALL|CA_KEY_TOO_SMALL|KEY_TOO_SMALL/, "its key is too small"],
  [/LEGACY_RENEGOTIATION/, "it only knows an unsafe renegotiation (openssl_options LEGACY_SERVER_CONNECT)"],
  [
    /CERTIFICATE_REQUIRED|ALERT_BAD_CERTIFICATE|ALERT_UNKNOWN_CA|ALERT_CERTIFICATE/,
    "it refused our client certificate",
  ],
  [/UNRECOGNIZED_NAME/, "it does not know the name that was asked for"],
  [/ALERT_INTERNAL_ERROR/, "it told of an internal error"],
  [
    /ECONNRESET|EPIPE|disconnected|closed the connection|was closed/,
    "it closed the connection in the middle of the handshake",
  ],
  [/ETIMEDOUT/, "the connection timed out"],
];

/** Why a handshake did not come about. */
export function handshakeFailure(error: Error): TlsFailure {
  const code = "code" in error && typeof error.code === "string" ? error.code : "";
  const text = `${code} ${error.message}`;
  const known = HANDSHAKE_WORDS.find(([pattern]) => pattern.test(text));
  const detail = code === "" ? error.message.split("\n")[0] : code.replace(/^ERR_SSL_/, "");
  return {
    result: "validation-failure",
    reason: known === undefined ? `the handshake failed: ${detail}` : `${known[1]} (${detail})`,
  };
}
