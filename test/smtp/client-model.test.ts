import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type Random, randomInt, SeededRandom } from "../../src/base/random.js";
import type { RecipientResult } from "../../src/smtp/client-result.js";
import { feedCut, message, Recorder } from "./client-harness.js";

/**
 * The client against a made-up server that answers each command as chance will have it, with a text that is never used
 * twice. Whatever it says, every reply must end up with the command that it was given for.
 */
class ModelServer {
  readonly #random: Random;
  readonly #offers: string[];
  readonly #terse: boolean;
  #input = "";
  #inContent = false;
  #said = 0;
  #greeted = false;
  /** Since the last end of a transaction: which command got which reply. */
  given = new Map<string, { code: number; text: string }>();
  accepted = 0;
  /** Content of every message that was taken with a 2xx. */
  readonly taken: string[] = [];
  lastContent = "";
  hungUp = false;

  constructor(random: Random, pipelining: boolean, terse: boolean) {
    this.#random = random;
    this.#offers = pipelining ? ["PIPELINING", "SIZE"] : ["SIZE"];
    this.#terse = terse;
  }

  /** Begins a new message: forgets what was said about the last one. */
  begin(): void {
    this.given = new Map();
    this.accepted = 0;
    this.lastContent = "";
  }

  greeting(): string {
    return "220 model\r\n";
  }

  /** Answers all that has come so far. */
  answer(bytes: Buffer): string {
    this.#input += bytes.toString("latin1");
    let out = "";
    while (!this.hungUp) {
      if (this.#inContent) {
        // The line end before the dot may be the one of the DATA command itself.
        const end = `\r\n${this.#input}`.indexOf("\r\n.\r\n");
        if (end < 0) return out;
        this.lastContent = this.#input.slice(0, end);
        this.#input = this.#input.slice(end + 3);
        this.#inContent = false;
        out += this.#reply(".", [250, 250, 250, 299, 450, 503, 550, 421]);
        continue;
      }
      const end = this.#input.indexOf("\r\n");
      if (end < 0) return out;
      const line = this.#input.slice(0, end);
      this.#input = this.#input.slice(end + 2);
      out += this.#command(line);
    }
    return out;
  }

