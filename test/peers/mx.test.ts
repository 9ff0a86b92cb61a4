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
import { connectAndGreet, SmtpClient } from "../support/smtp-client.js";

/** A server whose DNS names these hosts, for each domain the first preferred. */
async function startRelay(
  t: TestContext,
  domains: Readonly<Record<string, readonly MailHost[]>>,
  shaping = "",
): Promise<TestServer> {
  const dir = makeDir();
  writeFileSync(join(dir, "hosts.zone"), zoneOf(domains));
  writeConfig(dir, {
    queue: 'retry_interval = "1s"',
    shaping: `["default"]\nsmtp_port = ${PEER_PORT}\nprohibited_hosts = []\n${shaping}`,
    more: '[dns]\nhosts_file = "hosts.zone"\nservers = ["127.0.0.1:9"]\ntimeout = "1s"',
  });
  const running = await startServer(dir);
  t.after(async () => {
    await running.stop();
    removeDir(dir);
  });
  return running;
}

/** A row of a table: a host, in a domain of the row's own. */
interface Row {
  readonly name: string;
  readonly start: (t: TestContext) => Promise<MailHost | null>;
  /** Keys of the domain's path. */
  readonly path?: string;
}

/** Starts the hosts of all rows at once, and one relay for them; then each row is a test. */
async function eachRow<R extends Row>(
  t: TestContext,
  rows: readonly R[],
  body: (row: R, host: MailHost, relay: TestServer, domain: string) => Promise<void>,
): Promise<void> {
  const hosts = await Promise.all(rows.map((row) => row.start(t)));
  const domain = (at: number): string => `row-${at}.example`;
  const zone = Object.fromEntries(hosts.map((host, at) => [domain(at), host === null ? [] : [host]]));
  const paths = rows.map((row, at) => (row.path === undefined ? "" : `["${domain(at)}"]\n${row.path}\n`)).join("");
  const relay = await startRelay(t, zone, paths);
  for (const [at, row] of rows.entries()) {
    const host = hosts[at];
    if (host === undefined || host === null) continue;
    await t.test(row.name, () => body(row, host, relay, domain(at)));
  }
}

/** Hands in a message for each recipient on its own. */
async function send(relay: TestServer, recipients: readonly string[], content: string): Promise<void> {
  const client = await connectAndGreet(relay.port);
  for (const recipient of recipients) assert.match(await client.send("s@from.example", [recipient], content), /^250 /);
  await client.end();
}

