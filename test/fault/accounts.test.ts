/** Nobody who was told 250 is forgotten: more recipients than rows, a log that cannot be written, and hosts that must not be. */
import assert from "node:assert/strict";
import { createServer } from "node:net";
import { type TestContext, test } from "node:test";
import { DEFAULT_PROFILE } from "../../src/sink/options.js";
import { startSink } from "../../src/sink/sink.js";
import { ChildServer } from "../support/child-server.js";
import { makeDir, readLog, removeDir, type TestConfig, until, writeConfig } from "../support/server.js";
import { connectAndGreet, idsOf, type SmtpClient } from "../support/smtp-client.js";

/** A directory with its configuration, and servers on it that end with the test. */
function scene(t: TestContext, config: TestConfig) {
  const dir = makeDir();
  writeConfig(dir, config);
  const servers: ChildServer[] = [];
  t.after(async () => {
    for (const server of servers) await server.kill();
    removeDir(dir);
  });
  const start = async (): Promise<ChildServer> => {
    const server = await ChildServer.start(dir);
    servers.push(server);
    return server;
  };
  return { dir, start };
}

const TERMINAL = ["Delivery", "Bounce", "Expiration", "AdminBounce"];

/** Terminal records by message. */
function endings(dir: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const { type, id } of readLog(dir)) if (TERMINAL.includes(type)) found.set(id, (found.get(id) ?? 0) + 1);
  return found;
}

test("many clients at once do not push acknowledged recipients out of the table", async (t) => {
  // Nobody listens there: everything waits.
  const nobody = createServer().listen(0, "127.0.0.1");
  await new Promise((resolve) => nobody.once("listening", resolve));
  const address = nobody.address();
  const port = typeof address === "object" && address !== null ? address.port : 0;
  nobody.close();
  const { start } = scene(t, { to: `127.0.0.1:${port}`, spool: "max_messages = 1000" });
  const server = await start();
  const recipients = Array.from({ length: 1000 }, (_, i) => `r${i}@a.example`);
  const clients = await Promise.all(Array.from({ length: 45 }, () => connectAndGreet(server.port)));
  // All are let in before the first message is there.
  const begin = async (client: SmtpClient): Promise<void> => {
    client.write(`MAIL FROM:<s@x.example>\r\n${recipients.map((name) => `RCPT TO:<${name}>\r\n`).join("")}DATA\r\n`);
    for (let i = 0; i < recipients.length + 1; i++) assert.match(await client.reply(), /^250 /);
    assert.match(await client.reply(), /^354 /);
  };
  await Promise.all(clients.map(begin));
  const replies = await Promise.all(clients.map((client) => client.say("Subject: x\r\n\r\nx\r\n.")));
  const accepted = replies.flatMap((reply) => (reply.startsWith("250") ? (reply.match(/[0-9a-f]{32}/g) ?? []) : []));
  for (const reply of replies) assert.match(reply, /^(250[ -]|452 4\.3\.1 )/);
  assert.ok(
    replies.some((reply) => reply.startsWith("452")),
    "more came than there was room for",
  );
  assert.ok(accepted.length > 0, `${accepted.length} accepted`);
  assert.equal(await server.metric("unlisted_count"), 0);
  assert.equal(await server.metric("message_count"), accepted.length);
  assert.equal(await server.metric("spool_promised_count"), 0);
  for (const client of clients) client.destroy();
});

test("a stop while the log cannot be written takes nothing out of the spool that has no record", async (t) => {
  const arrived: string[] = [];
  const sink = await startSink({
    host: "127.0.0.1",
    port: 0,
    profile: { ...DEFAULT_PROFILE, latencyMs: 500 },
    onMessage: ({ recipients }) => arrived.push(...recipients),
  });
  t.after(() => sink.stop());
  const { dir, start } = scene(t, { to: `127.0.0.1:${sink.port}` });
  const server = await start();
  const client = await connectAndGreet(server.port);
  const accepted: string[] = [];
  for (let i = 0; i < 5; i++)
    accepted.push(...idsOf(await client.send("s@x.example", [`r${i}@a.example`], "Subject: x\r\n\r\nx")));
  server.order("log.write error ENOSPC");
  await until(() => arrived.length > 0 && /event log cannot be written/.test(server.words), "a delivery");
  // Refusals are counted meanwhile, and cost no memory.
  for (let i = 0; i < 50; i++) assert.match(await client.say("MAIL FROM:<s@x.example>"), /^451 /);
  await server.stop();
  assert.equal(endings(dir).size, 0, "no record could be written");
  server.order();
  const again = await start();
  await until(() => endings(dir).size === 5, "every message to have its end");
  await again.stop();
  for (const id of accepted) assert.equal(endings(dir).get(id), 1, `${id} has one end`);
});

test("while the log cannot be written refusals are counted, not kept, and workers live", async (t) => {
  const { start } = scene(t, { to: "127.0.0.1:9" });
  const server = await start();
  server.order("log.write error ENOSPC");
  const client = await connectAndGreet(server.port);
  assert.match(await client.say("RCPT TO:<a@a.example>"), /^503 /);
  await until(() => /event log cannot be written/.test(server.words), "the notice");
  const lines = 3000;
  client.write("MAIL FROM:<s@x.example>\r\n".repeat(lines));
  for (let i = 0; i < lines; i++) assert.match(await client.reply(), /^451 4\.3\.0 /);
  assert.ok((await server.metric("log_rejections_dropped_total")) >= lines - 10);
  assert.equal(await server.metric("workers_lost_total"), 0);
  assert.equal(await server.liveness(), 503);
  server.order();
  await until(() => /log is written again/.test(server.words), "the log");
  client.destroy();
});

test("an address literal that must not be connected to bounces at once", async (t) => {
  const { dir, start } = scene(t, { queue: 'retry_interval = "1h"' });
  const server = await start();
  const client = await connectAndGreet(server.port);
  const reply = await client.send("s@x.example", ["a@[127.0.0.1]", "b@[127.0.0.1]"], "Subject: x\r\n\r\nx");
  await until(() => endings(dir).size === 2, "the bounces");
  for (const { type, response } of readLog(dir).filter((record) => TERMINAL.includes(record.type))) {
    assert.equal(type, "Bounce");
    assert.match(`${response.code} ${response.content}`, /^550 .*127\.0\.0\.1/);
  }
  for (const id of idsOf(reply)) assert.equal(endings(dir).get(id), 1);
  await client.end();
  await server.stop();
});
