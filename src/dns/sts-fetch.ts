/**
 * Fetches a domain's MTA-STS policy (RFC 8461 §3.3): by HTTPS from `mta-sts.DOMAIN`, with a certificate that is good for
 * that name, from a public address, without following redirects.
 * Runs on: the main thread.
 * Owns: one connection, while it lasts.
 * When full: the caller bounds how many run at once; of one policy no more than 64 KiB are read.
 * On failure: a value that says what of RFC 8460 it was.
 */
import { readFileSync } from "node:fs";
import { isIPv6, type LookupFunction } from "node:net";
import { createSecureContext, rootCertificates, type SecureContext } from "node:tls";
import { Agent } from "undici";
import { NetworkSet } from "../base/cidr.js";
import { errnoOf, Fault, messageOf } from "../base/fault.js";
import { isPrivate } from "../base/private-networks.js";
import type { MtaStsConfig } from "../config/compiled.js";
import type { TlsResult } from "../protocol/tls-policy.js";
import { hostAddresses } from "./addresses.js";
import type { Lookups } from "./mx.js";
import { MAX_POLICY_BYTES, parseStsPolicy, type StsPolicy } from "./sts-policy.js";

/** What a fetch gave. */
export type Fetched =
  | { readonly kind: "policy"; readonly policy: StsPolicy }
  | { readonly kind: "failed"; readonly result: TlsResult; readonly reason: string };

/** Fetches one policy; never rejects. */
export type FetchPolicy = (domain: string) => Promise<Fetched>;

const PATH = "/.well-known/mta-sts.txt";

/**
 * Makes the fetching of policies over the network.
 * @throws {Fault} `config.unreadable`, `config.invalid` for the file of authorities.
 */
export function policyFetcher(config: MtaStsConfig, lookups: Lookups): FetchPolicy {
  const allowed = new NetworkSet(config.allowedNetworks);
  const secureContext = config.caFile === null ? undefined : moreAuthorities(config.caFile);
  return async (domain) => {
    const host = `mta-sts.${domain}`;
    const signal = AbortSignal.timeout(config.timeoutMs);
    try {
      const addresses = await within(publicAddresses(lookups, host, allowed), signal);
      const text = await within(
        get({ host, port: config.port, addresses, secureContext, signal, timeoutMs: config.timeoutMs }),
        signal,
      );
      const read = parseStsPolicy(text);
      return read.kind === "policy" ? read : { kind: "failed", result: "sts-policy-invalid", reason: read.reason };
    } catch (error) {
      const timedOut = signal.aborted ? `no policy within ${config.timeoutMs} ms` : null;
      return { kind: "failed", result: resultOf(error), reason: timedOut ?? reasonOf(error) };
    }
  };
}

/** The answer, or the signal's error when that comes first. */
function within<T>(answer: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    answer.then(resolve, reject);
  });
}

/** The addresses that will be connected to, and no others: a name cannot lead elsewhere the second time it is asked for. */
async function publicAddresses(lookups: Lookups, host: string, allowed: NetworkSet): Promise<readonly string[]> {
  const found = await hostAddresses(lookups, host, "Ipv4AndIpv6");
  if (found.kind === "failed") throw new Error(found.reason);
  if (found.kind === "none") throw new Error(`${host} has no address`);
  const addresses = found.addresses.filter((address) => !isPrivate(address, allowed));
  if (addresses.length === 0) throw new Error(`${host} has only private addresses (${found.addresses[0]})`);
  return addresses;
}

interface Get {
  readonly host: string;
  readonly port: number;
  readonly addresses: readonly string[];
  readonly secureContext: SecureContext | undefined;
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

async function get({ host, port, addresses, secureContext, signal, timeoutMs }: Get): Promise<string> {
  const agent = new Agent({
    connect: {
      lookup: pinned(addresses),
      servername: host,
      autoSelectFamily: true,
      timeout: timeoutMs,
      ...(secureContext && { secureContext }),
    },
    maxHeaderSize: 16_384,
  });
  try {
    const origin = port === 443 ? `https://${host}` : `https://${host}:${port}`;
    const { statusCode, headers, body } = await agent.request({ origin, path: PATH, method: "GET", signal });
    if (statusCode !== 200) throw new Error(`HTTP status ${statusCode}`);
    const type = headers["content-type"];
    if (typeof type !== "string" || !/^text\/plain\s*(?:;|$)/i.test(type)) throw new Error("not of type text/plain");
    const parts: Buffer[] = [];
    let size = 0;
    for await (const part of body) {
      const bytes = Buffer.from(part);
      size += bytes.length;
      if (size > MAX_POLICY_BYTES) throw new Error(`more than ${MAX_POLICY_BYTES} bytes`);
      parts.push(bytes);
    }
    return Buffer.concat(parts).toString("utf8");
  } finally {
    // Not waited for: a connection that is still being made would hold up the answer until its own time is over.
    agent.destroy().catch(() => {});
  }
}

/** Instead of a look-up: the addresses that were found before. */
function pinned(addresses: readonly string[]): LookupFunction {
  const all = addresses.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }));
  return (_host, options, answer) => {
    const first = all[0];
    if (options.all === true || first === undefined) answer(null, all);
    else answer(null, first.address, first.family);
  };
}

/** The public authorities and those of a file. */
function moreAuthorities(path: string): SecureContext {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new Fault("config.unreadable", `${path}: ${messageOf(error)}`, { errno: errnoOf(error), cause: error });
  }
  try {
    if (!text.includes("-----BEGIN CERTIFICATE-----")) throw new Error("no certificate in PEM form");
    return createSecureContext({ ca: [...rootCertificates, text] });
  } catch (error) {
    throw new Fault("config.invalid", `${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** OpenSSL's and Node's names for a certificate that is not good. */
const CERTIFICATE = /CERT|SELF_SIGNED|ALTNAME|UNABLE_TO|ISSUER|DEPTH_ZERO|^ERR_TLS/;

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

function resultOf(error: unknown): TlsResult {
  return CERTIFICATE.test(codeOf(error)) ? "sts-webpki-invalid" : "sts-policy-fetch-error";
}

function reasonOf(error: unknown): string {
  const code = codeOf(error);
  const message = messageOf(error).slice(0, 200);
  return code === "" || message.includes(code) ? message : `${code}: ${message}`;
}
