import { X509Certificate } from "node:crypto";
import { isIP, type Socket } from "node:net";
import { connect, type PeerCertificate, type SecureContext, type TLSSocket } from "node:tls";
import { daneMatches } from "../../../dns/dane-match.js";
import type { Connection } from "../../../native/binding.js";
import { SecureConnection } from "../../../native/secure-connection.js";
import type { DaneState } from "../../../protocol/tls-policy.js";
import type { Answer } from "../../../smtp/client-result.js";
import type { KnownSession, Resumption } from "./resumption.js";
import { certificateFailure, handshakeFailure, type TlsFailure } from "./tls-failure.js";

/** What a handshake is to bring about. */
export interface HandshakeWant {
  /** The host's name: for SNI, and what its certificate must be for. */
  readonly host: string;
  readonly verify: "none" | "name" | "dane";
  readonly dane: DaneState;
  readonly context: SecureContext;
  /** Names everything that a resumed session depends on. */
  readonly key: string;
}

/** What is known of a secured connection. */
export interface TlsFacts {
  /** As IANA names it: `TLS_AES_256_GCM_SHA384`. */
  readonly cipher: string;
  /** `TLSv1.3`. */
  readonly version: string;
  /** The parts of the subject of the server's certificate. */
  readonly subject: readonly string[];
  /** What the certificate lacks to prove who the server is; null for nothing. */
  readonly lacks: TlsFailure | null;
  /** Went on from an earlier session. */
  readonly resumed: boolean;
}

/** How a handshake ended. */
export type HandshakeResult =
  | { readonly kind: "secured"; readonly facts: TlsFacts }
  | { readonly kind: "failed"; readonly failure: TlsFailure }
  /** Nothing was begun, and the host's TLS is not to blame: our own settings are, or somebody who tampers. */
  | { readonly kind: "not-begun"; readonly answer: Answer };

/** What a handshake needs of its worker. */
export interface HandshakeParts {
  readonly resumption: Resumption;
  readonly requestTurn: () => void;
  /** Monotonic, for how long sessions may be resumed. */
  readonly monoMs: () => number;
  /** For the dates of certificates. */
  readonly wallMs: () => number;
}

/**
 * Begins TLS on a plain connection, whose handler stays; `done` is called once, before the handler hears anything more.
 * OpenSSL is never asked to refuse a certificate: what is lacking is said in words here, and judged by what is wanted.
 */
export function startHandshake(
  plain: Connection,
  want: HandshakeWant,
  parts: HandshakeParts,
  done: (result: HandshakeResult) => void,
): Connection {
  const { resumption } = parts;
  const known = resumption.get(want.key, parts.monoMs());
  const name = sniName(want);
  let latest: Buffer | null = null;
  let proved: Omit<KnownSession, "session"> | null = null;
  const keep = (session: Buffer): void => {
    latest = session;
    if (proved !== null) resumption.put(want.key, { session, ...proved });
  };
  const wrap = (socket: Socket): TLSSocket => {
    const secure = connect({
      socket,
      secureContext: want.context,
      rejectUnauthorized: false,
      // RFC 7672 §8.1, RFC 3207: the name that is asked for is the one that is checked.
      ...(name === null ? {} : { servername: name }),
      ...(known === null ? {} : { session: known.session }),
      checkServerIdentity: (_, certificate) => nameProblem(want.host, certificate),
    });
    secure.on("session", keep);
    return secure;
  };
  const onHandshake = (error: Error | null): void => {
    if (error !== null) {
      if (known !== null) resumption.drop(want.key);
      done({ kind: "failed", failure: handshakeFailure(error) });
      return;
    }
    const { socket } = connection;
    const resumed = known !== null && socket.isSessionReused();
    const judged = resumed ? { lacks: known.lacks, failure: null } : judge(socket, want, parts.wallMs());
    if (judged.failure !== null) {
      done({ kind: "failed", failure: judged.failure });
      return;
    }
    const subject = resumed ? known.subject : subjectOf(socket);
    proved = { lacks: judged.lacks, subject, provedMs: resumed ? known.provedMs : parts.monoMs() };
    if (latest !== null) keep(latest);
    const cipher = socket.getCipher();
    const facts = {
      cipher: cipher.standardName ?? cipher.name,
      version: socket.getProtocol() ?? "",
      subject,
      lacks: judged.lacks,
      resumed,
    };
    done({ kind: "secured", facts });
  };
  const connection = new SecureConnection(plain, {
    wrap,
    event: "secureConnect",
    onHandshake,
    requestTurn: parts.requestTurn,
  });
  return connection;
}

const NAME_RULES = { subject: "never", partialWildcards: false } as const;

/**
 * What is wrong with a certificate's names: the host must be among the alternative ones, itself or by a `*` that is a
 * whole label (RFC 8461 §4.1, RFC 6125 §6.4). Node's own check would take a common name, too.
 */
function nameProblem(host: string, { raw }: PeerCertificate): Error | undefined {
  const certificate = new X509Certificate(raw);
  const name = isIP(host) === 0 ? certificate.checkHost(host, NAME_RULES) : certificate.checkIP(host);
  if (name !== undefined) return undefined;
  return Object.assign(new Error(`not for ${host}`), { code: "ERR_TLS_CERT_ALTNAME_INVALID" });
}

/** Null for a host that has only an address: SNI takes none (RFC 6066 §3). */
function sniName({ host, dane, verify }: HandshakeWant): string | null {
  const base = verify === "dane" && dane.kind === "usable" ? (dane.names[0] ?? host) : host;
  const name = base.replace(/\.$/, "");
  return name === "" || isIP(name) !== 0 || !/^[A-Za-z0-9._-]{1,253}$/.test(name) ? null : name;
}

/** What the server's certificate lacks, and whether that is too much. */
function judge(
  socket: TLSSocket,
  { host, verify, dane }: HandshakeWant,
  wallMs: number,
): { readonly lacks: TlsFailure | null; readonly failure: TlsFailure | null } {
  if (verify === "dane" && dane.kind === "usable") {
    const match = daneMatches(dane.records, dane.names, chainOf(socket), wallMs);
    if (match.kind === "match") return { lacks: null, failure: null };
    const result = match.result === "success" ? "validation-failure" : match.result;
    const failure = { result, reason: `DANE: ${match.reason}` };
    return { lacks: failure, failure };
  }
  if (socket.authorized) return { lacks: null, failure: null };
  const names = socket.getPeerX509Certificate()?.subjectAltName ?? "";
  const failure = certificateFailure(String(socket.authorizationError), host, names);
  return { lacks: failure, failure: verify === "none" ? null : failure };
}

function subjectOf(socket: TLSSocket): readonly string[] {
  const subject = socket.getPeerX509Certificate()?.subject ?? "";
  return subject === "" ? [] : subject.split("\n").slice(0, 20);
}

/** The server's certificates in DER, its own first. */
function chainOf(socket: TLSSocket): readonly Uint8Array[] {
  const chain: Uint8Array[] = [];
  const seen = new Set<unknown>();
  let one = socket.getPeerCertificate(true);
  while (one?.raw !== undefined && !seen.has(one) && chain.length < 10) {
    seen.add(one);
    chain.push(one.raw);
    one = one.issuerCertificate;
  }
  return chain;
}
