/** A message's whole life: accepted over SMTP, durable, scheduled, delivered over SMTP, logged. */
import assert from "node:assert/strict";
import { appendFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { parseMessageId } from "../../src/protocol/message-id.js";
import { DEFAULT_PROFILE, type SinkEnvelope, type SinkProfile } from "../../src/sink/options.js";
import { type RunningSink, startSink } from "../../src/sink/sink.js";
import { makeDir, readLog, removeDir, startServer, type TestServer, until, writeConfig } from "../support/server.js";
import { connectAndGreet, idsOf } from "../support/smtp-client.js";

interface Kept {
  readonly envelope: SinkEnvelope;
  readonly content: string;
}

function keepingSink(kept: Kept[], profile: Partial<SinkProfile> = {}): Promise<RunningSink> {
  return startSink({
    host: "127.0.0.1",
    port: 0,
    profile: { ...DEFAULT_PROFILE, ...profile },
    onMessage: (envelope, content) => kept.push({ envelope, content: content.toString("latin1") }),
  });
}

describe("a message's life", () => {
  const dir = makeDir();
  const kept: Kept[] = [];
  let sink: RunningSink;
  let running: TestServer;

  before(async () => {
    sink = await keepingSink(kept);
    writeConfig(dir, { to: `127.0.0.1:${sink.port}` });
    running = await startServer(dir);
  });

  after(async () => {
    await running.stop();
    await sink.stop();
    removeDir(dir);
  });

  test("it arrives as it was sent, with a Received header on top, and the log tells its story", async () => {
    const client = await connectAndGreet(running.port);
    const content = "Subject: hello\r\nFrom: a@b.example\r\n\r\nA line.\r\n.A line with a dot.\r\n..Two.\r\n";
    const reply = await client.send("a@b.example", ["friend@example.com"], content.slice(0, -2));
    assert.match(reply, /^250 2\.0\.0 OK ids=[0-9a-f]{32}$/);
    await client.end();
    await until(() => kept.length === 1, "the message");
    const { envelope, content: arrived } = kept[0]!;
    assert.deepEqual([envelope.sender, envelope.recipients], ["a@b.example", ["friend@example.com"]]);
    const [id] = idsOf(reply);
    assert.match(
      arrived,
      new RegExp(
        `^Received: from client\\.example \\(\\[127\\.0\\.0\\.1\\]\\)\\r\\n\\tby mta\\.example\\.org with ESMTP id ${id}\\r\\n\\tfor <friend@example\\.com>;\\r\\n\\t[A-Z][a-z]{2}, .* \\+0000\\r\\n`,
      ),
    );
    assert.ok(arrived.endsWith(`+0000\r\n${content}`), arrived);
    await until(() => readLog(dir).some((record) => record.type === "Delivery"), "its record");
    const story = readLog(dir).filter((record) => record.id === id);
    assert.deepEqual(
      story.map((record) => record.type),
      ["Reception", "Delivery"],
    );
    const delivery = story[1]!;
    assert.equal(delivery.site, `unspecified->mx_list:127.0.0.1:${sink.port}@smtp_client`);
    assert.equal(delivery.queue, "example.com");
    assert.equal(delivery.response.code, 250);
    assert.equal(delivery.response.command, "BDAT");
    assert.equal(delivery["delivery_protocol"], "ESMTP");
    assert.equal(delivery["durability"], "flushed");
    assert.equal(delivery.size, arrived.length);
    await until(() => running.server.scheduler.messages === 0, "the table to be empty");
  });

  test("recipients of one transaction share a body and have a record each", async () => {
    const from = kept.length;
    const client = await connectAndGreet(running.port);
    const recipients = ["a@one.example", "b@two.example", "c@two.example"];
    const reply = await client.send("s@x.example", recipients, "Subject: three\r\n\r\nText");
    const ids = idsOf(reply);
    assert.equal(ids.length, 3);
    assert.equal(new Set(ids).size, 3);
    assert.ok(ids.every((id) => parseMessageId(id) !== null));
    await client.end();
    const named = () => kept.slice(from).flatMap(({ envelope }) => envelope.recipients);
    await until(() => named().length === 3, "three recipients");
    const arrived = kept.slice(from);
    assert.equal(arrived.length, 2, "a transaction for each queue");
    assert.deepEqual(arrived.flatMap(({ envelope }) => envelope.recipients).sort(), recipients);
    // With several recipients nobody's address is shown to the others.
    assert.ok(arrived.every(({ content }) => !/for </.test(content)));
    assert.equal(new Set(arrived.map(({ content }) => content)).size, 1);
    await until(() => running.server.scheduler.messages === 0, "the table to be empty");
    const records = readLog(dir).filter((record) => ids.includes(record.id));
    assert.equal(records.filter((record) => record.type === "Reception").length, 3);
    assert.equal(records.filter((record) => record.type === "Delivery").length, 3);
  });

  test("what a stranger may not relay is refused and logged", async () => {
    const other = makeDir();
    writeConfig(other, {
      to: `127.0.0.1:${sink.port}`,
      listener: 'relay_hosts = ["192.0.2.0/24"]\n[smtp_listener.domains."ours.example"]\nrelay_to = true',
    });
    const strict = await startServer(other);
    try {
      const client = await connectAndGreet(strict.port);
      await client.say("MAIL FROM:<a@b.example>");
      assert.match(await client.say("RCPT TO:<x@elsewhere.example>"), /^550 5\.7\.1 /);
      assert.match(await client.say("RCPT TO:<x@ours.example>"), /^250 /);
      assert.match(await client.say("RCPT TO:<Postmaster>"), /^250 /);
      await client.end();
      await until(() => readLog(other).length === 1, "the rejection");
      const [record] = readLog(other);
      assert.deepEqual([record?.type, record?.recipient], ["Rejection", "x@elsewhere.example"]);
    } finally {
      await strict.stop();
      removeDir(other);
    }
  });

  test("sequence numbers have no gaps", () => {
    const seqs = readLog(dir).map((record) => record.seq);
    assert.deepEqual(
      seqs,
      seqs.map((_, i) => i + 1),
    );
  });
});

test("refusals: for good a Bounce, for now a TransientFailure and a second try; both survive a restart", async () => {
  const dir = makeDir();
  const kept: Kept[] = [];
  const sink = await keepingSink(kept);
  const to = `127.0.0.1:${sink.port}`;
  writeConfig(dir, { to, queue: 'retry_interval = "1s"' });
  const first = await startServer(dir);
  const client = await connectAndGreet(first.port);
  const good = idsOf(await client.send("s@x.example", ["550-nobody@a.example"], "Subject: 1\r\n\r\nx"))[0];
  const late = idsOf(await client.send("s@x.example", ["451-later@a.example"], "Subject: 2\r\n\r\nx"))[0];
  await client.end();
  await until(() => readLog(dir).filter((record) => record.type === "TransientFailure").length >= 2, "two tries");
  await first.stop();
  const before = readLog(dir);
  assert.deepEqual(
    before.filter((record) => record.id === good).map((record) => record.type),
    ["Reception", "Bounce"],
  );
  const tries = before.filter((record) => record.id === late && record.type === "TransientFailure");
  assert.deepEqual(
    tries.map((record) => record.num_attempts),
    tries.map((_, i) => i),
  );
  const second = await startServer(dir);
  await until(
    () => readLog(dir).filter((record) => record.id === late).length > before.filter((r) => r.id === late).length,
    "a try after the restart",
  );
  await second.stop();
  const again = readLog(dir).filter((record) => record.id === late && record.type === "TransientFailure");
  assert.deepEqual(
    again.map((record) => record.num_attempts),
    again.map((_, i) => i),
    "attempts go on where they were",
  );
  const seqs = readLog(dir).map((record) => record.seq);
  assert.equal(new Set(seqs).size, seqs.length, "numbers go on too");
  await sink.stop();
  assert.ok(readdirSync(join(dir, "var", "spool")).length > 0);
  removeDir(dir);
});

test("what the log says was delivered before a crash is not delivered again", async () => {
  const dir = makeDir();
  const kept: Kept[] = [];
  const sink = await keepingSink(kept);
  // A port where nobody listens: both messages wait.
  const closed = await keepingSink([]);
  await closed.stop();
  writeConfig(dir, { to: `127.0.0.1:${closed.port}`, queue: 'retry_interval = "1s"' });
  const first = await startServer(dir);
  const client = await connectAndGreet(first.port);
  const [one] = idsOf(await client.send("s@x.example", ["one@d.example"], "Subject: 1\r\n\r\nx"));
  const [other] = idsOf(await client.send("s@x.example", ["other@d.example"], "Subject: 2\r\n\r\nx"));
  await client.end();
  await until(() => readLog(dir).filter((record) => record.type === "TransientFailure").length >= 2, "two failures");
  await first.stop();
  // As if the machine had stopped between the record and the removal.
  const failure = readLog(dir).find((record) => record.id === one && record.type === "TransientFailure");
  const log = join(dir, "var", "log");
  const newest =
    readdirSync(log)
      .filter((name) => name.endsWith(".jsonl"))
      .sort()
      .at(-1) ?? "";
  appendFileSync(join(log, newest), `${JSON.stringify({ ...failure, type: "Delivery", seq: 1000 })}\n`);
  writeConfig(dir, { to: `127.0.0.1:${sink.port}`, queue: 'retry_interval = "1s"' });
  const second = await startServer(dir);
  const settled = (): string[] => readLog(dir).flatMap((record) => (record.type === "Delivery" ? [record.id] : []));
  await until(() => settled().includes(other as string) && second.server.scheduler.messages === 0, "the other one");
  await second.stop();
  await sink.stop();
  assert.deepEqual(settled().sort(), [one, other].sort(), "one terminal record each");
  assert.deepEqual(
    kept.map(({ envelope }) => envelope.recipients),
    [["other@d.example"]],
  );
  assert.ok(
    second.notices.some((line) => /1 messages found, 1 that the log knows to be settled removed/.test(line)),
    second.notices.join("\n"),
  );
  const third = await startServer(dir);
  assert.equal(third.server.scheduler.messages, 0, "and it has left the spool");
  assert.ok(!third.notices.some((line) => /found/.test(line)));
  await third.stop();
  removeDir(dir);
});

test("the sandbox delivers every domain to the built-in sink", async () => {
  const dir = makeDir();
  writeConfig(dir, {});
  const running = await startServer(dir);
  const client = await connectAndGreet(running.port);
  await client.send("s@x.example", ["a@gmail.com", "b@nowhere.invalid"], "Subject: 1\r\n\r\nx");
  await client.end();
  await until(() => readLog(dir).filter((record) => record.type === "Delivery").length === 2, "two deliveries");
  assert.deepEqual(
    readLog(dir)
      .filter((record) => record.type === "Delivery")
      .map((record) => record.site)
      .sort(),
    ["unspecified->gmail.com@smtp_client", "unspecified->nowhere.invalid@smtp_client"],
  );
  await running.stop();
  removeDir(dir);
});

test("DNS decides: null MX and a domain that does not exist bounce at once", async () => {
  const dir = makeDir();
  const kept: Kept[] = [];
  const sink = await keepingSink(kept);
  const { writeFileSync } = await import("node:fs");
  writeFileSync(
    join(dir, "hosts.zone"),
    [
      "null.example. 60 IN MX 0 .",
      "good.example. 60 IN MX 10 mx1.good.example.",
      "mx1.good.example. 60 IN A 127.0.0.1",
      "",
    ].join("\n"),
  );
  writeConfig(dir, {
    queue: 'retry_interval = "10m"',
    shaping: `["default"]\nsmtp_port = ${sink.port}\nprohibited_hosts = []\n`,
    more: '[dns]\nhosts_file = "hosts.zone"\nservers = ["127.0.0.1:9"]\ntimeout = "1s"',
  });
  const running = await startServer(dir);
  const client = await connectAndGreet(running.port);
  await client.send("s@x.example", ["a@null.example", "b@good.example", "c@[127.0.0.1]"], "Subject: 1\r\n\r\nx");
  await client.end();
  await until(() => readLog(dir).filter((record) => record.type !== "Reception").length === 3, "three outcomes");
  const by = new Map(
    readLog(dir)
      .filter((record) => record.type !== "Reception")
      .map((record) => [record.recipient, record]),
  );
  assert.deepEqual([by.get("a@null.example")?.type, by.get("a@null.example")?.response.code], ["Bounce", 556]);
  assert.equal(by.get("b@good.example")?.type, "Delivery");
  assert.equal(by.get("b@good.example")?.site, "unspecified->mx1.good.example@smtp_client");
  assert.equal(by.get("c@[127.0.0.1]")?.type, "Delivery");
  await running.stop();
  await sink.stop();
  removeDir(dir);
});
