/** Mail goes out to real mail hosts that DNS names: Postfix and Exim. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { type EximOptions, startExim } from "../support/peers/exim.js";
import { type MailHost, type StoredMail, storedMail, untilStored, zoneOf } from "../support/peers/mail-host.js";
import { type PostfixOptions, startPostfix } from "../support/peers/postfix.js";
import { PEER_PORT } from "../support/peers/program.js";
import {
  type LogRecord,
  makeDir,
  readLog,
  removeDir,
  startServer,
  type TestServer,
  until,
  writeConfig,
} from "../support/server.js";
import { connectAndGreet } from "../support/smtp-client.js";

/** A server whose DNS names these hosts, at every domain that is asked of it. */
async function startRelay(
  t: TestContext,
  domains: Readonly<Record<string, readonly MailHost[]>>,
  path = "",
): Promise<TestServer> {
  const dir = makeDir();
  writeFileSync(join(dir, "hosts.zone"), zoneOf(domains));
  writeConfig(dir, {
    queue: 'retry_interval = "1s"',
    listener: 'max_message_size = "30 MB"',
    shaping: `["default"]\nsmtp_port = ${PEER_PORT}\nprohibited_hosts = []\n${path}`,
    more: '[dns]\nhosts_file = "hosts.zone"\nservers = ["127.0.0.1:9"]\ntimeout = "1s"',
  });
  const running = await startServer(dir);
  t.after(async () => {
    await running.stop();
    removeDir(dir);
  });
  return running;
}

/** Hands in a message for each recipient on its own. */
async function send(relay: TestServer, recipients: readonly string[], content: string): Promise<void> {
  const client = await connectAndGreet(relay.port);
  for (const recipient of recipients) assert.match(await client.send("s@from.example", [recipient], content), /^250 /);
  await client.end();
}

/** What became of each recipient, once all have an outcome of one of these kinds. */
async function outcomes(relay: TestServer, count: number, types = ["Delivery", "Bounce"]): Promise<LogRecord[]> {
  const found = (): LogRecord[] => readLog(relay.dir).filter((record) => types.includes(record.type));
  await until(() => found().length >= count, `${count} outcomes: ${JSON.stringify(readLog(relay.dir), null, 1)}`);
  return found().sort((a, b) => (a.recipient < b.recipient ? -1 : 1));
}

/** A stored message without the trace field that the relay put on top. */
function asHandedIn(mail: StoredMail): string {
  const [trace] = /^Received: [^\n]*\n(?:[ \t][^\n]*\n)*/.exec(mail.content) ?? [""];
  assert.match(trace, /by mta\.example\.org with ESMTP/);
  return mail.content.slice(trace.length);
}

const HEADER =
  "From: s@from.example\r\nTo: r@to.example\r\nSubject: x\r\nDate: Wed, 25 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@from.example>\r\n\r\n";
const everyByte = Array.from({ length: 255 }, (_, at) => String.fromCharCode(at + 1)).filter(
  (one) => !/[\r\n]/.test(one),
);

/** Contents that are easily spoiled, without the last line end, which the dialogue adds. */
const CONTENTS: Readonly<Record<string, string>> = {
  "a line": "Hello.",
  "no body": "",
  "lines with dots": ".\r\n..\r\n...\r\n.a\r\na.\r\n.\r\n\r\n.",
  "blank lines at both ends": "\r\n\r\nx\r\n\r\n\r\n",
  "every byte but NUL, CR and LF": everyByte.join(""),
  "8-bit text": "Gr\u00fc\u00dfe, \u00e9t\u00e9\r\n\u00a0\r\n\u00ff.",
  "lines as long as they may be": `${"a".repeat(998)}\r\n${".".repeat(998)}\r\n${"\u00e4".repeat(998)}`,
  "a megabyte": Array.from({ length: 16_000 }, (_, at) => `${at} ${"x".repeat(58)}`).join("\r\n"),
  "a megabyte of dots": Array.from({ length: 16_000 }, () => `.${".".repeat(60)}`).join("\r\n"),
};

type Start = (t: TestContext) => Promise<MailHost | null>;
const postfix =
  (options: PostfixOptions = {}): Start =>
  (t) =>
    startPostfix(t, options);
const exim =
  (options: EximOptions = {}): Start =>
  (t) =>
    startExim(t, options);

/** Every row: all contents, one after the other, arrive as they were handed in, and the host says how it was spoken to. */
const INTACT: readonly {
  readonly name: string;
  readonly start: Start;
  readonly says: RegExp;
  readonly path?: string;
}[] = [
  { name: "Postfix, as it comes", start: postfix(), says: /status=sent/ },
  { name: "Postfix without PIPELINING", start: postfix({ discard: ["pipelining"] }), says: /status=sent/ },
  { name: "Postfix, PIPELINING not used", start: postfix(), says: /status=sent/, path: "enable_pipelining = false" },
  { name: "Postfix without SIZE", start: postfix({ discard: ["size"] }), says: /status=sent/ },
  { name: "Exim, as it comes", start: exim(), says: /Completed/ },
  { name: "Exim without PIPELINING", start: exim({ pipelining: false }), says: /Completed/ },
];

