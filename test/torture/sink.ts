/**
 * A mail host that remembers: what it accepted, when its 250 left, and how often. It decides by the recipient's name, so
 * that a message fares the same however often it comes:
 *
 *     no-…      refused for good, at RCPT or at the end of the data (`no-d…`)
 *     late-N-…  refused for now N times, then accepted
 *     else      accepted
 *
 * A recipient whose content is judged by its name wants a transaction of its own: to others with it the host says that they
 * are too many.
 *
 * Runs on   the test's thread
 * Owns      its listener and connections, and the list of what arrived
 * When full the test ends
 * On failure a connection that dies before its 250 was written is noted as such
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import type { Random } from "../../src/base/random.js";

/** One recipient's message that arrived and was accepted. */
export interface Arrival {
  readonly recipient: string;
  /** When its 250 was written, on the test's monotonic clock; null when the peer had gone by then. */
  readonly repliedMs: number | null;
  /** When its connection was taken: the life of the server that it belongs to. */
  readonly connectedMs: number;
}

/** How a sink behaves. */
export interface RecordingOptions {
  /** Longest wait before the answer to the content, ms; what is waited is drawn. */
  readonly latencyMs: number;
  readonly random: Random;
}

const GOOD = "250 2.0.0 OK\r\n";

/** See the file's header. */
export class RecordingSink {
  readonly arrivals: Arrival[] = [];
  /** Contents that were not what was sent. */
  readonly spoiled: string[] = [];
  /** From each deferral to the next try. */
  readonly retryGapsMs: number[] = [];
  /** Called after each 250 to a content. */
  onAccepted: () => void = () => {};
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #options: RecordingOptions;
  readonly #deferrals = new Map<string, number>();
  readonly #deferredMs = new Map<string, number>();
  #latencyMs: number;
  port = 0;

  private constructor(options: RecordingOptions) {
    this.#options = options;
    this.#latencyMs = options.latencyMs;
    this.#server = createServer((socket) => this.#take(socket));
  }

  static async start(options: RecordingOptions): Promise<RecordingSink> {
    const sink = new RecordingSink(options);
    sink.#server.listen(0, "127.0.0.1");
    await once(sink.#server, "listening");
    const address = sink.#server.address();
    sink.port = typeof address === "object" && address !== null ? address.port : 0;
    return sink;
  }

  /** From now on. */
  answerAtOnce(): void {
    this.#latencyMs = 0;
  }

  async stop(): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    if (this.#server.listening) await once(this.#server, "close");
  }

  #take(socket: Socket): void {
    this.#sockets.add(socket);
    socket.setNoDelay(true);
    let open = true;
    let input = "";
    let recipients: string[] = [];
    let inData = false;
    let busy = false;
    const connectedMs = performance.now();
    const say = (reply: string): void => void (open && socket.write(reply));
    const work = (): void => {
      while (!busy) {
        const end = input.indexOf(inData ? "\r\n.\r\n" : "\r\n");
        if (end < 0) return;
        if (inData) {
          const content = input.slice(0, end + 2);
          input = input.slice(end + 5);
          inData = false;
          busy = true;
          const to = recipients;
          recipients = [];
          setTimeout(() => {
            busy = false;
            this.#content(to, content, connectedMs, open, say);
            work();
          }, this.#options.random.next() * this.#latencyMs).unref();
        } else {
          const line = input.slice(0, end);
          input = input.slice(end + 2);
          const answer = this.#command(line, recipients);
          inData = answer.startsWith("354");
          say(answer);
          if (/^QUIT/i.test(line)) socket.end();
        }
      }
    };
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      input += chunk;
      work();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      open = false;
      this.#sockets.delete(socket);
    });
    say("220 recording.example ESMTP\r\n");
  }

  #command(line: string, recipients: string[]): string {
    const verb = line.slice(0, 4).toUpperCase();
    switch (verb) {
      case "EHLO":
        return "250-recording.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 52428800\r\n";
      case "MAIL":
      case "RSET":
        recipients.length = 0;
        return GOOD;
      case "RCPT": {
        const recipient = /<([^>]*)>/.exec(line)?.[1] ?? "";
        if (/^no-[^d]/.test(recipient)) return "550 5.1.1 No such user\r\n";
        if (recipients.length > 0 && (isJudged(recipient) || isJudged(recipients[0] as string))) {
          return "452 4.5.3 Too many recipients\r\n";
        }
        recipients.push(recipient);
        return GOOD;
      }
      case "DATA":
        return recipients.length === 0 ? "503 5.5.1 No recipients\r\n" : "354 Go on\r\n";
      case "QUIT":
        return "221 2.0.0 Bye\r\n";
      default:
        return GOOD;
    }
  }

  #content(
    recipients: readonly string[],
    content: string,
    connectedMs: number,
    open: boolean,
    say: (reply: string) => void,
  ): void {
    const recipient = recipients[0] ?? "";
    if (recipient.startsWith("no-")) {
      say("554 5.7.1 Not wanted here\r\n");
      return;
    }
    const last = this.#deferredMs.get(recipient);
    if (last !== undefined) this.retryGapsMs.push(performance.now() - last);
    const wanted = Number(/^late-(\d+)-/.exec(recipient)?.[1] ?? "0");
    const before = this.#deferrals.get(recipient) ?? 0;
    if (before < wanted) {
      // A deferral that nobody heard has not happened.
      if (open) {
        this.#deferrals.set(recipient, before + 1);
        this.#deferredMs.set(recipient, performance.now());
      }
      say("451 4.7.1 Come back later\r\n");
      return;
    }
    this.#deferredMs.delete(recipient);
    if (!isWhole(content)) this.spoiled.push(recipient);
    say(GOOD);
    const repliedMs = open ? performance.now() : null;
    for (const one of recipients) this.arrivals.push({ recipient: one, connectedMs, repliedMs });
    if (open) this.onAccepted();
  }
}

/** A content of the load, which names the sum of its own body. */
export function sealed(subject: string, body: string): string {
  const sum = createHash("md5").update(body, "latin1").digest("hex");
  return `Subject: ${subject}\r\nX-Sum: ${sum}\r\n\r\n${body}`;
}

/** Whether a content as it came over the wire, dots still doubled, is one that {@link sealed} made, whole. */
function isWhole(wire: string): boolean {
  const at = wire.indexOf("\r\n\r\n");
  const sum = /^X-Sum: ([0-9a-f]{32})$/m.exec(wire.slice(0, at + 2))?.[1];
  const body = wire
    .slice(at + 4)
    .replaceAll("\r\n.", "\r\n")
    .replace(/^\./, "");
  return sum !== undefined && sum === createHash("md5").update(body, "latin1").digest("hex");
}

/** Whether the recipient's name decides what becomes of the content. */
function isJudged(recipient: string): boolean {
  return recipient.startsWith("no-") || recipient.startsWith("late-");
}
