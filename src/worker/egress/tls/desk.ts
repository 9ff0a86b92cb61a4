/**
 * Everything about TLS and authentication that the sessions of a worker share.
 *
 * Runs on   a worker
 * Owns      the contexts, the sessions that can be resumed, the memory of broken TLS; each is bounded
 * When full each forgets its oldest
 * On failure what fails is told to the line that asked, in words
 */
import { readFileSync } from "node:fs";
import type { Clock } from "../../../base/clock.js";
import { errnoOf } from "../../../base/fault.js";
import type { Connection } from "../../../native/binding.js";
import { Counter } from "../../../protocol/metrics.js";
import type { ClientAuth } from "../../../smtp/client-auth.js";
import type { OpeningDemand } from "../../../smtp/client-opening.js";
import type { StepResult } from "../../../smtp/client-result.js";
import type { EgressPath } from "../path.js";
import type { PlanTarget } from "../plan.js";
import { BrokenTls, DEFAULT_MEMORY_MS } from "./broken-tls.js";
import { contextKey, TlsContexts } from "./contexts.js";
import { type HandshakeResult, startHandshake, type TlsFacts } from "./handshake.js";
import { Resumption } from "./resumption.js";
import { type TlsDemand, tlsDemand } from "./tls-demand.js";

/** What TLS needs of its worker. */
export interface DeskParts {
  readonly clock: Clock;
  readonly requestTurn: () => void;
  readonly counters: Float64Array;
}

/** See the file's header. */
export class TlsDesk {
  readonly #parts: DeskParts;
  readonly #contexts = new TlsContexts();
  readonly #resumption = new Resumption();
  readonly #broken = new BrokenTls();

  constructor(parts: DeskParts) {
    this.#parts = parts;
  }

  /**
   * What is demanded of an address that is about to be tried.
   * @param clear it has just failed at TLS, and is to be tried without.
   * @param around runs what the handshake's end leads to.
   */
  security(path: EgressPath, target: PlanTarget, clear: boolean, around: (act: () => void) => void): LineSecurity {
    const { enableTls, opportunisticTlsReconnect } = path.config;
    const demand = tlsDemand({
      mode: enableTls,
      broken: this.#broken.has(path.name, target.name, this.#parts.clock.monoMs()),
      clear,
      sts: path.sts,
      dane: target.dane.kind,
      reconnect: opportunisticTlsReconnect,
    });
    return new LineSecurity(this, path, target, demand, around);
  }

  /** Begins TLS on a connection; `done` is called once. */
  begin(
    plain: Connection,
    { path, target, demand }: LineSecurity,
    done: (result: HandshakeResult) => void,
  ): Connection {
    const settings = contextKey(path.config);
    const context = this.#contexts.get(settings, path.config, this.#parts.clock.monoMs());
    if ("problem" in context) {
      const text = `TLS: our own settings cannot be used: ${context.problem}`;
      done({ kind: "not-begun", answer: { kind: "refused", code: 451, enhanced: [4, 3, 5], text } });
      return plain;
    }
    if (plain.pendingBytes > 0) {
      const reason = "the reply to STARTTLS came before the command had left";
      done({ kind: "not-begun", answer: { kind: "protocol", reason } });
      return plain;
    }
    const { clock, requestTurn } = this.#parts;
    const dane = demand.verify === "dane" ? target.dane : null;
    const want = {
      host: target.name.replace(/\.$/, ""),
      verify: demand.verify,
      dane: target.dane,
      context,
      key: `${demand.verify}\n${target.name}\n${target.address ?? target.unix}:${target.port}\n${settings}\n${daneKey(dane)}`,
    };
    const parts = {
      resumption: this.#resumption,
      requestTurn,
      monoMs: () => clock.monoMs(),
      wallMs: () => clock.wallMs(),
    };
    return startHandshake(plain, want, parts, (result) => {
      this.count(Counter.tlsHandshakes);
      if (result.kind === "failed") this.count(Counter.tlsFailures);
      else if (result.kind === "secured" && result.facts.resumed) this.count(Counter.tlsResumed);
      done(result);
    });
  }

