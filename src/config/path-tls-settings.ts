import { resolve } from "node:path";
import type { PathConfig } from "./compiled.js";
import { choice, duration, flag, type Kind, list } from "./kinds.js";
import { quote } from "./problems.js";
import { secret } from "./secret.js";
import { later, type Option, optionsOf, type Setting } from "./table.js";
import { stringKind, text } from "./text-kinds.js";
import { certificates, cipherList, cipherSuites, opensslOptions, privateKey } from "./tls-kinds.js";
import { RUSTLS_SUITES } from "./tls-options.js";

const SECOND = 1000;
const DAY = 86_400_000;

/** The part of a path's options that is about TLS and about who we are. */
export type PathTlsConfig = Pick<
  PathConfig,
  | "enableTls"
  | "tlsMinimumVersion"
  | "tlsCertificate"
  | "tlsPrivateKey"
  | "tlsTrustedCertificates"
  | "opensslCipherList"
  | "opensslCipherSuites"
  | "opensslOptions"
  | "rustlsCipherSuites"
  | "rememberBrokenTlsMs"
  | "opportunisticTlsReconnect"
  | "starttlsTimeoutMs"
  | "authTimeoutMs"
  | "smtpAuthUsername"
  | "smtpAuthPassword"
  | "smtpAuthTokenFile"
  | "allowAuthWithoutTls"
  | "allowAuthWithoutValidCertificate"
>;

/** What holds when no shaping rule says otherwise. */
export const PATH_TLS_DEFAULTS: PathTlsConfig = {
  enableTls: "Opportunistic",
  tlsMinimumVersion: "TLSv1.2",
  tlsCertificate: null,
  tlsPrivateKey: null,
  tlsTrustedCertificates: null,
  opensslCipherList: null,
  opensslCipherSuites: null,
  opensslOptions: null,
  rustlsCipherSuites: [],
  rememberBrokenTlsMs: null,
  opportunisticTlsReconnect: false,
  starttlsTimeoutMs: 5 * SECOND,
  authTimeoutMs: 60 * SECOND,
  smtpAuthUsername: null,
  smtpAuthPassword: null,
  smtpAuthTokenFile: null,
  allowAuthWithoutTls: false,
  allowAuthWithoutValidCertificate: false,
};

const option = optionsOf<PathTlsConfig>(PATH_TLS_DEFAULTS);
const timeout = duration({ min: 10, max: DAY });

/** A path that is made absolute at once: from the directory of the file that names it. */
function absolutePath(): Kind<string> {
  const words = stringKind(
    "path",
    "a path",
    (written) => (written.length >= 1 && written.length <= 4096 && !/[\0\n]/.test(written) ? written : null),
    quote,
  );
  return {
    ...words,
    read(value, at, check) {
      const written = words.read(value, at, check);
      return written === undefined ? undefined : resolve(check.directory, written);
    },
  };
}

/** Options about TLS and authentication. */
export const pathTlsOptions: readonly Option<PathTlsConfig>[] = [
  option(
    "enable_tls",
    "enableTls",
    choice("Disabled", "Opportunistic", "OpportunisticInsecure", "Required", "RequiredInsecure"),
    "Use of STARTTLS: whether it is needed, and whether the server must prove who it is.",
  ),
  option(
    "tls_minimum_version",
    "tlsMinimumVersion",
    choice("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"),
    "Lowest TLS version that is spoken; below 1.2 OpenSSL also wants a cipher list with `@SECLEVEL=0`.",
  ),
  option(
    "tls_certificate",
    "tlsCertificate",
    certificates(),
    "Client certificate and its chain; read anew every 300 s.",
  ),
  option("tls_private_key", "tlsPrivateKey", privateKey(), "Key of the client certificate; read anew every 300 s."),
  option(
    "tls_trusted_certificates",
    "tlsTrustedCertificates",
    certificates(),
    "Authorities that are trusted in place of the built-in ones: for a relay with an authority of its own.",
  ),
  option("openssl_cipher_list", "opensslCipherList", cipherList(), "Ciphers up to TLS 1.2, in OpenSSL's notation."),
  option("openssl_cipher_suites", "opensslCipherSuites", cipherSuites(), "Suites of TLS 1.3."),
  option("openssl_options", "opensslOptions", opensslOptions(), "OpenSSL's options, joined by `|`."),
  option(
    "rustls_cipher_suites",
    "rustlsCipherSuites",
    list(choice(...Object.keys(RUSTLS_SUITES)), { what: "cipher suites" }),
    "Ciphers by the names of rustls; they hold where no OpenSSL list is given.",
  ),
  option(
    "remember_broken_tls",
    "rememberBrokenTlsMs",
    duration({ min: 0, max: 365 * DAY }),
    "How long a host whose TLS failed is served in clear, where TLS is opportunistic.",
    "not at all; 15m with `opportunistic_tls_reconnect_on_failed_handshake`",
  ),
  option(
    "opportunistic_tls_reconnect_on_failed_handshake",
    "opportunisticTlsReconnect",
    flag(),
    "After a failed handshake the same address is tried at once in clear, where TLS is opportunistic.",
  ),
  option("starttls_timeout", "starttlsTimeoutMs", timeout, "For the reply to STARTTLS, and again for the handshake."),
  option("auth_timeout", "authTimeoutMs", timeout, "For each reply to AUTH."),
  option(
    "smtp_auth_plain_username",
    "smtpAuthUsername",
    text({ max: 500 }),
    "Who we are to the destination; with a password or a token it must let us in (AUTH) before it gets mail.",
  ),
  option(
    "smtp_auth_plain_password",
    "smtpAuthPassword",
    secret({ max: 4000 }),
    "The password, for the first of PLAIN, LOGIN and CRAM-MD5 that is offered.",
  ),
  option(
    "smtp_auth_token_file",
    "smtpAuthTokenFile",
    absolutePath(),
    "File with an access token for XOAUTH2, which somebody else keeps fresh; read for every connection.",
  ),
  option(
    "allow_smtp_auth_plain_without_tls",
    "allowAuthWithoutTls",
    flag(),
    "Authentication also in clear, and to a server that proves nothing.",
  ),
  option(
    "allow_smtp_auth_plain_without_valid_certificate",
    "allowAuthWithoutValidCertificate",
    flag(),
    "Authentication also to a server whose certificate proves nothing.",
  ),
];

/** Accepted, and without a meaning: there is one TLS engine. */
export const laterTlsSettings: readonly Setting<unknown, undefined>[] = [
  later("tls_prefer_openssl", flag(), "OpenSSL is the only TLS engine.", [true, false]),
];
