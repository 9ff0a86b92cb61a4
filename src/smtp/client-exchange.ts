import { assert } from "../base/assert.js";
import type { ClientHost, TransactionPhase } from "./client-host.js";
import type { Answer } from "./client-result.js";
import type { Transaction } from "./client-transaction.js";
import type { PeerReply } from "./reply-reader.js";

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
 *     [rset] ─▶ mailFrom ─▶ rcptTo… ─▶ data ─▶ dataDot
 */
export class Exchange {
  readonly #host: ClientHost;
  #transaction: Transaction | null = null;
  #phase: TransactionPhase = "mailFrom";
  /** The commands of the transaction were written together. */
  #pipelined = false;
  /** Transactions that the peer has answered. */
  #served = 0;
  #lastFailed = false;

  constructor(host: ClientHost) {
    this.#host = host;
  }

  /** The reply that is waited for. */
  get phase(): TransactionPhase {
    return this.#phase;
  }

  /** Begins a transaction and writes its first command, or all up to DATA when `pipelined`. */
  begin(transaction: Transaction, pipelined: boolean, enableRset: boolean): void {
    this.#transaction = transaction;
    this.#pipelined = pipelined;
    const reset = this.#served > 0 && (enableRset || this.#lastFailed);
    this.#phase = reset ? "rset" : "mailFrom";
    if (pipelined) this.#write(reset ? `RSET\r\n${transaction.group}` : transaction.group, transaction.wide);
    else this.issue();
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
        return this.#pipelined ? "wait" : "issue";
      case "mailFrom":
        if (code >= 300) {
          transaction.settle("mailFrom", { kind: "reply", reply }, transaction.commandAt("mailFrom"));
          if (!this.#pipelined) return "settled";
        }
        this.#phase = "rcptTo";
        return this.#pipelined ? "wait" : "issue";
      case "rcptTo":
        if (code < 300 ? transaction.accept() : transaction.refuse({ kind: "reply", reply })) {
          return this.#pipelined ? "wait" : "issue";
        }
        if (!this.#pipelined && transaction.accepted === 0) return "settled";
        this.#phase = "data";
        return this.#pipelined ? "wait" : "issue";
      case "data":
        if (intermediate) {
          this.#phase = "dataDot";
          return "issue";
        }
        transaction.settle("data", { kind: "reply", reply }, "DATA");
        return "settled";
      default:
        this.#lastFailed = transaction.accepted === 0 || code >= 300;
        transaction.settle("dataDot", { kind: "reply", reply }, ".");
        return "settled";
    }
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
    if (this.#phase !== "dataDot") this.#lastFailed = true;
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