  /** Counts what happened on a connection. */
  count(counter: Counter): void {
    (this.#parts.counters[counter] as number)++;
  }

  /** TLS with a host failed, where clear would have done. */
  noteBroken({ config, name }: EgressPath, host: string): void {
    const memoryMs = config.rememberBrokenTlsMs ?? (config.opportunisticTlsReconnect ? DEFAULT_MEMORY_MS : 0);
    this.#broken.note(name, host, this.#parts.clock.monoMs(), memoryMs);
  }

  /** Gives up what can be had again: memory is short. */
  tighten(tight: boolean): void {
    if (!tight) return;
    this.#resumption.clear();
    this.#contexts.clear();
  }
}

function daneKey(dane: PlanTarget["dane"] | null): string {
  if (dane === null || dane.kind !== "usable") return "";
  const records = dane.records.map(
    ({ usage, selector, matching, data }) => `${usage} ${selector} ${matching} ${Buffer.from(data).toString("base64")}`,
  );
  return `${dane.names.join(" ")}\n${records.sort().join("\n")}`;
}

/** What is demanded of one address, for the line to it. */
export class LineSecurity {
  readonly path: EgressPath;
  readonly target: PlanTarget;
  readonly demand: TlsDemand;
  /** What the client machine follows. */
  readonly opening: OpeningDemand;
  readonly #desk: TlsDesk;
  readonly #around: (act: () => void) => void;

  constructor(
    desk: TlsDesk,
    path: EgressPath,
    target: PlanTarget,
    demand: TlsDemand,
    around: (act: () => void) => void,
  ) {
    this.#desk = desk;
    this.path = path;
    this.target = target;
    this.demand = demand;
    this.#around = around;
    const { startTls, clearWhenRefused } = demand;
    this.opening = { startTls, clearWhenRefused, auth: authOf(path) };
  }

  /** Why the address must not even be connected to; null when it may. */
  get unusable(): StepResult | null {
    const { dane } = this.target;
    if (dane.kind !== "failed") return null;
    const reason = `the TLSA records of this host cannot be had (${dane.reason})`;
    return { stage: "handshake", answer: { kind: "tls", result: "dnssec-invalid", reason }, command: null };
  }

  /** Begins TLS on the connection; `done` is called once. */
  begin(plain: Connection, done: (result: HandshakeResult) => void): Connection {
    return this.#desk.begin(plain, this, (result) => this.#around(() => done(result)));
  }

  /** The connection is ready for mail. */
  reached(tls: TlsFacts | null): void {
    if (tls === null) this.#desk.count(Counter.tlsClear);
    else this.#desk.count(tls.lacks === null ? Counter.tlsProved : Counter.tlsUnproved);
    if (this.opening.auth !== null) this.#desk.count(Counter.authAccepted);
  }

  /**
   * The address could not be used. Says whether it is to be tried again at once, in clear.
   * @param secured it failed after the handshake.
   */
  failed(failure: StepResult, secured: boolean): boolean {
    const { stage, answer } = failure;
    if (stage === "auth") this.#desk.count(Counter.authFailures);
    const atTls = stage === "starttls" || stage === "handshake" || (secured && stage === "ehlo");
    // A peer that is busy is not broken, nor is one to whom we cannot speak TLS by our own fault; and one that somebody
    // tampers with gets nothing in clear on that account.
    const busy = answer.kind === "reply" && answer.reply.code === 421;
    const notItsTls = busy || answer.kind === "protocol" || answer.kind === "refused";
    if (!atTls || notItsTls || this.demand.whenFailed === "fail") return false;
    this.#desk.noteBroken(this.path, this.target.name);
    return this.demand.whenFailed === "clear";
  }
}

/** Who we are on a path; null for a path that says nothing of it. */
function authOf({ config }: EgressPath): ClientAuth | null {
  const { smtpAuthUsername, smtpAuthPassword, smtpAuthTokenFile } = config;
  if (smtpAuthUsername === null && smtpAuthPassword === null && smtpAuthTokenFile === null) return null;
  const token = smtpAuthTokenFile === null ? null : readToken(smtpAuthTokenFile);
  return {
    username: smtpAuthUsername ?? "",
    password: smtpAuthPassword,
    token,
    problem: authProblem(smtpAuthUsername, smtpAuthPassword, smtpAuthTokenFile, token),
    withoutTls: config.allowAuthWithoutTls,
    withoutValidCertificate: config.allowAuthWithoutValidCertificate,
  };
}

/** Half a configuration must not become mail without authentication. */
function authProblem(
  username: string | null,
  password: string | null,
  tokenFile: string | null,
  token: string | null,
): string | null {
  if (username === null) return "authentication is configured without smtp_auth_plain_username";
  if (password !== null || token !== null) return null;
  return tokenFile === null
    ? "authentication is configured without smtp_auth_plain_password or smtp_auth_token_file"
    : `no access token can be read from ${tokenFile} (smtp_auth_token_file)`;
}

function readToken(path: string): string | null {
  try {
    return readFileSync(path, "utf8").trim() || null;
  } catch (error) {
    if (errnoOf(error) === null) throw error;
    return null;
  }
}
