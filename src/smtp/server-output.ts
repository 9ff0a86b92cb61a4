import type { Mailbox } from "./address.js";
import { asResponse, type Reply } from "./reply.js";
import type { ServerHost, Transaction } from "./server-transaction.js";

/**
 * What a session says: replies of one call are joined here and written once; refusals are also told to the host, so that
 * each of them has its record.
 */
export class ServerOutput {
  readonly #host: ServerHost;
  readonly #transaction: Transaction;
  #text = "";

  constructor(host: ServerHost, transaction: Transaction) {
    this.#host = host;
    this.#transaction = transaction;
  }

  /** Adds the bytes of a reply. */
  say(wire: string): void {
    this.#text += wire;
  }

  /** Adds a refusal and has it recorded, unless it only says that the server is not at your service (421 of 4.3). */
  refuse(reply: Reply, command: string | null, recipient: Mailbox | null): void {
    this.#text += reply.wire;
    if (reply.code === 421 && reply.enhanced !== null && reply.enhanced[1] === 3 && reply.enhanced[2] === 2) return;
    this.#host.onRejected(asResponse(reply, command), this.#transaction.sender, recipient);
  }

  /** Writes what was said since the last time. */
  flush(): void {
    const text = this.#text;
    if (text === "") return;
    this.#text = "";
    this.#host.write(text);
  }

  /** Forgets what was not written. */
  drop(): void {
    this.#text = "";
  }
}
