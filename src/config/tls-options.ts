import { constants } from "node:crypto";

/** The words of TLS in the configuration, and what OpenSSL makes of them. Pure. */

/** Lowest protocol version that is spoken. */
export type TlsVersion = "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3";

/** TLS 1.3 suites when none are named: Node's own. */
export const DEFAULT_SUITES = "TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256";

/** Suites by the name that rustls gives them, with OpenSSL's name for the same. */
export const RUSTLS_SUITES: Readonly<Record<string, string>> = {
  TLS13_AES_256_GCM_SHA384: "TLS_AES_256_GCM_SHA384",
  TLS13_AES_128_GCM_SHA256: "TLS_AES_128_GCM_SHA256",
  TLS13_CHACHA20_POLY1305_SHA256: "TLS_CHACHA20_POLY1305_SHA256",
  TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: "ECDHE-ECDSA-AES256-GCM-SHA384",
  TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: "ECDHE-ECDSA-AES128-GCM-SHA256",
  TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305",
  TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384: "ECDHE-RSA-AES256-GCM-SHA384",
  TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: "ECDHE-RSA-AES128-GCM-SHA256",
  TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-RSA-CHACHA20-POLY1305",
};

/** OpenSSL's options (`SSL_OP_…`) by name without the prefix, in upper case. */
const OPENSSL_OPTIONS: ReadonlyMap<string, number> = new Map(
  Object.entries(constants).flatMap(([name, value]): readonly (readonly [string, number])[] =>
    name.startsWith("SSL_OP_") && typeof value === "number"
      ? [[name.slice("SSL_OP_".length).toUpperCase(), value]]
      : [],
  ),
);

/** Names that `openssl_options` takes. */
export const OPENSSL_OPTION_NAMES: readonly string[] = [...OPENSSL_OPTIONS.keys()];

/**
 * Reads names of options joined by `|`, with or without `SSL_OP_`, in any case.
 * @returns their bits, or the first name that is unknown.
 */
export function opensslOptionBits(written: string): number | { readonly unknown: string } {
  let bits = 0;
  for (const part of written.split("|")) {
    const name = part.trim().toUpperCase();
    const value = OPENSSL_OPTIONS.get(name.startsWith("SSL_OP_") ? name.slice("SSL_OP_".length) : name);
    if (value === undefined) return { unknown: part.trim() };
    bits |= value;
  }
  // Some options are the topmost of 32 bits.
  return bits >>> 0;
}

/** The lists that a path names. */
export interface CipherLists {
  readonly opensslCipherList: string | null;
  readonly opensslCipherSuites: string | null;
  readonly rustlsCipherSuites: readonly string[];
}

/**
 * The ciphers of a path in the form that Node takes, TLS 1.3 suites first; null for Node's own choice. OpenSSL's lists win
 * over rustls' names. Where rustls' names hold no suite of one protocol version, that version is not spoken, as with rustls.
 */
export function cipherText({ opensslCipherList, opensslCipherSuites, rustlsCipherSuites }: CipherLists): string | null {
  if (opensslCipherList !== null || opensslCipherSuites !== null) {
    const list = opensslCipherList ?? constants.defaultCipherList.split(":").filter((one) => !one.startsWith("TLS_"));
    return `${opensslCipherSuites ?? DEFAULT_SUITES}:${typeof list === "string" ? list : list.join(":")}`;
  }
  if (rustlsCipherSuites.length === 0) return null;
  return rustlsCipherSuites.map((name) => RUSTLS_SUITES[name] ?? name).join(":");
}
