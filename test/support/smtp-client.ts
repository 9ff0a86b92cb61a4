import { createConnection, type Socket } from "node:net";

/** A plain SMTP client for tests: says what it is told, one reply at a time. */
export class SmtpClient {
  readonly #socket: Socket;
  #text = "";
  #waiting: ((reply: string) => void)[] = [];
  /** Resolves when the connection is closed. */
  readonly closed: Promise<void>;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => {
      this.#text += chunk;
      this.#deal();
    });
    socket.on("error", () => {});
    this.closed = new Promise((resolve) => {
      socket.on("close", () => {
        for (const waiting of this.#waiting.splice(0)) waiting("");
        resolve();
      });
    });
  }

  /** Connects and waits for the greeting, which `greeting` then holds. */
  static async connect(port: number, host = "127.0.0.1"): Promise<SmtpClient> {
    const client = new SmtpClient(createConnection({ host, port }));
    client.greeting = await client.reply();
    return client;
  }

  greeting = "";

  #deal(): void {
    while (this.#waiting.length > 0) {
      const match = /^(?:\d{3}-[^\r\n]*\r\n)*\d{3}(?: [^\r\n]*)?\r\n/.exec(this.#text);
      if (match === null) return;
      this.#text = this.#text.slice(match[0].length);
      this.#waiting.shift()?.(match[0].trimEnd());
    }
  }

  /** The next reply, whole; "" when the connection closes instead. */
  reply(): Promise<string> {
    if (this.#socket.closed) return Promise.resolve("");
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      this.#deal();
    });
  }

  /** Sends bytes as they are. */
  write(text: string): void {
    this.#socket.write(text, "latin1");
  }

  /** Sends a line and waits for its reply. */
  say(line: string): Promise<string> {
    this.write(`${line}\r\n`);
    return this.reply();
  }

  /** Sends a message to all recipients and returns the final reply. Throws when something before it is refused. */
  async send(sender: string, recipients: readonly string[], content: string): Promise<string> {
    const steps = [`MAIL FROM:<${sender}>`, ...recipients.map((recipient) => `RCPT TO:<${recipient}>`), "DATA"];
    for (const step of steps) {
      const reply = await this.say(step);
      if (!/^[23]/.test(reply)) throw new Error(`${step}: ${reply}`);
    }
    return this.say(`${content.replace(/^\./gm, "..")}\r\n.`);
  }

  /** Hands over the connection, with nothing more read from it, for TLS. */
  detach(): Socket {
    this.#socket.removeAllListeners("data");
    return this.#socket;
  }

  end(): Promise<void> {
    this.#socket.end();
    return this.closed;
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

/** Connects, introduces itself, and is ready to send. */
export async function connectAndGreet(port: number): Promise<SmtpClient> {
  const client = await SmtpClient.connect(port);
  const reply = await client.say("EHLO client.example");
  if (!reply.startsWith("250")) throw new Error(reply);
  return client;
}

/** The ids in a final reply. */
export function idsOf(reply: string): string[] {
  return (/ids=([0-9a-f ]+)$/.exec(reply)?.[1] ?? "").split(" ").filter((id) => id !== "");
}
