import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { createSecureContext } from "node:tls";
import { errnoOf, messageOf } from "../base/fault.js";
import type { Check } from "./check.js";
import { type Kind, SECRET_SCHEMA } from "./kinds.js";
import { type Path, quote } from "./problems.js";
import { readSecret } from "./secret.js";
import { stringKind, text } from "./text-kinds.js";
import { cipherText, OPENSSL_OPTION_NAMES, opensslOptionBits } from "./tls-options.js";

/** Kinds of settings about TLS: what they hold is tried out when the configuration is loaded. */

/** Stands for what was not read from Vault; a configuration with it is good for looking only. */
const UNREAD_PEM = "-----BEGIN UNREAD-----";
/** Longest file of certificates that is taken. */
const MAX_PEM_BYTES = 4 * 1024 * 1024;

/** A text of the environment or a file, or written out, that is PEM itself and not the path of such a file. */
export function isPem(written: string): boolean {
  return written.includes("-----BEGIN ");
}

/** Certificates in PEM: a path, or `{ env }` or `{ file }` that holds them. */
export function certificates(): Kind<string> {
  return pem("certificates", (held) => new X509Certificate(held));
}

/** A private key in PEM without a passphrase: as {@link certificates}. */
export function privateKey(): Kind<string> {
  return pem("a private key", (held) => createPrivateKey(held));
}

function pem(what: string, parse: (held: Buffer) => unknown): Kind<string> {
  const expected = `a path of a PEM file with ${what}, or { env }, { file } or { vault_mount, vault_path, vault_key } that holds it`;
  return {
    name: "PEM file",
    bounds: "",
    schema: SECRET_SCHEMA,
    read(value, at, check) {
      const found = readSecret(value, at, check, expected);
      if (found === undefined) return undefined;
      const written = found.text ?? UNREAD_PEM;
      if (found.text === null) return written;
      if (isPem(written)) return good(Buffer.from(written), "the text", what, parse, at, check) ? written : undefined;
      // It is not taken for a path, which messages would repeat.
      if (found.isVaults) return check.error(at, `what Vault holds is no PEM with ${what}`);
      if (written === "" || written.length > 4096 || /[\0\n]/.test(written))
        return check.error(at, `expected ${expected}`);
      const path = resolve(check.directory, written);
      try {
        const held = readFileSync(path);
        return good(held, `file ${quote(written)}`, what, parse, at, check) ? path : undefined;
      } catch (error) {
        return check.error(at, `file ${quote(written)} cannot be read (${errnoOf(error) ?? "unknown error"})`);
      }
    },
    print: () => "a PEM file",
  };
}

function good(
  held: Buffer,
  source: string,
  what: string,
  parse: (held: Buffer) => unknown,
  at: Path,
  check: Check,
): boolean {
  try {
    if (held.length > MAX_PEM_BYTES) throw new Error("it is larger than 4MiB");
    parse(held);
    return true;
  } catch (error) {
    check.error(at, `${source} holds no PEM with ${what}: ${messageOf(error).split("\n")[0]}`);
    return false;
  }
}

/** Names of OpenSSL's options joined by `|`. */
export function opensslOptions(): Kind<string> {
  const words = text({ max: 2000 });
  return {
    ...words,
    name: "OpenSSL options",
    read(value, at, check) {
      const written = words.read(value, at, check);
      if (written === undefined) return undefined;
      const bits = opensslOptionBits(written);
      if (typeof bits === "number") return written;
      const known = OPENSSL_OPTION_NAMES.includes("NO_TLSV1_3") ? ', such as "NO_TICKET|NO_TLSV1_3"' : "";
      return check.error(at, `${quote(bits.unknown)} is no option of OpenSSL; expected names joined by "|"${known}`);
    },
  };
}

/** An OpenSSL cipher list for TLS 1.2 and below. */
export function cipherList(): Kind<string> {
  return tried("OpenSSL cipher list", (written) => ({ ...NO_LISTS, opensslCipherList: written }), /^(?!TLS_).+$/);
}

/** TLS 1.3 suites joined by `:`. */
export function cipherSuites(): Kind<string> {
  return tried(
    "TLS 1.3 cipher suites",
    (written) => ({ ...NO_LISTS, opensslCipherSuites: written }),
    /^TLS_[A-Z0-9_]+$/,
  );
}

const NO_LISTS = { opensslCipherList: null, opensslCipherSuites: null, rustlsCipherSuites: [] };

function tried(name: string, lists: (written: string) => Parameters<typeof cipherText>[0], part: RegExp): Kind<string> {
  return stringKind(
    name,
    `${name} that OpenSSL knows, joined by ":"`,
    (written) => {
      if (written.length > 2000 || !written.split(":").every((one) => part.test(one))) return null;
      try {
        createSecureContext({ ciphers: cipherText(lists(written)) ?? "" });
        return written;
      } catch {
        return null;
      }
    },
    quote,
  );
}
