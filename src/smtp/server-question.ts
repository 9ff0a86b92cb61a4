import { type Mailbox, NULL_SENDER } from "./address.js";
import { Verb } from "./command.js";
import type { Reply } from "./reply.js";
import * as say from "./server-replies.js";

/**
 * The command that waits for a verdict, and its address.
 *
 * Runs on: a worker, one per session. Owns: the last command that was asked about.
 * When full: one at a time. On failure: nothing here fails.
 */
export class Question {
  /** MAIL, RCPT or DATA. */
  verb: Verb = Verb.data;
  mailbox: Mailbox = NULL_SENDER;

  /** The command as a refusal of it is recorded. */
  get command(): string {
    switch (this.verb) {
      case Verb.rcpt:
        return `RCPT TO:<${this.mailbox.text}>`;
      case Verb.mail:
        return `MAIL FROM:<${this.mailbox.text}>`;
      default:
        return "DATA";
    }
  }

  /** Whose mail a refusal would refuse; null for all recipients. */
  get recipient(): Mailbox | null {
    return this.verb === Verb.rcpt ? this.mailbox : null;
  }

  /** The reply to an accepted MAIL or RCPT. */
  accepted(verdict: Reply): Reply {
    if (verdict !== say.ACCEPT) return verdict;
    return this.verb === Verb.rcpt ? say.RCPT_OK : say.MAIL_OK;
  }
}
