/** A proxy that is down takes its sources out of use; the others take over, and they are back when it is. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { startProxy } from "../../src/proxy/proxy.js";
import { sourceSnapshots } from "../../src/scheduler/snapshot.js";
import { freePort, startWatchedSink } from "../peers/proxy-peers.js";
import { makeDir, readLog, removeDir, startServer, until, writeConfig } from "../support/server.js";
import { connectAndGreet } from "../support/smtp-client.js";

test("a dead proxy suspends its source, another source takes over, and it is used again when the time is over", async (t) => {
  const sink = await startWatchedSink(t);
  const port = await freePort();
  const dir = makeDir();
  t.after(() => removeDir(dir));
  writeConfig(dir, {
    to: `127.0.0.1:${sink.port}`,
    queue: 'egress_pool = "both"\nretry_interval = "1s"',
    more: `[[source]]
name = "through"
socks5_proxy_server = "127.0.0.1:${port}"
socks5_proxy_source_address = "127.0.0.9"
suspend_when_proxy_unhealthy = { trigger = { Threshold = "2/min" }, duration = "5s" }
[[source]]
name = "direct"
source_address = "127.0.0.2"
[[pool]]
name = "both"
entries = [{ name = "through" }, { name = "direct" }]
`,
    // One session after the other, so that the proxy's failures come one by one. The hosts would be given up at once.
    shaping: '["default"]\nconnection_limit = 1\nconsecutive_connection_failures_before_delay = 0\n',
  });
  const running = await startServer(dir);
  const { scheduler } = running.server;
  const through = () => sourceSnapshots(scheduler.core).find(({ name }) => name === "through");
  const send = async (count: number, subject: string): Promise<void> => {
    const client = await connectAndGreet(running.port);
    for (let i = 0; i < count; i++) {
      assert.match(await client.send("a@b.example", [`${subject}${i}@c.example`], "Subject: x\r\n\r\ny"), /^250/);
    }
    await client.end();
    await until(() => scheduler.messages === 0, "the queue to drain");
  };
  const records = (type: string, subject = "") =>
    readLog(dir).filter((record) => record.type === type && record.recipient.startsWith(subject));

  await send(8, "one");
  const failed = records("TransientFailure");
  assert.equal(failed.length, 2, "the rest went back untried");
  for (const record of failed) {
    assert.equal(record["egress_source"], "through");
    assert.match(record.response.content, /failed to connect to any candidate hosts \(proxy\): .*ECONNREFUSED/);
  }
  const source = through();
  assert.deepEqual([source?.suspended, source?.suspensions, source?.failures], ["proxy", 1, 2]);
  assert.ok(records("Delivery").every((record) => record["egress_source"] === "direct"));
  assert.equal(records("Delivery").length, 8);

  const proxy = await startProxy({
    listen: { host: "127.0.0.1", port },
    tls: null,
    auth: "none",
    users: new Map(),
    clients: ["127.0.0.0/8"],
    sources: [],
    destinations: [],
    ports: [],
    maxConnections: 10,
    maxPerClient: 10,
    timeoutMs: 10_000,
  });
  t.after(() => proxy.stop());
  await until(() => through()?.suspended === "none", "the end of the suspension");
  await send(4, "two");
  const sources = records("Delivery", "two").map((record) => record["egress_source"]);
  assert.deepEqual([...sources].sort(), ["direct", "direct", "through", "through"]);
  assert.equal(records("TransientFailure").length, 2);
  assert.equal(through()?.suspensions, 1);
  await running.stop();
});
