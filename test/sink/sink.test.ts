import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { test } from "node:test";
import { Fault } from "../../src/base/fault.js";
import { DEFAULT_PROFILE, type SinkEnvelope } from "../../src/sink/options.js";
import { startSink } from "../../src/sink/sink.js";
import { startSinkThread } from "../../src/sink/sink-thread.js";
import { serveStats } from "../../src/sink/stats-server.js";

/** Sends each step and waits for `replies` more replies' last lines; gives all that was received until the end. */
async function talk(port: number, steps: readonly [send: string, replies: number][]): Promise<string> {
  const socket = connect({ host: "127.0.0.1", port });
  socket.setEncoding("latin1");
  let text = "";
  let wanted = 1;
  let at = 0;
  socket.on("data", (chunk: string) => {
    text += chunk;
    while ((text.match(/^\d{3} .*\r\n/gm) ?? []).length >= wanted && at < steps.length) {
      const [send, replies] = steps[at++] as [string, number];
      wanted += replies;
      socket.write(send);
    }
  });
  await once(socket, "close");
  return text;
}

const ONE_MESSAGE: [string, number][] = [
  ["EHLO c.example\r\n", 1],
  ["MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nRCPT TO:<550-c@d.example>\r\nDATA\r\n", 4],
  ["Subject: x\r\n\r\n..\r\nhello\r\n.\r\nQUIT\r\n", 2],
];

test("a sink in this thread keeps messages when asked, with latency and a page of counters", async () => {
  const kept: [SinkEnvelope, string][] = [];
  const sink = await startSink({
    host: "127.0.0.1",
    port: 0,
    profile: { ...DEFAULT_PROFILE, latencyMs: 2, tarpitMs: 3, hostname: "mx.example" },
    onMessage: (envelope, content) => kept.push([envelope, content.toString("latin1")]),
  });
  const page = await serveStats("127.0.0.1", 0, sink);
  try {
    const text = await talk(sink.port, ONE_MESSAGE);
    assert.match(text, /^220 mx\.example ESMTP\r\n250-mx\.example\r\n250-PIPELINING\r\n/);
    assert.match(text, /250 2\.0\.0 .*\r\n221 .*\r\n$/);
    const envelope = { helo: "c.example", sender: "a@b.example", recipients: ["c@d.example"] };
    assert.deepEqual(kept, [[envelope, "Subject: x\r\n\r\n.\r\nhello\r\n"]]);
    const response = await fetch(`http://127.0.0.1:${page.port}/stats`);
    assert.deepEqual(await response.json(), sink.stats());
    const totals = await (await fetch(`http://127.0.0.1:${page.port}/totals`)).json();
    assert.deepEqual(totals, sink.totals());
    assert.deepEqual([sink.totals().messages, sink.totals().bounced, "domains" in sink.totals()], [1, 1, false]);
    assert.equal((await fetch(`http://127.0.0.1:${page.port}/`)).status, 404);
    const { connections, open, messages, bytes, domains } = sink.stats();
    assert.deepEqual({ connections, open, messages, bytes }, { connections: 1, open: 0, messages: 1, bytes: 25 });
    assert.deepEqual(domains, { "d.example": { accepted: 1, bounced: 1, deferred: 0 } });
  } finally {
    await page.stop();
    await sink.stop();
  }
});

test("a sink on its own thread, full, and its address taken", async () => {
  const profile = { ...DEFAULT_PROFILE, maxConnections: 1 };
  const sink = await startSinkThread({ host: "127.0.0.1", port: 0, profile });
  try {
    const first = connect({ host: "127.0.0.1", port: sink.port });
    await once(first, "data");
    assert.match(await talk(sink.port, []), /^421 4\.3\.2 /);
    first.destroy();
    const [one, two] = await Promise.all([sink.stats(), sink.stats()]);
    assert.equal(one.connections, 2);
    assert.deepEqual(one, two);
    await assert.rejects(
      startSinkThread({ host: "127.0.0.1", port: sink.port, profile }),
      (error) => error instanceof Fault && error.code === "listen.in-use",
    );
  } finally {
    await sink.stop();
  }
  assert.equal(await sink.gone, null);
  await assert.rejects(sink.stats(), (error) => error instanceof Fault && error.code === "worker.lost");
});
