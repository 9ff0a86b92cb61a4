import type { ResponseText } from "../protocol/records.js";
import type { Mailbox } from "./address.js";
import type { MailParameters } from "./command.js";
import type { ReceivedContent } from "./content.js";
import type { Reply } from "./reply.js";

/** Where a session stands; the drawing in `server-machine.ts` shows how it gets there. */
export type ServerPhase = "greeting" | "commands" | "deciding" | "content" | "storing" | "closed";

/** The envelope of the message that a client is sending (RFC 5321 §4.1.4: the buffers that MAIL clears and RCPT fills). */
export class Transaction implements MailParameters {
  /** Reverse path; null when no transaction is under way. */
  sender: Mailbox | null = null;
  /** Accepted forward paths, in order, repetitions kept. The list is the reader's to keep: the next message gets its own. */
  recipients: Mailbox[] = [];
  declaredSize = -1;
  declared8bit = false;
  smtpUtf8 = false;

  /** Begins with the address and the parameters of MAIL. */
  begin(sender: Mailbox, parameters: MailParameters): void {
    this.sender = sender;
    this.declaredSize = parameters.declaredSize;
    this.declared8bit = parameters.declared8bit;
    this.smtpUtf8 = parameters.smtpUtf8;
  }

  /** Forgets everything, wholly. */
  clear(): void {
    this.sender = null;
    if (this.recipients.length > 0) this.recipients = [];
    this.declaredSize = -1;
    this.declared8bit = false;
    this.smtpUtf8 = false;
  }
}

/**
 * Who holds the machine: it has the socket, the policy and the spool. A verdict is a {@link Reply}: `ACCEPT` or any other
 * below 400 accepts, one of 400 or more refuses with its text, 421 closes too. Null means that the verdict is not known
 * yet: the machine reads no further and waits for `answer`.
 */
export interface ServerHost {
  /** Sends text of one octet per character. Called at most once per call into the machine. */
  write(text: string): void;
  /** Sends what was written, then closes both ways. Called exactly once, as the last call, unless the peer was lost. */
  close(): void;
  /** May this sender begin a message? `transaction` already holds the address and the parameters. */
  onMail(sender: Mailbox, transaction: Transaction): Reply | null;
  /** May this recipient have it? Relay rules live here. A bare postmaster has `domain` "": it is this host's own. */
  onRcpt(recipient: Mailbox, transaction: Transaction): Reply | null;
  /** May the content come? A refusal ends the transaction. */
  onDataCommand(transaction: Transaction): Reply | null;
  /**
   * The message is complete. The machine waits for `finish`, which may be called from inside; until then `content` and
   * `transaction` stay as they are, whatever happens to the connection.
   */
  onMessage(content: ReceivedContent, transaction: Transaction): void;
  /**
   * A command, or a message at its end, was answered with 400–599. Not called for 421 4.3.2, which is no judgement.
   * `sender` and `recipient` tell whose mail was refused, as far as it was known.
   */
  onRejected(response: ResponseText, sender: Mailbox | null, recipient: Mailbox | null): void;
}