  #command(line: string): string {
    if (line.startsWith("EHLO ")) {
      this.#greeted = true;
      const lines = ["model", ...this.#offers];
      return lines.map((text, i) => `250${i === lines.length - 1 ? " " : "-"}${text}\r\n`).join("");
    }
    assert.ok(this.#greeted, "a command before EHLO");
    if (line === "RSET") return this.#reply("RSET", [250]);
    if (line.startsWith("MAIL FROM:"))
      return this.#reply(line.replace(/ .*$/, "") && line.split(" SIZE")[0], [250, 250, 250, 450, 550, 421]);
    if (line.startsWith("RCPT TO:")) {
      const reply = this.#reply(line, [250, 251, 250, 250, 450, 452, 550, 552, 421]);
      if (reply.startsWith("25")) this.accepted++;
      return reply;
    }
    if (line === "DATA") {
      const reply = this.#reply("DATA", [354, 354, 354, 354, 350, 451, 554, 421]);
      this.#inContent = reply.startsWith("3");
      return reply;
    }
    assert.equal(line, "QUIT");
    return this.#reply("QUIT", [221]);
  }

  #reply(command: string, codes: readonly number[]): string {
    const code = codes[randomInt(this.#random, 0, codes.length - 1)];
    // 421 is kept rare, so that most conversations are long.
    const said = code === 421 && this.#random.next() < 0.8 ? codes[0] : code;
    const text = `reply-${++this.#said}`;
    this.given.set(command, { code: said, text: this.#terse ? text : `first ${text}` });
    this.hungUp = said === 421;
    return this.#terse ? `${said} ${text}\r\n` : `${said}-first\r\n${said} ${text}\r\n`;
  }
}

/** The reply that decides about a recipient, by RFC 5321 and RFC 2920: the first refusal on its way, else the last reply. */
function decisive(server: ModelServer, recipient: string): { code: number; text: string; command: string } {
  const of = (command: string) => {
    const reply = server.given.get(command);
    return reply === undefined ? null : { ...reply, command };
  };
  const mail = of("MAIL FROM:<from@a.example>");
  assert.ok(mail !== null, "MAIL was answered");
  if (mail.code >= 300) return mail;
  const rcpt = of(`RCPT TO:<${recipient}>`);
  if (rcpt !== null && rcpt.code >= 300 && rcpt.code !== 421) return rcpt;
  // The peer hung up on the way: everybody who was still open gets its last words.
  for (const [command, reply] of server.given) if (reply.code === 421) return { ...reply, command };
  const data = of("DATA");
  assert.ok(data !== null, "DATA was answered");
  if (data.code >= 400) return data;
  const dot = of(".");
  assert.ok(dot !== null, "the content was answered");
  return dot;
}

function check(
  server: ModelServer,
  recipients: readonly string[],
  results: readonly RecipientResult[],
  content: string,
): void {
  assert.equal(results.length, recipients.length);
  const mail = server.given.get("MAIL FROM:<from@a.example>");
  for (const [i, recipient] of recipients.entries()) {
    const { answer, command } = results[i];
    const due = decisive(server, recipient);
    assert.equal(answer.kind, "reply");
    if (answer.kind !== "reply") return;
    assert.equal(
      `${answer.reply.code} ${answer.reply.content} [${command}]`,
      `${due.code} ${due.text} [${due.command}]`,
    );
    assert.equal(results[i].stage === "dataDot" && answer.reply.code < 300, due.command === "." && due.code < 300);
  }
  if (server.given.has(".")) {
    const wanted = server.accepted > 0 && mail !== undefined && mail.code < 300;
    assert.equal(
      server.lastContent,
      wanted ? content : "",
      "content goes out when somebody is to get it, and only then",
    );
  }
}

function converse(
  seed: number,
  pipelining: boolean,
  enabled: boolean,
  terse: boolean,
  messages: number,
  cuts: readonly number[],
): string[] {
  const random = new SeededRandom(seed);
  const server = new ModelServer(random, pipelining, terse);
  const client = new Recorder({ enablePipelining: enabled, enableRset: random.next() < 0.5 });
  const pump = (): void => {
    for (let out = client.take(); out.length > 0; out = client.take()) {
      const replies = Buffer.from(server.answer(out), "latin1");
      // The model answers in order and never ahead, so replies may be cut anywhere, but one write's replies to a client
      // that works step by step are one reply: nothing is glued that the client has not asked for.
      feedCut(client.machine, replies, cuts);
    }
  };
  feedCut(client.machine, Buffer.from(server.greeting()), cuts);
  pump();
  for (let i = 0; i < messages && client.machine.phase === "ready"; i++) {
    server.begin();
    const recipients = Array.from({ length: randomInt(random, 1, 4) }, (_, n) => `r${n}.${i}@b.example`);
    const dotted = random.next() < 0.3;
    const content = `Subject: ${i}\r\n\r\n${dotted ? ".dot\r\n" : "plain\r\n"}`;
    const before = client.results.length;
    client.machine.send(message({ recipients, content: Buffer.from(content), hasDotLines: dotted }));
    pump();
    assert.equal(client.results.length, before + 1, "every message has exactly one result");
    check(server, recipients, client.results[before].recipients, content.replace("\r\n.dot", "\r\n..dot"));
    assert.equal(client.results[before].end === null, !server.hungUp);
    assert.equal(client.machine.phase, server.hungUp ? "closed" : "ready");
  }
  client.machine.quit();
  pump();
  assert.equal(client.ended, 1);
  assert.equal(client.machine.phase, "closed");
  return client.events;
}

const cutting = fc.array(fc.integer({ min: 1, max: 30 }), { maxLength: 12 });

test("reply N belongs to command N, whatever the server says, pipelined or not, however it is cut", () => {
  fc.assert(
    fc.property(fc.nat(), fc.boolean(), fc.boolean(), fc.boolean(), cutting, (seed, offered, enabled, terse, cuts) => {
      const events = converse(seed, offered, enabled, terse, 12, cuts);
      assert.deepEqual(events, converse(seed, offered, enabled, terse, 12, []), "cutting changes nothing");
    }),
    { numRuns: 600 },
  );
});

const noise = fc.oneof(
  fc.uint8Array({ maxLength: 30 }).map((bytes) => Buffer.from(bytes)),
  fc
    .tuple(fc.constantFrom("220", "250", "354", "421", "450", "550", "999", "25"), fc.constantFrom(" ", "-", "", "x"))
    .map(([code, mark]) => Buffer.from(`${code}${mark}text\r\n`)),
  fc.constantFrom(
    Buffer.from("250 ok\r\n250 ok\r\n354 go\r\n"),
    Buffer.from("250-SIZE 10\r\n250 PIPELINING\r\n"),
    Buffer.alloc(3000, "x"),
  ),
);
const happening = fc.oneof(
  { weight: 12, arbitrary: noise },
  { weight: 1, arbitrary: fc.constantFrom("timeout", "end", "fail", "quit", "drained") },
);

test("no noise is thrown at the owner; every message gets one result, every session one end", () => {
  fc.assert(
    fc.property(fc.array(happening, { maxLength: 25 }), fc.boolean(), (happenings, friendly) => {
      const client = new Recorder();
      let sent = 0;
      if (friendly) client.machine.feed(Buffer.from("220 x\r\n"), 0, 7);
      if (friendly) client.machine.feed(Buffer.from("250-x\r\n250 PIPELINING\r\n"), 0, 23);
      for (const one of happenings) {
        if (client.machine.phase === "ready") {
          sent++;
          client.machine.send(message({ recipients: ["b@b.example", "c@b.example"] }));
        }
        if (Buffer.isBuffer(one)) client.machine.feed(one, 0, one.length);
        else if (one === "timeout") client.machine.timedOut();
        else if (one === "end") client.machine.peerEnded();
        else if (one === "fail") client.machine.transportFailed("ECONNRESET");
        else if (one === "quit") client.machine.quit();
        else client.machine.drained();
      }
      client.machine.transportFailed("EPIPE");
      client.machine.feed(Buffer.from("250 late\r\n"), 0, 10);
      client.machine.timedOut();
      client.machine.quit();
      assert.equal(client.results.length, sent);
      assert.equal(client.ended, 1);
      for (const result of client.results) assert.equal(result.recipients.length, 2);
      assert.equal(client.machine.deadlineMs, Number.POSITIVE_INFINITY);
    }),
    { numRuns: 1500 },
  );
});

test("a group leaves in one write, and clean content by reference", () => {
  const client = new Recorder();
  const given: Uint8Array[] = [];
  const writeBytes = client.writeBytes.bind(client);
  client.writeBytes = (bytes) => {
    given.push(bytes);
    writeBytes(bytes);
  };
  client.machine.feed(Buffer.from("220 x\r\n"), 0, 7);
  client.machine.feed(Buffer.from("250-x\r\n250 PIPELINING\r\n"), 0, 23);
  client.take();
  const before = client.writes;
  const one = message({ recipients: ["b@b.example", "c@b.example", "d@b.example"] });
  client.machine.send(one);
  assert.equal(client.writes, before + 1);
  client.machine.feed(Buffer.from("250 a\r\n250 b\r\n250 c\r\n250 d\r\n354 e\r\n"), 0, 35);
  assert.equal(given.includes(one.content), true);
  assert.equal(client.writes, before + 3);
});

test("the wait begins anew with every reply and command, not with every byte", () => {
  const { machine } = new Recorder();
  const start = machine.progress;
  machine.feed(Buffer.from("220-a\r\n220 "), 0, 11);
  assert.equal(machine.progress, start);
  machine.drained();
  assert.equal(machine.progress, start);
  machine.feed(Buffer.from("b\r\n"), 0, 3);
  assert.notEqual(machine.progress, start);
});
