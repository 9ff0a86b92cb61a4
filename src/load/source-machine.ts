/**
 * The sending end of SMTP sessions for load, as light as it can be: replies in, commands out, one message at a time.
 *
 * Runs on   the generator's thread
 * Owns      one connection's dialogue and the message that is under way on it
 * When full a reply line longer than 4 KiB ends the connection
 * On failure 421, 451 4.5.3 and anything that is no SMTP end the connection, the message under way goes back uncounted
 */
import type { Mail } from "./mail.js";

const LONGEST_LINE = 4096;
const HYPHEN = 0x2d;
const CLEAR_TEXT = "clear text came with the reply to STARTTLS";

/** What a dialogue is made of. */
export interface SourceOptions {
  readonly helo: string;
  readonly sender: string;
  readonly pipelining: boolean;
  readonly messagesPerConnection: number | null;
  readonly tls: { readonly mode: "off" | "opportunistic" | "required" };
}

/** What a session wants of its surroundings. */
export interface SourcePort {
  /** The next message, or null when there is none now: `wake` asks again. */
  take(): Mail | null;
  send(commands: string): void;
  sendContent(mail: Mail): void;
  /** Secures the connection; `secured` or `end` follows. */
  secure(): void;
  /** The server has let us in: messages follow. */
  ready(): void;
  /** The message was answered: accepted (2xx) or refused. */
  settled(mail: Mail, code: number): void;
  /** The message was neither: it is to be sent again, on another connection. */
  returned(mail: Mail): void;
  /** The session is at its end, with a reason when that is not its own wish. */
  close(reason: string | null): void;
}

/** The reply that is awaited next. */
type Step =
  | "greeting"
  | "hello"
  | "starttls"
  | "handshake"
  | "idle"
  | "reset"
  | "mail"
  | "rcpt"
  | "data"
  | "dot"
  | "quit"
  | "closed";

/** See the file's header. */
export class SourceMachine {
  readonly #options: SourceOptions;
  readonly #port: SourcePort;
  #step: Step = "greeting";
  #held = "";
  #pipelining = false;
  #offersTls = false;
  #isSecured = false;
  #mail: Mail | null = null;
  /** The first refusal of the message under way, 0 while there is none. */
  #refusal = 0;
  /** The server took MAIL and the transaction is still open. */
  #open = false;
  #sent = 0;
  #finishing = false;

  constructor(options: SourceOptions, port: SourcePort) {
    this.#options = options;
    this.#port = port;
  }

  /** Waits for a message, so that `wake` would do something. */
  get idle(): boolean {
    return this.#step === "idle";
  }

