import assert from "node:assert/strict";
import { BufferPool } from "../../src/base/buffer-pool.js";
import { type Random, randomInt } from "../../src/base/random.js";
import { countHops } from "../../src/mail/headers.js";
import type { ResponseText } from "../../src/protocol/records.js";
import type { Mailbox } from "../../src/smtp/address.js";
import type { ReceivedContent } from "../../src/smtp/content.js";
import { formatEnhancedCode } from "../../src/smtp/enhanced-code.js";
import { Reply } from "../../src/smtp/reply.js";
import { ServerMachine } from "../../src/smtp/server-machine.js";
import { ACCEPT } from "../../src/smtp/server-replies.js";
import { type ServerOptions, ServerSettings } from "../../src/smtp/server-settings.js";
import type { ServerHost, Transaction } from "../../src/smtp/server-transaction.js";

/** A listener's options for tests, all to be overridden. */
export function serverOptions(overrides: Partial<ServerOptions> = {}): ServerOptions {
  return {
    hostname: "mx.example",
    banner: "Hikyaku",
    maxMessagesPerConnection: 10_000,
    maxRecipientsPerMessage: 1024,
    maxMessageSize: 1_000_000,
    lineLengthHardLimit: 998,
    invalidLineEndings: "Deny",
    maxHops: 30,
    countHops,
    ...overrides,
  };
}

/** `550 5.7.1 text`, or `250 text`. */
export function replyOf(text: string): Reply {
  const match = /^(\d{3})(?: (\d)\.(\d+)\.(\d+))?(?: (.*))?$/.exec(text);
  assert.ok(match !== null, `a reply: ${text}`);
  const enhanced = match[2] === undefined ? null : ([Number(match[2]), Number(match[3]), Number(match[4])] as const);
  return new Reply(Number(match[1]), enhanced, match[5] ?? "");
}

export interface ReceivedMessage {
  readonly from: string;
  readonly to: readonly string[];
  readonly content: string;
  readonly flags: string;
}

/** A host that notes all that happens and decides as it was told; everything is accepted when it was told nothing. */
export class Recorder implements ServerHost {
  readonly machine: ServerMachine;
  readonly pool = new BufferPool(1 << 20);
  /** Verdicts by `mail ADDRESS`, `rcpt ADDRESS`, `data`; null for one that comes later. */
  readonly verdicts = new Map<string, Reply | null>();
  /** Whether `finish` is called by the test, instead of at once. */
  finishLater = false;
  readonly messages: ReceivedMessage[] = [];
  readonly events: string[] = [];
  readonly rejections: string[] = [];
  /** Called for and with each message before it is finished. */
  onContent: (content: ReceivedContent) => void = () => {};
  closed = false;
  #out = "";
  #refusals = 0;
  #replies = 0;
  #inHello = true;
  #writes = 0;

  constructor(overrides: Partial<ServerOptions> = {}) {
    this.machine = new ServerMachine(new ServerSettings(serverOptions(overrides)), this, this.pool);
  }

  write(text: string): void {
    assert.ok(!this.closed, "nothing is written after the close");
    assert.notEqual(text, "");
    this.#writes++;
    this.#check(text);
    this.#out += text;
  }

  close(): void {
    assert.ok(!this.closed, "closed once");
    this.closed = true;
    this.events.push("closed");
  }

  onMail(sender: Mailbox, transaction: Transaction): Reply | null {
    assert.equal(transaction.sender, sender);
    assert.equal(transaction.recipients.length, 0);
    return this.#verdict(`mail ${sender.text}`);
  }

  onRcpt(recipient: Mailbox, transaction: Transaction): Reply | null {
    assert.notEqual(transaction.sender, null);
    return this.#verdict(`rcpt ${recipient.text}`);
  }

  onDataCommand(): Reply | null {
    return this.#verdict("data");
  }

