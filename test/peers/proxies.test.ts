/** Mail on its way out through real proxies: what the receiver sees, and what is written down. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { describe, type TestContext, test } from "node:test";
import { Counter } from "../../src/protocol/metrics.js";
import { pathSnapshots } from "../../src/scheduler/snapshot.js";
import { makeDir, readLog, removeDir, startServer, type TestServer, until, writeConfig } from "../support/server.js";
import { connectAndGreet } from "../support/smtp-client.js";
import { freePort, present, startDante, startHaproxy, startWatchedSink } from "./proxy-peers.js";

const MESSAGE = "Subject: hello\r\n\r\nthrough a proxy\r\n";

/** A server whose only source has these settings, and that sends everything to `to`. */
async function startBehind(t: TestContext, to: string, source: string): Promise<TestServer> {
  const dir = makeDir();
  const more = `[[source]]\nname = "out"\n${source}\n[[pool]]\nname = "p"\nentries = [{ name = "out" }]\n`;
  const shaping = '["default"]\nconnect_timeout = "3s"\nbanner_timeout = "2s"\n';
  writeConfig(dir, { to, queue: 'egress_pool = "p"\nretry_interval = "1h"', more, shaping });
  const running = await startServer(dir);
  t.after(async () => {
    await running.stop();
    removeDir(dir);
  });
  return running;
}

/** Sends one message and waits for what became of it. */
async function outcome(running: TestServer): Promise<{ type: string; content: string; source: unknown }> {
  const client = await connectAndGreet(running.port);
  assert.match(await client.send("a@example.org", ["b@example.com"], MESSAGE), /^250/);
  await client.end();
  const find = () => readLog(running.dir).find((one) => one.type !== "Reception");
  await until(() => find() !== undefined, "an outcome");
  const record = find();
  assert.ok(record !== undefined);
  return { type: record.type, content: record.response.content, source: record["source_address"] };
}

describe("mail through real proxies", { concurrency: true }, () => {
  test("HAProxy, header of version 2 and 1: the receiver sees the source's address", async (t) => {
    if (!present(t, "haproxy", "haproxy")) return;
    const haproxy = await startHaproxy(t);
    const sink = await startWatchedSink(t);
    for (const version of ["", 'ha_proxy_protocol = "v1"']) {
      const source = `ha_proxy_server = "127.0.0.1:${haproxy}"\nha_proxy_source_address = "127.0.0.7"\n${version}`;
      const running = await startBehind(t, `127.0.0.1:${sink.port}`, source);
      const found = await outcome(running);
      assert.equal(found.type, "Delivery", found.content);
      assert.deepEqual(found.source, { address: "127.0.0.7", server: `127.0.0.1:${haproxy}`, protocol: "haproxy" });
    }
    assert.deepEqual(sink.from, ["127.0.0.7", "127.0.0.7"]);
    assert.equal(sink.sink.stats().messages, 2);
  });

  test("HAProxy that does not serve the address, or cannot reach the host: its silence is the proxy's", async (t) => {
    if (!present(t, "haproxy", "haproxy")) return;
    const haproxy = await startHaproxy(t);
    const sink = await startWatchedSink(t);
    const nobody = await freePort();
    for (const [to, address] of [
      [sink.port, "127.0.0.6"],
      [nobody, "127.0.0.7"],
    ] as const) {
      const source = `ha_proxy_server = "127.0.0.1:${haproxy}"\nha_proxy_source_address = "${address}"`;
      const running = await startBehind(t, `127.0.0.1:${to}`, source);
      const found = await outcome(running);
      assert.equal(found.type, "TransientFailure");
      assert.match(
        found.content,
        /\(proxy\): 127\.0\.0\.1: proxy haproxy 127\.0\.0\.1:\d+: .* while waiting for the greeting$/,
      );
      const counted = running.server.shared.sum(Counter.proxyConnectionFailures);
      assert.equal(counted, 1);
      assert.equal(pathSnapshots(running.server.scheduler.core, 9)[0]?.failures, 0, "not held against the host");
    }
    assert.deepEqual(sink.from, [], "there is no direct connection as a way out");
  });

  test("a proxy that takes the header and never says a word", async (t) => {
    const mute = createServer((socket) => socket.on("error", () => {}).resume());
    await once(mute.listen(0, "127.0.0.1"), "listening");
    t.after(() => mute.close());
    const address = mute.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const sink = await startWatchedSink(t);
    const source = `ha_proxy_server = "127.0.0.1:${port}"\nha_proxy_source_address = "127.0.0.7"`;
    const found = await outcome(await startBehind(t, `127.0.0.1:${sink.port}`, source));
    assert.match(found.content, /proxy haproxy 127\.0\.0\.1:\d+: timed out after 2s while waiting for the greeting$/);
  });

  test("Dante, plain CONNECT: the address is the proxy's choice", async (t) => {
    if (!present(t, "danted", "dante-server")) return;
    const dante = await startDante(t);
    const sink = await startWatchedSink(t);
    const source = `socks5_proxy_server = "127.0.0.1:${dante}"\nsocks5_proxy_method = "connect"`;
    const found = await outcome(await startBehind(t, `127.0.0.1:${sink.port}`, source));
    assert.equal(found.type, "Delivery", found.content);
    assert.deepEqual(sink.from, ["127.0.0.8"]);
    assert.deepEqual(found.source, { address: "127.0.0.8", server: `127.0.0.1:${dante}`, protocol: "socks5" });
    const nobody = await freePort();
    const dead = await outcome(await startBehind(t, `127.0.0.1:${nobody}`, source));
    assert.match(dead.content, /\(proxy cannot reach the destination\): .*connection refused, in reply to CONNECT/);
    // A server that knows BIND only as RFC 1928 means it cannot choose the source address, and says so.
    const bind = `socks5_proxy_server = "127.0.0.1:${dante}"\nsocks5_proxy_source_address = "127.0.0.7"`;
    const refused = await outcome(await startBehind(t, `127.0.0.1:${sink.port}`, bind));
    assert.match(refused.content, /in reply to BIND 127\.0\.0\.7$/);
    assert.equal(sink.from.length, 1);
  });
});
