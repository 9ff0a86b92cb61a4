import { assert } from "../base/assert.js";
import type { ClientHost, TransactionPhase } from "./client-host.js";
import type { Answer } from "./client-result.js";
import type { Transaction } from "./client-transaction.js";
import type { PeerReply } from "./reply-reader.js";

/** How the commands of a transaction leave. */
export type Wording =
  /** One by one, each after the reply to the one before. */
  | "single"
  /** Together, up to DATA (RFC 2920 §3.1). */
  | "group"
  /** Together with the content, which goes behind BDAT: one round trip (RFC 3030 §4.2). */
  | "chunk";

/** What is to be done after a reply inside a transaction. */
export type ExchangeStep =
  /** More replies to what was written are due. */
  | "wait"
  /** Write the phase's command. */
  | "issue"
  /** Every recipient of the transaction has a result, and nothing more is due. */
  | "settled"
  /** The session ends because of this reply. */
  | "broken";

/**
 * The order of commands in a mail transaction, one by one or as a group (RFC 5321 §3.3, RFC 2920), and what replies do to it.
 *
 * Runs on: a worker, one per client machine, for all its transactions one after the other.
 * Owns: the transaction under way, which reply of it is due, and what earlier ones leave behind (is a RSET called for).
 * When full: one transaction at a time; the next `begin` comes after `finish`.
 * On failure: a reply out of place is `broken`; what the transaction's recipients are told then is said by `breakOff`.
 *
 *     [rset] ─▶ mailFrom ─▶ rcptTo… ─▶ data ─▶ dataDot          one by one, or together up to DATA
 *     [rset] ─▶ mailFrom ─▶ rcptTo… ─▶ bdat                     all in one write, the content too (RFC 3030)
 */
export class Exchange {
  readonly #host: ClientHost;
  readonly #lmtp: boolean;
  #transaction: Transaction | null = null;
  #phase: TransactionPhase = "mailFrom";
  #wording: Wording = "single";
  /** Transactions that the peer has answered. */
  #served = 0;
  #lastFailed = false;

  /** @param lmtp the end of the content is answered for each accepted recipient (RFC 2033 §4.2). */
  constructor(host: ClientHost, lmtp: boolean) {
    this.#host = host;
    this.#lmtp = lmtp;
  }

  /** The reply that is waited for. */
  get phase(): TransactionPhase {
    return this.#phase;
  }

  /** The content of the transaction goes, or went, out together with its commands. */
  get chunked(): boolean {
    return this.#wording === "chunk";
  }

  /** Content may be on its way out: whatever leaves shows that the peer lives. */
  get contentLeaves(): boolean {
    return this.#phase === "dataDot" || this.#wording === "chunk";
  }