  /** Asks for the next message again. */
  wake(): void {
    if (this.#step === "idle") this.#next();
  }

  /** No more messages: says QUIT as soon as nothing is under way. */
  finish(): void {
    this.#finishing = true;
    if (this.#step === "idle") this.#quit();
  }

  /** The connection is gone or has to go. The message under way, if any, is returned. */
  end(reason: string | null): void {
    if (this.#step === "closed") return;
    this.#step = "closed";
    const mail = this.#mail;
    this.#mail = null;
    if (mail !== null) this.#port.returned(mail);
    this.#port.close(reason);
  }

  /** Takes replies, cut anywhere. */
  receive(buffer: Buffer, start: number, end: number): void {
    const text = this.#held + buffer.toString("latin1", start, end);
    let at = 0;
    for (let lf = text.indexOf("\n"); lf >= 0; lf = text.indexOf("\n", at)) {
      if (this.#step === "handshake") this.end(CLEAR_TEXT);
      if (this.#step === "closed") return;
      this.#line(text, at, lf);
      at = lf + 1;
    }
    this.#held = at === text.length ? "" : text.slice(at);
    // What came in clear before the handshake is not the server's word (RFC 3207 §6).
    if (this.#step === "handshake" && this.#held === "") this.#port.secure();
    else if (this.#step === "handshake") this.end(CLEAR_TEXT);
    if (this.#held.length > LONGEST_LINE) this.end("a reply line without end");
  }

  /** The handshake is over: everything is asked anew. */
  secured(): void {
    if (this.#step !== "handshake") return;
    this.#isSecured = true;
    this.#pipelining = false;
    this.#hello();
  }

  #line(text: string, start: number, lf: number): void {
    const line = text.slice(start, lf).trim();
    const code = Number(line.slice(0, 3));
    const isLast = line.charCodeAt(3) !== HYPHEN;
    if (this.#step === "hello" && line.slice(4).toUpperCase() === "PIPELINING") {
      this.#pipelining = this.#options.pipelining;
    }
    if (this.#step === "hello" && line.slice(4).toUpperCase() === "STARTTLS") this.#offersTls = true;
    if (!(code >= 200 && code <= 599)) this.#broken(line);
    else if (isLast && this.#step !== "quit" && (code === 421 || line.startsWith("451 4.5.3"))) this.end(line);
    else if (isLast) this.#reply(code, line);
  }

  #reply(code: number, line: string): void {
    const good = code < 400;
    switch (this.#step) {
      case "greeting":
        if (good) this.#hello();
        else this.#broken(line);
        break;
      case "hello":
        if (good) this.#greeted();
        else this.#broken(line);
        break;
      case "starttls":
        this.#startTls(good, line);
        break;
      case "reset":
        this.#step = "mail";
        if (!good) this.#broken(line);
        else if (!this.#pipelining) this.#port.send(this.#mailCommand());
        break;
      case "mail":
        this.#open = good;
        this.#advance(code, "rcpt");
        break;
      case "rcpt":
        this.#advance(code, "data");
        break;
      case "data":
        this.#data(code);
        break;
      case "dot":
        this.#open = false;
        this.#settle(code);
        break;
      case "quit":
        this.end(null);
        break;
      default:
        this.#broken(line);
    }
  }

  #hello(): void {
    this.#step = "hello";
    this.#port.send(`EHLO ${this.#options.helo}\r\n`);
  }

  /** EHLO was answered: TLS comes first, where it is wanted. */
  #greeted(): void {
    const { mode } = this.#options.tls;
    if (!this.#isSecured && mode !== "off" && this.#offersTls) {
      this.#step = "starttls";
      this.#port.send("STARTTLS\r\n");
    } else if (!this.#isSecured && mode === "required") {
      this.end("the server does not offer STARTTLS");
    } else {
      this.#ready();
    }
  }

  #startTls(good: boolean, line: string): void {
    if (good) {
      // It begins when the rest of what has come is known to be nothing.
      this.#step = "handshake";
    } else if (this.#options.tls.mode === "required") {
      this.#broken(line);
    } else {
      this.#ready();
    }
  }

  #ready(): void {
    this.#port.ready();
    this.#next();
  }

  /** After MAIL or RCPT: on to the next command, which has already been sent when it is pipelined. */
  #advance(code: number, next: "rcpt" | "data"): void {
    if (code >= 400 && this.#refusal === 0) this.#refusal = code;
    if (this.#pipelining) {
      this.#step = next;
    } else if (this.#refusal !== 0) {
      this.#settle(code);
    } else {
      this.#step = next;
      this.#port.send(next === "rcpt" ? this.#rcptCommand() : "DATA\r\n");
    }
  }

  #data(code: number): void {
    if (code !== 354) {
      this.#settle(code);
      return;
    }
    this.#step = "dot";
    // DATA was pipelined behind a refused recipient and accepted all the same: only the end may follow (RFC 2920 §3.1).
    if (this.#refusal !== 0) this.#port.send(".\r\n");
    else this.#port.sendContent(this.#mail as Mail);
  }

  #settle(code: number): void {
    const mail = this.#mail as Mail;
    this.#mail = null;
    this.#sent++;
    this.#port.settled(mail, this.#refusal === 0 ? code : this.#refusal);
    this.#next();
  }

  #next(): void {
    const most = this.#options.messagesPerConnection;
    if (most !== null && this.#sent >= most) {
      this.#quit();
      return;
    }
    this.#mail = this.#port.take();
    if (this.#mail === null) {
      if (this.#finishing) this.#quit();
      else this.#step = "idle";
      return;
    }
    this.#refusal = 0;
    const reset = this.#open ? "RSET\r\n" : "";
    this.#step = this.#open ? "reset" : "mail";
    this.#open = false;
    if (this.#pipelining) this.#port.send(`${reset}${this.#mailCommand()}${this.#rcptCommand()}DATA\r\n`);
    else this.#port.send(reset === "" ? this.#mailCommand() : reset);
  }

  #mailCommand(): string {
    return `MAIL FROM:<${this.#options.sender}>\r\n`;
  }

  #rcptCommand(): string {
    return `RCPT TO:<${(this.#mail as Mail).recipient}>\r\n`;
  }

  #quit(): void {
    this.#step = "quit";
    this.#port.send("QUIT\r\n");
  }

  #broken(line: string): void {
    this.end(`unexpected reply: ${line.trim()}`);
  }
}