for (const row of INTACT) {
  test(`${row.name}: contents arrive byte for byte`, async (t) => {
    const host = await row.start(t);
    if (host === null) return;
    const relay = await startRelay(t, { "to.example": [host] }, row.path);
    const sent = Object.entries(CONTENTS).map(([name, body], at) => ({
      name,
      to: `${at}@to.example`,
      text: HEADER + body,
    }));
    for (const { to, text } of sent) await send(relay, [to], text);
    const stored = await untilStored(host, sent.length);
    assert.deepEqual(
      stored.map((mail) => mail.recipient),
      sent.map(({ to }) => to),
    );
    for (const { name, to, text } of sent) {
      const mail = stored.find((one) => one.recipient === to)!;
      assert.equal(mail.sender, "s@from.example");
      assert.ok(asHandedIn(mail) === `${text}\r\n`.replaceAll("\r\n", "\n"), `${name} is spoiled at ${host.kind}`);
    }
    assert.match(host.log, row.says);
    const done = await outcomes(relay, sent.length);
    assert.ok(
      done.every((record) => record.type === "Delivery" && record.site === "unspecified->mx1.to.example@smtp_client"),
    );
  });
}

/** Every row: what a host makes of a message, and what is said of it. */
const ANSWERS: readonly {
  readonly name: string;
  readonly start: Start;
  readonly to: string;
  readonly body?: string;
  readonly type: "Delivery" | "Bounce" | "TransientFailure";
  readonly code: number;
  readonly text: RegExp;
}[] = [
  {
    name: "Postfix knows no such recipient",
    start: postfix({ recipients: { "^no@": "550 5.1.1 no such user here" } }),
    to: "no@to.example",
    type: "Bounce",
    code: 550,
    text: /no such user here/,
  },
  {
    name: "Postfix says later",
    start: postfix({ recipients: { "^later@": "450 4.2.0 greylisted" } }),
    to: "later@to.example",
    type: "TransientFailure",
    code: 450,
    text: /greylisted/,
  },
  {
    name: "Postfix is slow",
    start: postfix({ slow: 2 }),
    to: "r@to.example",
    type: "Delivery",
    code: 250,
    text: /queued as/,
  },
  {
    name: "Postfix says beforehand that it is too large",
    start: postfix({ main: { message_size_limit: 20_000 } }),
    to: "r@to.example",
    body: "x".repeat(900).concat("\r\n").repeat(30),
    type: "Bounce",
    code: 552,
    text: /larger than the 20000 that the destination takes/,
  },
  {
    name: "Postfix says afterwards that it is too large",
    start: postfix({ discard: ["size"], main: { message_size_limit: 20_000 } }),
    to: "r@to.example",
    body: "x".repeat(900).concat("\r\n").repeat(30),
    type: "Bounce",
    code: 552,
    text: /message file too big|exceeds/i,
  },
  {
    name: "Postfix takes no 8-bit text",
    start: postfix({ discard: ["8bitmime"] }),
    to: "r@to.example",
    body: "\u00fc",
    type: "Bounce",
    code: 554,
    text: /does not offer 8BITMIME/,
  },
  {
    name: "Exim knows no such recipient",
    start: exim({ recipientAcl: "  deny local_parts = no\n       message = no such user here\n" }),
    to: "no@to.example",
    type: "Bounce",
    code: 550,
    text: /no such user here/,
  },
  {
    name: "Exim says later",
    start: exim({ recipientAcl: "  defer message = greylisted\n" }),
    to: "later@to.example",
    type: "TransientFailure",
    code: 451,
    text: /greylisted/,
  },
  {
    name: "Exim says beforehand that it is too large",
    start: exim({ main: { message_size_limit: 20_000 } }),
    to: "r@to.example",
    body: "x".repeat(900).concat("\r\n").repeat(30),
    type: "Bounce",
    code: 552,
    text: /larger than the 20000 that the destination takes/,
  },
];

for (const row of ANSWERS) {
  test(`${row.name}: ${row.type}`, async (t) => {
    const host = await row.start(t);
    if (host === null) return;
    const relay = await startRelay(t, { "to.example": [host] });
    await send(relay, [row.to], HEADER + (row.body ?? "text"));
    const [record] = await outcomes(relay, 1, [row.type]);
    assert.equal(record?.response.code, row.code, JSON.stringify(record));
    assert.match(record.response.content, row.text);
    if (row.type === "Delivery") await untilStored(host, 1);
    else assert.equal(storedMail(host).length, 0);
  });
}