  /** Begins a transaction and writes its first command, or as many as `wording` says. */
  begin(transaction: Transaction, wording: Wording, enableRset: boolean): void {
    this.#transaction = transaction;
    this.#wording = wording;
    const reset = this.#served > 0 && (enableRset || this.#lastFailed);
    this.#phase = reset ? "rset" : "mailFrom";
    if (wording === "single") {
      this.issue();
      return;
    }
    const end = wording === "chunk" ? transaction.bdat : "DATA";
    this.#write(`${reset ? "RSET\r\n" : ""}${transaction.group}${end}\r\n`, transaction.wide);
    if (wording === "chunk") transaction.writeChunk(this.#host);
  }

  /** Takes a reply. Only the class of its code decides (RFC 5321 §4.3.2), and whether it is a 421. */
  take(reply: PeerReply): ExchangeStep {
    const transaction = this.#underWay();
    transaction.replies++;
    const code = reply.code;
    const intermediate = code >= 300 && code < 400;
    // 3xx is the go-ahead for content, and DATA alone may get it; a 2xx to DATA means that the peer has lost its place.
    if (code === 421 || intermediate !== (this.#phase === "data" && code < 400)) return "broken";
    switch (this.#phase) {
      case "rset":
        if (code >= 300) return "broken";
        this.#phase = "mailFrom";
        return this.#onward;
      case "mailFrom":
        if (code >= 300) {
          transaction.settle("mailFrom", { kind: "reply", reply }, transaction.commandAt("mailFrom"));
          if (this.#wording === "single") return "settled";
        }
        this.#phase = "rcptTo";
        return this.#onward;
      case "rcptTo":
        if (code < 300 ? transaction.accept() : transaction.refuse({ kind: "reply", reply })) {
          return this.#onward;
        }
        if (this.#wording === "single" && transaction.accepted === 0) return "settled";
        this.#phase = this.#wording === "chunk" ? "bdat" : "data";
        return this.#onward;
      case "data":
        if (intermediate) {
          this.#phase = "dataDot";
          return "issue";
        }
        transaction.settle("data", { kind: "reply", reply }, "DATA");
        return "settled";
      default:
        return this.#takeEnd(transaction, reply);
    }
  }

  /** What a good reply in the middle of the transaction is followed by. */
  get #onward(): ExchangeStep {
    return this.#wording === "single" ? "issue" : "wait";
  }

  /** The peer has answered for the content. When it had accepted nobody, its answer counts for nothing. */
  #takeEnd(transaction: Transaction, reply: PeerReply): ExchangeStep {
    const phase = this.#phase;
    const { code } = reply;
    const counts = transaction.accepted > 0;
    const answer = { kind: "reply", reply } as const;
    const command = transaction.commandAt(phase);
    this.#lastFailed = !counts || code >= 300;
    // It offered CHUNKING and does not know BDAT: what it takes the content for, nobody can say.
    const lost = counts && phase === "bdat" && isUnknownCommand(code);
    if (this.#lmtp && counts && !lost && transaction.settleNext(phase, answer, command)) return "wait";
    transaction.settle(phase, answer, command);
    return lost ? "broken" : "settled";
  }

  /** Writes the command of the phase, or the content. */
  issue(): void {
    const transaction = this.#underWay();
    switch (this.#phase) {
      case "rset":
        this.#host.write("RSET\r\n");
        return;
      case "mailFrom":
        this.#write(`${transaction.mail}\r\n`, transaction.wide);
        return;
      case "rcptTo":
        this.#write(`${transaction.rcpt}\r\n`, transaction.wide);
        return;
      case "data":
        this.#host.write("DATA\r\n");
        return;
      case "bdat":
        assert(false, "a chunk leaves with its commands");
        return;
      default:
        transaction.writeContent(this.#host);
    }
  }

  /**
   * Gives every recipient whose fate is not known this one. Returns whether the peer had answered nothing of the transaction,
   * on a connection that was lost after it had served others.
   * @param left the phase that it happened in, when the exchange has moved on since; no command is named then.
   */
  breakOff(answer: Answer, left: TransactionPhase | null): boolean {
    const transaction = this.#underWay();
    const phase = left ?? this.#phase;
    const lost = answer.kind === "closed" || answer.kind === "transport";
    const untried = lost && transaction.replies === 0 && this.#served > 0;
    transaction.settle(phase, answer, left === null ? transaction.commandAt(phase) : null);
    return untried;
  }

  /** The transaction is over: it is given back, with all its results. */
  finish(): Transaction {
    const transaction = this.#underWay();
    this.#transaction = null;
    if (this.#phase !== "dataDot" && this.#phase !== "bdat") this.#lastFailed = true;
    this.#served++;
    return transaction;
  }

  #underWay(): Transaction {
    assert(this.#transaction !== null, "a client session was in a transaction without a message");
    return this.#transaction;
  }

  #write(text: string, wide: boolean): void {
    if (wide) this.#host.writeBytes(Buffer.from(text, "utf8"));
    else this.#host.write(text);
  }
}

/** The codes by which a server says that it does not know a command, or not at this point (RFC 5321 §4.2.4). */
export function isUnknownCommand(code: number): boolean {
  return code === 500 || code === 502 || code === 503;
}