  onMessage(content: ReceivedContent, transaction: Transaction): void {
    const { size, has8bit, hasDotLines, wasRepaired, longestLine } = content;
    assert.equal(content.end - content.start, size);
    const bytes = content.bytes().toString("latin1");
    assert.equal(bytes.length, size);
    assert.equal(has8bit, /[\u0080-\u00ff]/.test(bytes));
    assert.equal(hasDotLines, /(?:^|\r\n)\./.test(bytes));
    assert.equal(longestLine, Math.max(...bytes.split("\r\n").map((line) => line.length)));
    assert.ok(!/(?<!\r)\n|\r(?!\n)|\0/.test(bytes), "content has no bare CR, LF or NUL");
    const { declared8bit, smtpUtf8, declaredSize } = transaction;
    const flags = Object.entries({ has8bit, hasDotLines, wasRepaired, declared8bit, smtpUtf8 })
      .filter(([, set]) => set)
      .map(([name]) => name);
    if (declaredSize >= 0) flags.push(`declared=${declaredSize}`);
    const message = {
      from: transaction.sender?.text ?? "none",
      to: transaction.recipients.map((to) => to.text),
      content: bytes,
      flags: flags.join(" "),
    };
    this.messages.push(message);
    this.events.push(
      `message from=<${message.from}> to=${message.to.map((to) => `<${to}>`).join(",")} size=${size}${message.flags === "" ? "" : ` ${message.flags}`}`,
    );
    this.onContent(content);
    if (!this.finishLater) this.machine.finish(ACCEPT);
  }

  onRejected(response: ResponseText, sender: Mailbox | null, recipient: Mailbox | null): void {
    this.#refusals++;
    assert.match(response.content, /^[ -~]*$/);
    const code = response.enhanced === null ? "-" : formatEnhancedCode(response.enhanced);
    const whose = `${sender?.text ?? "-"} ${recipient?.text ?? "-"}`;
    this.rejections.push(`${response.code} ${code} [${response.command ?? "-"}] ${whose}`);
  }

  /** What was written since the last time. */
  take(): string {
    const out = this.#out;
    this.#out = "";
    return out;
  }

  /** How many times something was written. */
  get writes(): number {
    return this.#writes;
  }

  /** Every refusal that was written has been told, and none that was not. */
  checkRefusals(): void {
    assert.equal(this.#refusals, this.#replies, "refusals told and refusals written");
  }

  #verdict(about: string): Reply | null {
    const verdict = this.verdicts.get(about);
    return verdict === undefined ? ACCEPT : verdict;
  }

  /** What holds for every reply: whole lines, short enough, printable, with an enhanced code where one belongs. */
  #check(text: string): void {
    assert.ok(text.endsWith("\r\n"));
    for (const line of text.slice(0, -2).split("\r\n")) {
      assert.ok(line.length <= 510, "a reply line is at most 512 octets");
      const match = /^(\d{3})([ -])(.*)$/.exec(line);
      assert.ok(match !== null && /^[ -~]*$/.test(line), `a reply line: ${line}`);
      const code = match[1];
      const enhanced = /^([245])\.\d{1,3}\.\d{1,3} /.exec(match[3] as string);
      if (match[2] === " " && /^[45]/.test(line) && !/^421 4\.3\.2 /.test(line)) this.#replies++;
      // A refusal in the greeting's place may have one (421 4.3.2) or not.
      if (this.#inHello && this.#writes === 1 && /^[45]/.test(line)) return;
      const withoutCode = this.#inHello || code === "354" || /^(?:250.mx\.example|501 Your name)/.test(line);
      this.#inHello = match[2] === "-" && withoutCode;
      assert.equal(enhanced === null, withoutCode, `enhanced code in: ${line}`);
      if (enhanced !== null) assert.equal(enhanced[1], line[0], "the enhanced code's class is the reply's");
    }
  }
}

/** Lengths of the pieces in which input is fed; empty for all at once. */
export type Cutter = () => readonly number[];

/** Feeds `bytes` cut into the given lengths, used again and again, each piece at another place of a larger buffer. */
export function feedCut(machine: ServerMachine, bytes: Buffer, lengths: readonly number[]): void {
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const length = Math.max(1, lengths.length === 0 ? bytes.length : (lengths[i % lengths.length] as number));
    const piece = bytes.subarray(at, at + length);
    const offset = i % 5;
    const arena = Buffer.alloc(piece.length + 16, "\n");
    piece.copy(arena, offset);
    machine.feed(arena, offset, offset + piece.length);
    // What was fed may be overwritten at once.
    arena.fill("?");
    at += length;
  }
}

/** Some lengths, mostly small. */
export function randomLengths(random: Random, most: number): number[] {
  return Array.from({ length: 20 }, () => randomInt(random, 1, most));
}
