import { KeptInput } from "./kept-input.js";
import { LineEvent, LineReader } from "./line-reader.js";
import type { Reply } from "./reply.js";
import * as say from "./server-replies.js";
import { TLS_HANDSHAKE } from "./server-settings.js";
import type { ServerPhase } from "./server-transaction.js";

/** What a session does with its input. Each may change the phase, and so who gets what follows. */
export interface InputUser {
  /** Where the session stands now. */
  phase(): ServerPhase;
  /** A command line, which `lines` holds until this returns. `more` tells that further input is here already. */
  line(lines: LineReader, more: boolean): void;
  /** A command line that is no such thing: the session goes on. */
  wrongLine(reply: Reply): void;
  /** Content of a message, `buffer[start, end)`. Returns where it was left. */
  content(buffer: Buffer, start: number, end: number): number;
  /** The session cannot go on. */
  end(reply: Reply): void;
}

/**
 * The input of one SMTP session on the server's side: cut into lines and content, kept while the session waits.
 *
 * Runs on: a worker, one per connection in.
 * Owns: the line that has not come whole, input that came while the session waited, and whether its loop runs.
 * When full: input beyond the pause mark sets `isHigh`; beyond its ceiling the session ends with 421.
 * On failure: what cannot be read as lines ends the session, or is answered; nothing throws.
 */
export class ServerInput {
  readonly #user: InputUser;
  readonly #lines = new LineReader();
  readonly #kept = new KeptInput();
  #running = false;

  constructor(user: InputUser) {
    this.#user = user;
  }

  /** Too much input waits. */
  get isHigh(): boolean {
    return this.#kept.isHigh;
  }

  /** Octets that wait. */
  get waiting(): number {
    return this.#kept.octets;
  }

  /** The loop is at work: whoever is called by it need not have it go on. */
  get running(): boolean {
    return this.#running;
  }

  /** A command line has begun to come in and is not whole yet. */
  get inLine(): boolean {
    return this.#lines.inLine;
  }

  /** The loop: reads until the input is used up, or the session waits (then the rest is kept) or ends. */
  run(buffer: Buffer, start: number, end: number): void {
    const user = this.#user;
    this.#running = true;
    let at = start;
    while (at < end) {
      const phase = user.phase();
      if (phase === "commands") {
        at = this.#readCommand(buffer, at, end);
      } else if (phase === "content") {
        at = user.content(buffer, at, end);
      } else {
        if (phase !== "closed" && !this.#kept.add(buffer, at, end)) user.end(say.INPUT_FLOOD);
        break;
      }
    }
    this.#running = false;
  }

  /** Goes on with what came while the session waited. */
  runKept(): void {
    const kept = this.#kept;
    if (kept.octets === 0) return;
    const { buffer, start, end } = kept;
    kept.lend();
    this.run(buffer, start, end);
    kept.takeBack();
  }

  /** Nothing that waits will be read. */
  clear(): void {
    this.#kept.clear();
  }

  #readCommand(buffer: Buffer, at: number, end: number): number {
    const lines = this.#lines;
    if (buffer[at] === TLS_HANDSHAKE && !lines.inLine) {
      this.#user.end(say.NOT_SMTP);
      return end;
    }
    switch (lines.next(buffer, at, end)) {
      case LineEvent.line:
        this.#user.line(lines, lines.at < end);
        break;
      case LineEvent.tooLong:
        this.#user.wrongLine(say.LINE_TOO_LONG);
        break;
      case LineEvent.bare:
        this.#user.end(say.BARE_LINE_END);
        break;
      case LineEvent.flood:
        this.#user.end(say.LINE_FLOOD);
    }
    return lines.at;
  }
}