/** What became of a domain's recipients, once so many have an outcome of one of these kinds. */
async function outcomes(
  relay: TestServer,
  domain: string,
  count: number,
  types: readonly string[],
): Promise<LogRecord[]> {
  const found = (): LogRecord[] =>
    readLog(relay.dir).filter((record) => types.includes(record.type) && record.recipient.endsWith(`@${domain}`));
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

const postfix =
  (options: PostfixOptions = {}) =>
  (t: TestContext) =>
    startPostfix(t, options);
const exim =
  (options: EximOptions = {}) =>
  (t: TestContext) =>
    startExim(t, options);

/** Hosts to which all contents go, one after the other; what Exim says of each (`L`: commands were pipelined, `K`: BDAT). */
const INTACT: readonly (Row & { readonly says?: RegExp })[] = [
  { name: "Postfix, as it comes", start: postfix() },
  { name: "Postfix without PIPELINING", start: postfix({ discard: ["pipelining"] }) },
  { name: "Postfix, PIPELINING not used", start: postfix(), path: "enable_pipelining = false" },
  { name: "Postfix without SIZE", start: postfix({ discard: ["size"] }) },
  { name: "Exim, as it comes", start: exim(), says: /<= .* P=esmtp L (K )?S=/ },
  { name: "Exim, BDAT not used", start: exim(), path: "max_bdat_size = 0", says: /<= .* P=esmtp L S=/ },
  { name: "Exim without PIPELINING", start: exim({ pipelining: false }), says: /<= .* P=esmtp S=/ },
  { name: "Exim, PIPELINING not used", start: exim(), path: "enable_pipelining = false", says: /<= .* P=esmtp L- S=/ },
];

test("contents arrive byte for byte", async (t) => {
  await eachRow(t, INTACT, async (row, host, relay, domain) => {
    const sent = Object.entries(CONTENTS).map(([name, body], at) => ({
      name,
      to: `${at}@${domain}`,
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
    if (row.says !== undefined) {
      const taken = host.log.split("\n").filter((line) => line.includes(" <= "));
      assert.equal(taken.filter((line) => row.says?.test(line)).length, sent.length, taken.join("\n"));
    }
    const done = await outcomes(relay, domain, sent.length, ["Delivery", "Bounce"]);
    assert.ok(done.every((record) => record.type === "Delivery"));
    assert.ok(done.every((record) => record.site === `unspecified->mx1.${domain}@smtp_client`));
  });
});

/** What a host makes of a message, and what is said of it. */
interface AnswerRow extends Row {
  /** Local part of the recipient. */
  readonly to: string;
  readonly body?: string;
  readonly type: "Delivery" | "Bounce" | "TransientFailure";
  readonly code: number;
  readonly text: RegExp;
}

const ANSWERS: readonly AnswerRow[] = [
  {
    name: "Postfix knows no such recipient",
    start: postfix({ recipients: { "^no@": "550 5.1.1 no such user here" } }),
    to: "no",
    type: "Bounce",
    code: 550,
    text: /no such user here/,
  },
  {
    name: "Postfix says later",
    start: postfix({ recipients: { "^later@": "450 4.2.0 greylisted" } }),
    to: "later",
    type: "TransientFailure",
    code: 450,
    text: /greylisted/,
  },
  {
    name: "Postfix says that the mailbox is full",
    start: postfix({ recipients: { "^full@": "452 4.2.2 mailbox full" } }),
    to: "full",
    type: "TransientFailure",
    code: 452,
    text: /mailbox full/,
  },
  {
    name: "Postfix is slow",
    start: postfix({ slow: 2 }),
    to: "r",
    type: "Delivery",
    code: 250,
    text: /queued as/,
  },
  {
    name: "Postfix says beforehand that it is too large",
    start: postfix({ main: { message_size_limit: 20_000 } }),
    to: "r",
    body: "x".repeat(900).concat("\r\n").repeat(30),
    type: "Bounce",
    code: 552,
    text: /larger than the 20000 that the destination takes/,
  },
  {
    name: "Postfix says afterwards that it is too large",
    start: postfix({ discard: ["size"], main: { message_size_limit: 20_000 } }),
    to: "r",
    body: "x".repeat(900).concat("\r\n").repeat(30),
    type: "Bounce",
    code: 552,
    text: /message file too big|exceeds/i,
  },
  {
    name: "Postfix takes no 8-bit text",
    start: postfix({ discard: ["8bitmime"] }),
    to: "r",
    body: "\u00fc",
    type: "Bounce",
    code: 554,
    text: /does not offer 8BITMIME/,
  },
  {
    name: "Exim knows no such recipient",
    start: exim({ recipientAcl: "  deny local_parts = no\n       message = no such user here\n" }),
    to: "no",
    type: "Bounce",
    code: 550,
    text: /no such user here/,
  },
  {
    name: "Exim says later",
    start: exim({ recipientAcl: "  defer message = greylisted\n" }),
    to: "later",
    type: "TransientFailure",
    code: 451,
    text: /greylisted/,
  },
  {
    name: "Exim says beforehand that it is too large",
    start: exim({ main: { message_size_limit: 20_000 } }),
    to: "r",
    body: "x".repeat(900).concat("\r\n").repeat(30),
    type: "Bounce",
    code: 552,
    text: /larger than the 20000 that the destination takes/,
  },
];

test("what a host answers decides", async (t) => {
  await eachRow(t, ANSWERS, async (row, host, relay, domain) => {
    await send(relay, [`${row.to}@${domain}`], HEADER + (row.body ?? "text"));
    const [record] = await outcomes(relay, domain, 1, [row.type]);
    assert.equal(record?.response.code, row.code, JSON.stringify(record));
    assert.match(record.response.content, row.text);
    if (row.type === "Delivery") await untilStored(host, 1);
    else assert.equal(storedMail(host).length, 0);
  });
});

test("recipients of one message fare each on their own", async (t) => {
  const host = await startPostfix(t, { recipients: { "^no@": "550 5.1.1 no", "^later@": "451 4.3.0 later" } });
  if (host === null) return;
  const relay = await startRelay(t, { "to.example": [host] });
  const names = ["no", "a", "later", "b", "c"];
  const client = await connectAndGreet(relay.port);
  const to = names.map((name) => `${name}@to.example`);
  assert.match(await client.send("s@from.example", to, `${HEADER}text`), /^250 /);
  await client.end();
  const records = await outcomes(relay, "to.example", 5, ["Delivery", "Bounce", "TransientFailure"]);
  const first = new Map(records.toReversed().map((record) => [record.recipient.split("@")[0], record.type]));
  const expected = { a: "Delivery", b: "Delivery", c: "Delivery", later: "TransientFailure", no: "Bounce" };
  assert.deepEqual(Object.fromEntries([...first].sort()), expected);
  const stored = await untilStored(host, 3);
  assert.deepEqual(
    stored.map((mail) => mail.recipient),
    ["a@to.example", "b@to.example", "c@to.example"],
  );
});

test("an address that is not ASCII goes to a host that takes it, and to no other", async (t) => {
  const able = await startPostfix(t);
  const unable = await startPostfix(t, { discard: ["smtputf8"] });
  const exim = await startExim(t);
  if (able === null || unable === null || exim === null) return;
  const relay = await startRelay(t, { "able.example": [able], "unable.example": [unable], "exim.example": [exim] });
  const client = await connectAndGreet(relay.port);
  for (const domain of ["able", "unable", "exim"]) {
    await client.say("MAIL FROM:<s@from.example> SMTPUTF8");
    // One byte per character is what the client writes.
    const local = Buffer.from("j\u00fcrgen").toString("latin1");
    assert.match(await client.say(`RCPT TO:<${local}@${domain}.example>`), /^250/);
    await client.say("DATA");
    assert.match(await client.say(`${HEADER}text\r\n.`), /^250/);
  }
  await client.end();
  const types = ["Delivery", "Bounce", "TransientFailure"];
  const [taken, refused, second] = await Promise.all(
    ["able", "unable", "exim"].map(async (domain) => (await outcomes(relay, `${domain}.example`, 1, types))[0]),
  );
  assert.deepEqual([taken?.type, second?.type], ["Delivery", "Delivery"], JSON.stringify([taken, second]));
  assert.deepEqual([refused?.type, refused?.response.code], ["Bounce", 554]);
  assert.match((await untilStored(able, 1))[0]?.received ?? "", /with UTF8SMTP/);
  assert.equal(storedMail(unable).length, 0);
});

test("a host that is full says 421, and gets the mail when it has room", async (t) => {
  const limit = { smtpd_client_connection_count_limit: 1, smtpd_client_event_limit_exceptions: "" };
  const rows: readonly Row[] = [
    { name: "Postfix", start: postfix({ main: limit }) },
    { name: "Exim", start: exim({ main: { smtp_accept_max: 10, smtp_accept_max_per_host: 1 } }) },
  ];
  await eachRow(t, rows, async (_row, host, relay, domain) => {
    const other = await SmtpClient.connect(host.port, host.address);
    assert.match(other.greeting, /^220 /);
    await send(relay, [`r@${domain}`], `${HEADER}text`);
    const [record] = await outcomes(relay, domain, 1, ["TransientFailure"]);
    assert.match(record?.response.content ?? "", /the greeting: 421 .*too many (concurrent )?(SMTP )?connections/i);
    assert.equal(storedMail(host).length, 0);
    await other.say("QUIT");
    other.destroy();
    await untilStored(host, 1);
  });
});

test("the next host gets the mail that the first cannot take", async (t) => {
  const gone = await startPostfix(t);
  const takes = await startExim(t);
  if (gone === null || takes === null) return;
  await gone.stop();
  const relay = await startRelay(t, { "to.example": [gone, takes] });
  await send(relay, ["a@to.example", "b@to.example"], `${HEADER}text`);
  await untilStored(takes, 2);
  const records = await outcomes(relay, "to.example", 2, ["Delivery", "Bounce", "TransientFailure"]);
  assert.deepEqual(
    records.map((record) => record.type),
    ["Delivery", "Delivery"],
  );
});

test("300 messages over several connections to each host arrive once each", async (t) => {
  const hosts = [await startPostfix(t), await startExim(t)] as const;
  if (hosts[0] === null || hosts[1] === null) return;
  const relay = await startRelay(t, { "postfix.example": [hosts[0]], "exim.example": [hosts[1]] });
  const names = Array.from({ length: 300 }, (_, at) => `${1000 + at}`);
  const to = names.flatMap((name) => [`${name}@postfix.example`, `${name}@exim.example`]);
  const quarter = to.length / 4;
  await Promise.all([0, 1, 2, 3].map((at) => send(relay, to.slice(at * quarter, (at + 1) * quarter), `${HEADER}text`)));
  for (const host of [hosts[0], hosts[1]]) {
    const stored = await untilStored(host, 300);
    assert.deepEqual(
      stored.map((mail) => mail.recipient),
      names.map((name) => `${name}@${host.kind}.example`),
    );
  }
  await until(() => relay.server.scheduler.messages === 0, "the queue to drain");
  assert.equal(storedMail(hosts[0]).length + storedMail(hosts[1]).length, 600);
});
