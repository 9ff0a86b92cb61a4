/**
 * TLS settings of paths in the form that OpenSSL takes, made once for all paths that say the same.
 *
 * Runs on   a worker
 * Owns      at most MAX_CONTEXTS contexts
 * When full the one that was made first is made anew when it is wanted again
 * On failure a file that cannot be read or used is an error, in words, for the session that wanted it; while one is there that
 *           was made before, it goes on being used
 */
import { readFileSync } from "node:fs";
import { createSecureContext, type SecureContext } from "node:tls";
import { messageOf } from "../../../base/fault.js";
import type { PathTlsConfig } from "../../../config/path-tls-settings.js";
import { isPem } from "../../../config/tls-kinds.js";
import { cipherText, opensslOptionBits } from "../../../config/tls-options.js";

const MAX_CONTEXTS = 256;
/** How long what a file held is used without looking at it again. */
const FILE_MS = 300_000;

interface Entry {
  readonly context: SecureContext;
  /** When its files are read again; Infinity when it has none. */
  renewMs: number;
}

/** What a context is made of. */
type ContextSettings = Pick<
  PathTlsConfig,
  | "tlsMinimumVersion"
  | "tlsCertificate"
  | "tlsPrivateKey"
  | "tlsTrustedCertificates"
  | "opensslCipherList"
  | "opensslCipherSuites"
  | "opensslOptions"
  | "rustlsCipherSuites"
>;

/** Names the settings of a context: equal for equal ones. */
export function contextKey(of: ContextSettings): string {
  return JSON.stringify([
    of.tlsMinimumVersion,
    of.tlsCertificate,
    of.tlsPrivateKey,
    of.tlsTrustedCertificates,
    of.opensslCipherList,
    of.opensslCipherSuites,
    of.opensslOptions,
    of.rustlsCipherSuites,
  ]);
}

/** See the file's header. */
export class TlsContexts {
  readonly #entries = new Map<string, Entry>();

  /** The context of these settings, or why there is none. `key` is their `contextKey`. */
  get(key: string, settings: ContextSettings, nowMs: number): SecureContext | { readonly problem: string } {
    const known = this.#entries.get(key);
    if (known !== undefined && nowMs < known.renewMs) return known.context;
    try {
      const context = makeContext(settings);
      this.#entries.delete(key);
      if (this.#entries.size >= MAX_CONTEXTS) {
        const [oldest] = this.#entries.keys();
        if (oldest !== undefined) this.#entries.delete(oldest);
      }
      const files = [settings.tlsCertificate, settings.tlsPrivateKey, settings.tlsTrustedCertificates];
      const hasFiles = files.some((one) => one !== null && !isPem(one));
      this.#entries.set(key, { context, renewMs: hasFiles ? nowMs + FILE_MS : Number.POSITIVE_INFINITY });
      return context;
    } catch (error) {
      if (known === undefined) return { problem: messageOf(error).split("\n")[0] ?? "" };
      known.renewMs = nowMs + FILE_MS;
      return known.context;
    }
  }

  /** Forgets all of them; what is in use stays good. */
  clear(): void {
    this.#entries.clear();
  }
}

function makeContext(settings: ContextSettings): SecureContext {
  const { tlsCertificate, tlsPrivateKey, tlsTrustedCertificates, opensslOptions } = settings;
  if ((tlsCertificate === null) !== (tlsPrivateKey === null)) {
    throw new Error("tls_certificate and tls_private_key go together, and one is missing");
  }
  const ciphers = cipherText(settings);
  const bits = opensslOptions === null ? 0 : opensslOptionBits(opensslOptions);
  return createSecureContext({
    minVersion: settings.tlsMinimumVersion,
    ...(ciphers === null ? {} : { ciphers }),
    ...(typeof bits === "number" && bits !== 0 ? { secureOptions: bits } : {}),
    ...(tlsCertificate === null ? {} : { cert: held(tlsCertificate) }),
    ...(tlsPrivateKey === null ? {} : { key: held(tlsPrivateKey) }),
    ...(tlsTrustedCertificates === null ? {} : { ca: held(tlsTrustedCertificates) }),
  });
}

function held(source: string): string | Buffer {
  return isPem(source) ? source : readFileSync(source);
}
