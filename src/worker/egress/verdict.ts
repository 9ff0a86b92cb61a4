import { unreachable } from "../../base/assert.js";
import type { PathConfig } from "../../config/compiled.js";
import type { FailureClass } from "../../protocol/layout/frames.js";
import type { DelayReason, EnhancedCode, ResponseText } from "../../protocol/records.js";
import { isUnknownCommand } from "../../smtp/client-exchange.js";
import type { RecipientResult, Stage, StepResult, TransactionResult } from "../../smtp/client-result.js";
import { formatEnhancedCode } from "../../smtp/enhanced-code.js";
import { cutText, type PeerReply } from "../../smtp/reply-reader.js";
import { CAUSE_WORDS, commonCause, isOfProxy } from "./cause.js";

/**
 * The one judge of trouble: sessions report what happened, this file alone says what it means for a recipient and for
 * the session. Pure functions; the rows are those of `test/worker/egress/verdict.test.ts`.
 */

/**
 * How texts of our own begin. Log processors and automation rules of the field know this mark and leave such records
 * alone, so it is kept letter by letter.
 */
export const INTERNAL_PREFIX = "KumoMTA internal: ";

/** Longest text that joins the failures of a plan's addresses, in UTF-16 units. */
export const MAX_JOINED_CHARS = 1024;

/** What becomes of one recipient. */
export type Fate =
  /** Taken by the peer: a Delivery record. */
  | { readonly kind: "delivered"; readonly response: ResponseText }
  /** Failed for now: a TransientFailure record, one more attempt counted. */
  | { readonly kind: "transient"; readonly response: ResponseText; readonly reason?: DelayReason }
  /** Refused for good: a Bounce record. */
  | { readonly kind: "bounced"; readonly response: ResponseText; readonly reason?: DelayReason }
  /** Failed, and not by its own fault: a TransientFailure record, then tried on the plan's next address at once. */
  | { readonly kind: "next-host"; readonly response: ResponseText }
  /** One recipient too many: no record; named again at once in a new transaction of the same connection. */
  | { readonly kind: "again"; readonly response: ResponseText }
  /** The peer offered BDAT and does not know it: no record; sent at once by DATA on a new connection to the same address. */
  | { readonly kind: "by-data"; readonly response: ResponseText }
  /** Its session stood still: a Delayed record, no attempt; it waits again for a while. */
  | { readonly kind: "stuck"; readonly response: ResponseText }
  /** Never tried: no record, no attempt; goes back to waiting. */
  | { readonly kind: "returned" };

/** What the session does next: serve on, end, or connect again for what still waits. */
export type SessionStep = "keep" | "end" | "same-host" | "next-host";

/** The settings of a path that the judge follows. */
export type VerdictPath = Pick<PathConfig, "reconnectStrategy" | "tryNextHostOnTransportError">;

/** What becomes of a message's recipients, and of the session that had them. */
export interface Verdict {
  /** One per recipient, in the message's order. */
  readonly fates: readonly Fate[];
  readonly session: SessionStep;
}

/**
 * Judges a message that was given to a session.
 * @param retriedAtOnce these recipients were `again` before in this attempt, for a reason that was only guessed.
 */
export function judge(result: TransactionResult, path: VerdictPath, retriedAtOnce: boolean): Verdict {
  const fates = result.recipients.map((one) => judgeRecipient(one, result, path, retriedAtOnce));
  if (fates.some((fate) => fate.kind === "by-data")) return { fates, session: "same-host" };
  const onward = fates.some((fate) => fate.kind === "next-host");
  return { fates, session: onward ? "next-host" : sessionStep(result, path) };
}

function sessionStep(result: TransactionResult, path: VerdictPath): SessionStep {
  if (result.end === null) return "keep";
  // Whatever was given to the session has its answer, or was never tried: the session has been of use and may end.
  if (result.untried || result.end === "quit" || result.end === "unsolicited") return "end";
  switch (path.reconnectStrategy) {
    case "TerminateSession":
      return "end";
    case "ReconnectSameHost":
      return "same-host";
    case "ConnectNextHost":
      return "next-host";
    default:
      return unreachable(path.reconnectStrategy);
  }
}

