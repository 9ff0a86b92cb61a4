/**
 * Clients that send until they are told to stop, and remember what they were promised.
 *
 * Runs on   the test's thread
 * Owns      the ledger: every transaction with its fate
 * When full the test ends
 * On failure a lost connection leaves the transaction under way unknown, if its last byte may have been sent
 */
import { type Random, randomInt } from "../../src/base/random.js";
import { idsOf, SmtpClient } from "../support/smtp-client.js";
import { sealed } from "./sink.js";

/** What a client knows of a transaction. `unknown`: the connection was lost when the content was on its way. */
export type Promised = "accepted" | "refused" | "unknown";

/** One transaction as its client saw it. */
export interface Sent {
  readonly recipients: readonly string[];
  readonly promised: Promised;
  /** By recipient; empty unless accepted. */
  readonly ids: readonly string[];
  readonly reply: string;
}

/** What is sent. */
export interface LoadOptions {
  readonly random: Random;
  readonly clients: number;
  /** Largest body, bytes; sizes are drawn evenly in their logarithm. */
  readonly maxBytes: number;
  /** Share of recipients that the sink refuses for good, and for now. */
  readonly bounce: number;
  readonly defer: number;
  /** Share of transactions that the server must refuse. */
  readonly wrong: number;
}

/** What is sent when nothing else is said. */
export const MIXED: Omit<LoadOptions, "random"> = {
  clients: 12,
  maxBytes: 100_000,
  bounce: 0.05,
  defer: 0.05,
  wrong: 0.05,
};

const MIN_BYTES = 1000;
/** A listener under test has this `max_message_size`, so that something can be too big. */
export const MAX_MESSAGE_BYTES = 120_000;
const LINE = "All work and no play makes Jack a dull boy, but a courier runs all night.\r\n.dot\r\n";
const TEXT = LINE.repeat(Math.ceil((2 * MAX_MESSAGE_BYTES) / LINE.length));

/** See the file's header. */
export class Load {
  readonly sent: Sent[] = [];
  /** Called after each 250 that a client got. */
  onAccepted: () => void = () => {};
  /** Greetings other than 220. */
  readonly turnedAway: string[] = [];
  readonly #options: LoadOptions;
  #number = 0;
  #stopped = true;
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: LoadOptions) {
    this.#options = options;
  }

  /** Recipients that were promised something. */
  get accepted(): number {
    return this.sent.reduce((sum, one) => sum + (one.promised === "accepted" ? one.recipients.length : 0), 0);
  }

  /** Begins to send to `port` until {@link stop}. */
  run(port: number): void {
    this.#stopped = false;
    this.#running = Promise.all(Array.from({ length: this.#options.clients }, () => this.#client(port)));
  }

  /** Ends all clients, each after its transaction under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }

  async #client(port: number): Promise<void> {
    let client: SmtpClient | null = null;
    while (!this.#stopped) {
      client ??= await this.#connect(port);
      if (client === null) {
        await new Promise((resolve) => setTimeout(resolve, 20));
        continue;
      }
      if (!(await this.#transaction(client))) {
        client.destroy();
        client = null;
      }
    }
    client?.destroy();
  }

  /** A connection that is ready to send, null when there is none to be had. */
  async #connect(port: number): Promise<SmtpClient | null> {
    const client = await SmtpClient.connect(port);
    if (client.greeting.startsWith("220") && (await client.say("EHLO client.example")).startsWith("250")) return client;
    if (client.greeting !== "" && !client.greeting.startsWith("220")) this.turnedAway.push(client.greeting);
    client.destroy();
    return null;
  }

  /** Sends one; false when the connection is of no more use. */
  async #transaction(client: SmtpClient): Promise<boolean> {
    const { random, wrong } = this.#options;
    const number = this.#number++;
    const isWrong = random.next() < wrong;
    const recipients = Array.from({ length: this.#recipientCount() }, (_, i) => this.#recipient(number, i, isWrong));
    const body = this.#body();
    const content = sealed(String(number), body);
    const note = (promised: Promised, reply: string): void => {
      this.sent.push({ recipients, promised, ids: promised === "accepted" ? idsOf(reply) : [], reply });
      if (promised === "accepted") this.onAccepted();
    };
    for (const line of [`MAIL FROM:<s${number}@x.example>`, ...recipients.map((to) => `RCPT TO:<${to}>`), "DATA"]) {
      const reply = await client.say(line);
      if (/^[23]/.test(reply)) continue;
      note("refused", reply);
      return false;
    }
    const wire = content.replaceAll("\r\n.", "\r\n..");
    const reply = await client.say(`${isWrong ? this.#spoil(wire) : wire.slice(0, -2)}\r\n.`);
    if (reply === "") note("unknown", reply);
    else note(reply.startsWith("250") ? "accepted" : "refused", reply);
    return reply.startsWith("250");
  }

  #recipientCount(): number {
    const { random } = this.#options;
    return random.next() < 0.8 ? 1 : randomInt(random, 2, 8);
  }

  #recipient(number: number, i: number, isWrong: boolean): string {
    const { random, bounce, defer } = this.#options;
    const name = `${number}-${i}@d${randomInt(random, 0, 9)}.example`;
    if (isWrong) return `never-${name}`;
    const drawn = random.next();
    if (drawn < bounce) return random.next() < 0.5 ? `no-d${name}` : `no-r${name}`;
    return drawn < bounce + defer ? `late-${randomInt(random, 1, 2)}-${name}` : `r-${name}`;
  }

  /** Ends with a line end, so that the final dot stands alone. */
  #body(): string {
    const { random, maxBytes } = this.#options;
    const bytes = Math.round(MIN_BYTES * (maxBytes / MIN_BYTES) ** random.next());
    return `${TEXT.slice(0, bytes).trimEnd()}\r\n`;
  }

  /** Something that a server must not take: a bare line feed, too much, or a loop. The client's dot follows. */
  #spoil(wire: string): string {
    switch (randomInt(this.#options.random, 0, 2)) {
      case 0:
        return `${wire}bare\nline feed`;
      case 1:
        return `${wire}${TEXT.slice(0, MAX_MESSAGE_BYTES + 1000).trimEnd()}`;
      default:
        return `${"Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n".repeat(120)}${wire}`;
    }
  }
}