function judgeRecipient(
  one: RecipientResult,
  result: TransactionResult,
  path: VerdictPath,
  retriedAtOnce: boolean,
): Fate {
  const response = responseOf(one);
  const { answer } = one;
  switch (answer.kind) {
    case "reply":
      return judgeReply(one, answer.reply, response, path, retriedAtOnce, result.end === null);
    case "refused":
      return { kind: answer.code >= 500 ? "bounced" : "transient", response };
    case "timeout":
    case "protocol":
    case "closed":
    case "transport":
    case "tls":
      if (result.untried) return { kind: "returned" };
      // After the content the peer may have the message: an immediate second try elsewhere would make a duplicate likely.
      return {
        kind:
          path.tryNextHostOnTransportError && one.stage !== "dataDot" && !result.chunked ? "next-host" : "transient",
        response,
      };
    default:
      return unreachable(answer);
  }
}

function judgeReply(
  one: RecipientResult,
  reply: PeerReply,
  response: ResponseText,
  path: VerdictPath,
  retriedAtOnce: boolean,
  goesOn: boolean,
): Fate {
  const { code } = reply;
  if (code < 300) return { kind: endsContent(one.stage) ? "delivered" : "transient", response };
  if (one.stage === "bdat" && isUnknownCommand(code)) return { kind: "by-data", response };
  // A session command was refused: that says nothing about the message.
  if (one.stage === "rset") return { kind: path.tryNextHostOnTransportError ? "next-host" : "transient", response };
  if (one.stage === "rcptTo" && one.othersAccepted) {
    const crowd = crowding(reply, retriedAtOnce);
    if (crowd === "again" && goesOn) return { kind: "again", response };
    if (crowd !== "no") return { kind: "transient", response };
  }
  return { kind: code < 500 || code === 503 ? "transient" : "bounced", response };
}

/**
 * Whether a refusal of a recipient, after others were accepted, is about their number. `again`: yes, and another
 * transaction will do. `later`: cannot be told, so it is not held against the recipient for good (RFC 5321 §4.5.3.1.10).
 */
function crowding(reply: PeerReply, retriedAtOnce: boolean): "again" | "later" | "no" {
  const { code, enhanced } = reply;
  if (enhanced !== null && enhanced[1] === 5 && enhanced[2] === 3) return "again";
  if (code !== 452 && code !== 552) return "no";
  return enhanced === null && !retriedAtOnce ? "again" : "later";
}

/** Whether a good reply at this stage means that the peer has taken the message. */
function endsContent(stage: Stage): boolean {
  return stage === "dataDot" || stage === "bdat";
}

/** What is logged of an answer. */
export function responseOf(step: StepResult): ResponseText {
  const { answer, command } = step;
  switch (answer.kind) {
    case "reply": {
      const { code, enhanced, content } = answer.reply;
      if (code < 300 && !endsContent(step.stage)) {
        // A record of a failure with the code of a success would mislead everybody who counts codes.
        return own(400, null, `unexpected reply to ${commandName(step)}: ${replyText(answer.reply)}`, command);
      }
      return { code, enhanced, content, command };
    }
    case "refused":
      return own(answer.code, answer.enhanced, answer.text, command);
    case "timeout":
      return own(421, [4, 4, 2], describe(step), command);
    case "protocol":
    case "closed":
    case "transport":
    case "tls":
      return own(400, null, describe(step), command);
    default:
      return unreachable(answer);
  }
}

/** A response that we make up, marked as such. */
function own(code: number, enhanced: EnhancedCode | null, text: string, command: string | null): ResponseText {
  return { code, enhanced, content: INTERNAL_PREFIX + text, command };
}

/** What went wrong at a step, in words, for people. */
function describe(step: StepResult): string {
  const { answer } = step;
  const waiting = step.stage === "connect" ? "while connecting" : `while waiting for ${awaited(step)}`;
  switch (answer.kind) {
    case "reply":
      return `${awaited(step)}: ${replyText(answer.reply)}`;
    case "refused":
      return answer.text;
    case "tls":
      return `TLS: ${answer.reason}`;
    case "timeout":
      return `timed out after ${answer.afterMs / 1000}s ${waiting}`;
    case "protocol":
      return `protocol error ${waiting}: ${answer.reason}`;
    case "closed":
      return `connection closed by the peer ${waiting}`;
    case "transport":
      return `${answer.detail} ${waiting}`;
    default:
      return unreachable(answer);
  }
}

function awaited(step: StepResult): string {
  if (step.stage === "banner") return "the greeting";
  return step.stage === "handshake" ? "the TLS handshake" : `the reply to ${commandName(step)}`;
}

/** What a stage is called where its command is not known word for word. */
const STAGE_WORDS: Readonly<Record<Stage, string>> = {
  connect: "the connection",
  banner: "the connection",
  ehlo: "EHLO",
  helo: "HELO",
  starttls: "STARTTLS",
  handshake: "the TLS handshake",
  auth: "AUTH",
  rset: "RSET",
  mailFrom: "MAIL",
  rcptTo: "RCPT",
  data: "DATA",
  dataDot: "the end of data",
  bdat: "BDAT",
};

function commandName(step: StepResult): string {
  return step.command === null || step.command === "." ? STAGE_WORDS[step.stage] : step.command;
}

function replyText(reply: PeerReply): string {
  const code = reply.enhanced === null ? `${reply.code}` : `${reply.code} ${formatEnhancedCode(reply.enhanced)}`;
  return reply.content === "" ? code : `${code} ${reply.content}`;
}

/** What is said of messages whose session stood still for so long in this phase. */
export function judgeStuck(afterMs: number, phase: string): ResponseText {
  return own(451, [4, 4, 1], `the session made no progress for ${afterMs / 1000}s (${phase}) and was ended`, null);
}

/** An address of a plan that could not be used, and why. */
export interface HostFailure {
  readonly name: string;
  /** Null for a unix socket. */
  readonly address: string | null;
  readonly failure: StepResult;
  /** Whose trouble it is. */
  readonly cause: FailureClass;
  /** The proxy that the failure is to be told of, where its text does not name it already. */
  readonly via: string | null;
}

/**
 * No address of the plan could be connected to and greeted: the message failed for now. That a host refuses the
 * connection for good (5xx greeting) is a failure of the host, not of the message: RFC 5321 §4.2.4.2 lets us try others
 * and come back.
 */
export function judgeUnreachable(failures: readonly HostFailure[]): ResponseText {
  const cause = commonCause(failures);
  const words = failures.every((one) => one.cause === cause) ? CAUSE_WORDS[cause] : "";
  let text = `${INTERNAL_PREFIX}failed to connect to any candidate hosts${words === "" ? "" : ` (${words})`}: `;
  for (let i = 0; i < failures.length; i++) {
    const { name, address, failure, cause: blamed, via } = failures[i];
    const where = address === null || address === name ? name : `${name} [${address}]`;
    const part = `${i === 0 ? "" : ", "}${where}: ${via === null ? "" : `proxy ${via}: `}${telling(failure, blamed)}`;
    // Room is left for the count behind, so that the whole stays within its bound.
    const room = MAX_JOINED_CHARS - text.length - 24;
    if (part.length > room) {
      // One is always named, as far as it fits.
      if (i === 0) text += cutText(part, room);
      const unnamed = failures.length - Math.max(1, i);
      if (unnamed > 0) text += `, and ${unnamed} more`;
      break;
    }
    text += part;
  }
  return { code: 400, enhanced: null, content: text, command: null };
}

/** A proxy's fault says in its own words what it was doing. */
function telling(failure: StepResult, cause: FailureClass): string {
  const { stage, answer } = failure;
  return isOfProxy(cause) && stage === "connect" && answer.kind === "transport" ? answer.detail : describe(failure);
}

/** Why a plan has no address to try. */
export type PlanProblem = "none" | "family" | "prohibited" | "skipped";

/** What becomes of every message of a path whose plan has this problem. */
export interface PlanVerdict {
  readonly kind: "transient" | "bounced";
  readonly response: ResponseText;
  readonly reason: DelayReason;
}

/**
 * Judges a plan without addresses.
 * @param detail the prohibited address, "" when there is none.
 */
export function judgePlan(problem: PlanProblem, site: string, detail: string): PlanVerdict {
  switch (problem) {
    case "none": {
      const content = `no address was found for the hosts of ${site}`;
      const response = { code: 451, enhanced: [4, 4, 4], content, command: null } as const;
      return { kind: "transient", response, reason: "MxResolvedToZeroHosts" };
    }
    case "family": {
      const content = `no address of ${site} is of the family of the source's address`;
      return { kind: "transient", response: own(451, [4, 4, 4], content, null), reason: "MxResolvedToZeroHosts" };
    }
    case "prohibited": {
      const response = own(550, [5, 4, 4], `${site} resolves to the prohibited address ${detail}`, null);
      return { kind: "bounced", response, reason: "MxWasProhibited" };
    }
    case "skipped": {
      const response = own(451, [4, 4, 4], `every address of ${site} is in skip_hosts`, null);
      return { kind: "transient", response, reason: "MxWasSkipped" };
    }
    default:
      return unreachable(problem);
  }
}
