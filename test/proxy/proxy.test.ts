/** The proxy over real sockets: what it lets through, what it refuses and with which code, what it counts. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { connect as connectTls } from "node:tls";
import { SocksClient as OtherClient } from "socks";
import { ReplyCode, socksFrame } from "../../src/handshake/socks.js";
import type { ProxyOptions } from "../../src/proxy/options.js";
import { type RunningProxy, startProxy } from "../../src/proxy/proxy.js";
import { replyOf } from "../../src/proxy/session.js";
import { metricsText, serveStatus } from "../../src/proxy/status-server.js";
import { freePort, startWatchedSink } from "../peers/proxy-peers.js";
import { makeDir, readLog, removeDir, startServer, until, writeConfig } from "../support/server.js";
import { connectAndGreet } from "../support/smtp-client.js";
import { untestable } from "../support/untestable.js";

const OPEN: ProxyOptions = {
  listen: { host: "127.0.0.1", port: 0 },
  tls: null,
  auth: "none",
  users: new Map([["mta", "right"]]),
  clients: ["127.0.0.0/8"],
  sources: [],
  destinations: [],
  ports: [],
  maxConnections: 100,
  maxPerClient: 100,
  timeoutMs: 10_000,
};

async function start(t: TestContext, more: Partial<ProxyOptions> = {}): Promise<RunningProxy> {
  const proxy = await startProxy({ ...OPEN, ...more });
  t.after(() => proxy.stop());
  return proxy;
}

/** A destination that says hello, sends back what it hears, and ends when its client has. */
async function startEcho(t: TestContext): Promise<{ port: number; from: string[] }> {
  const from: string[] = [];
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    from.push(socket.remoteAddress ?? "");
    socket.on("error", () => {});
    socket.write("hello ");
    socket.pipe(socket);
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  t.after(() => server.close());
  const address = server.address();
  return { port: typeof address === "object" && address !== null ? address.port : 0, from };
}

/** Says things to a proxy one by one, each when `bytes` more have come; gives all that came, until the end. */
async function dialogue(
  socket: Socket,
  steps: readonly (readonly [say: Uint8Array, bytes: number])[],
): Promise<Buffer> {
  let heard = Buffer.alloc(0);
  socket.on("error", () => {});
  socket.on("data", (chunk: Buffer) => {
    heard = Buffer.concat([heard, chunk]);
  });
  let wanted = 0;
  for (const [say, bytes] of steps) {
    socket.write(say);
    wanted += bytes;
    await until(() => heard.length >= wanted || socket.closed, "the proxy's words");
  }
  return heard;
}

const HELLO = Uint8Array.of(5, 1, 0);

/** The code that ends a dialogue with a proxy that wants no password. */
async function codeOf(proxy: RunningProxy, ...requests: readonly Uint8Array[]): Promise<number | undefined> {
  const socket = connect(proxy.port, "127.0.0.1");
  const heard = await dialogue(socket, [[HELLO, 2], ...requests.map((request) => [request, 10] as const)]);
  socket.destroy();
  return heard[2 + 10 * (requests.length - 1) + 1];
}

test("mail of a source leaves from the address that BIND asked for, and the record says so", async (t) => {
  const proxy = await start(t, { auth: "required" });
  const sink = await startWatchedSink(t);
  const dir = makeDir();
  const more = `[[source]]\nname = "out"\nsocks5_proxy_server = "127.0.0.1:${proxy.port}"\nsocks5_proxy_source_address = "127.0.0.9"
socks5_proxy_username = "mta"\nsocks5_proxy_password = { file = "password" }\n[[pool]]\nname = "p"\nentries = [{ name = "out" }]\n`;
  writeConfig(dir, { to: `127.0.0.1:${sink.port}`, queue: 'egress_pool = "p"', more });
  writeFileSync(join(dir, "password"), "right\n");
  const running = await startServer(dir);
  const client = await connectAndGreet(running.port);
  const content = `Subject: x\r\n\r\n${"a line of a letter\r\n".repeat(20_000)}`;
  for (let i = 0; i < 5; i++) assert.match(await client.send("a@example.org", [`b${i}@example.com`], content), /^250/);
  await client.end();
  await until(() => running.server.scheduler.messages === 0, "the queue to drain");
  const deliveries = readLog(dir).filter((record) => record.type === "Delivery");
  assert.equal(deliveries.length, 5);
  for (const record of deliveries) {
    const expected = { address: "127.0.0.9", server: `127.0.0.1:${proxy.port}`, protocol: "socks5" };
    assert.deepEqual(record["source_address"], expected);
  }
  assert.deepEqual([...new Set(sink.from)], ["127.0.0.9"]);
  await running.stop();
  removeDir(dir);
  await until(() => proxy.status().active === 0, "the relays to end");
  const status = proxy.status();
  assert.ok(status.bytesClientToDestination > 5 * content.length, "every byte was counted");
  assert.deepEqual(
    [status.completed + (status.failed["relay"] ?? 0), status.outbound],
    [sink.from.length, sink.from.length],
  );
});

test("another program's SOCKS client: CONNECT, with a password and without", async (t) => {
  const echo = await startEcho(t);
  const proxy = await start(t, { auth: "optional" });
  const at = { host: "127.0.0.1", port: proxy.port, type: 5 as const };
  for (const who of [{}, { userId: "mta", password: "right" }]) {
    const { socket } = await OtherClient.createConnection({
      proxy: { ...at, ...who },
      command: "connect",
      destination: { host: "127.0.0.1", port: echo.port },
    });
    const heard = await dialogue(socket, [[Buffer.from("world"), 11]]);
    assert.equal(heard.toString(), "hello world");
    socket.destroy();
  }
  await assert.rejects(
    OtherClient.createConnection({
      proxy: { ...at, userId: "mta", password: "wrong" },
      command: "connect",
      destination: { host: "127.0.0.1", port: echo.port },
    }),
    /[Aa]uthentication/,
  );
  assert.equal(proxy.status().failed["auth"], 1);
});

test("one direction ends before the other, and what was said before is all there", async (t) => {
  const echo = await startEcho(t);
  const proxy = await start(t);
  const socket = connect({ port: proxy.port, host: "127.0.0.1", allowHalfOpen: true });
  const all = Buffer.alloc(3_000_000, "x");
  const connectTo = socksFrame(1, "127.0.0.1", echo.port);
  await dialogue(socket, [
    [HELLO, 2],
    [connectTo, 16],
  ]);
  let bytes = 0;
  socket.on("data", (chunk: Buffer) => (bytes += chunk.length));
  socket.end(all);
  await once(socket, "end");
  assert.equal(bytes, all.length);
  await until(() => proxy.status().completed === 1, "the end of the relay");
  assert.equal(proxy.status().bytesDestinationToClient, all.length + 16);
});

test("what is not had, and what is not allowed, have their codes", async (t) => {
  const echo = await startEcho(t);
  const proxy = await start(t, { sources: ["127.0.0.0/24", "192.0.2.0/24"], destinations: ["127.0.0.1"] });
  const bind = (address: string): Uint8Array => socksFrame(2, address, 0);
  const to = (address: string, port: number): Uint8Array => socksFrame(1, address, port);
  assert.equal(await codeOf(proxy, bind("127.0.0.5"), to("127.0.0.1", echo.port)), ReplyCode.succeeded);
  assert.deepEqual(echo.from, ["127.0.0.5"]);
  assert.equal(await codeOf(proxy, bind("192.0.2.5")), ReplyCode.failure, "no interface has it");
  assert.equal(await codeOf(proxy, bind("127.0.1.5")), ReplyCode.notAllowed);
  assert.equal(await codeOf(proxy, to("127.0.0.2", echo.port)), ReplyCode.notAllowed);
  assert.equal(await codeOf(proxy, to("127.0.0.1", await freePort())), ReplyCode.refused);
  const strict = await start(t, { ports: [25] });
  assert.equal(await codeOf(strict, to("127.0.0.1", echo.port)), ReplyCode.notAllowed);
  const { bind: bound, connect: connected } = proxy.status().failed;
  assert.deepEqual([bound, connected], [2, 2]);
  assert.deepEqual(
    ["ENETUNREACH", "EHOSTUNREACH", "ECONNREFUSED", "ETIMEDOUT", "EADDRNOTAVAIL", null].map(replyOf),
    [3, 4, 5, 6, 1, 1],
  );
});

test("strangers and clients too many are closed without a word", async (t) => {
  const closed = await start(t, { clients: ["192.0.2.0/24"] });
  const stranger = connect(closed.port, "127.0.0.1");
  assert.equal((await dialogue(stranger, [[HELLO, 2]])).length, 0);
  assert.equal(closed.status().failed["client"], 1);
  for (const limit of [{ maxConnections: 1 }, { maxPerClient: 1 }]) {
    const proxy = await start(t, limit);
    const first = connect(proxy.port, "127.0.0.1");
    assert.equal((await dialogue(first, [[HELLO, 2]])).length, 2);
    const second = connect(proxy.port, "127.0.0.1");
    assert.equal((await dialogue(second, [[HELLO, 2]])).length, 0);
    assert.equal(proxy.status().failed["limit"], 1);
    first.destroy();
    await until(() => proxy.status().active === 0, "the place to be free");
    const third = connect(proxy.port, "127.0.0.1");
    assert.equal((await dialogue(third, [[HELLO, 2]])).length, 2);
    third.destroy();
  }
});

test("a client that dawdles is closed; a client that leaves early leaves nothing behind", async (t) => {
  const proxy = await start(t, { timeoutMs: 300 });
  const slow = connect(proxy.port, "127.0.0.1");
  await dialogue(slow, [[HELLO, 2]]);
  await once(slow.resume(), "close");
  assert.equal(proxy.status().failed["timeout"], 1);
  const early = connect(proxy.port, "127.0.0.1");
  await dialogue(early, [[HELLO, 2]]);
  early.write(socksFrame(1, "192.0.2.1", 25));
  early.destroy();
  await until(() => proxy.status().active === 0, "nobody");
});

test("with TLS between client and proxy; clients in clear are counted as failed handshakes", async (t) => {
  const dir = makeDir();
  t.after(() => removeDir(dir));
  const [key, cert] = [join(dir, "key.pem"), join(dir, "cert.pem")];
  const subject = ["-subj", "/CN=proxy.example", "-days", "2", "-keyout", key, "-out", cert];
  const made = spawnSync("openssl", [
    "req",
    "-x509",
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:P-256",
    "-nodes",
    ...subject,
  ]);
  if (made.status !== 0) return void untestable(t, "openssl is missing (Debian package openssl)");
  const echo = await startEcho(t);
  const proxy = await start(t, { tls: { cert: readFileSync(cert, "utf8"), key: readFileSync(key, "utf8") } });
  const socket = connectTls({ port: proxy.port, host: "127.0.0.1", rejectUnauthorized: false });
  await once(socket, "secureConnect");
  const steps = [
    [HELLO, 2],
    [socksFrame(2, "127.0.0.6", 0), 10],
    [socksFrame(1, "127.0.0.1", echo.port), 16],
    [Buffer.alloc(500_000, "y"), 500_000],
  ] as const;
  const heard = await dialogue(socket, steps);
  assert.equal(heard.subarray(22, 33).toString(), "hello yyyyy");
  assert.deepEqual(echo.from, ["127.0.0.6"]);
  socket.end();
  await until(() => proxy.status().completed === 1, "the end of the relay");
  const clear = connect(proxy.port, "127.0.0.1");
  await dialogue(clear, [[Buffer.from("GET / HTTP/1.1\r\n\r\n"), 1000]]);
  await until(() => proxy.status().tlsFailures === 1, "the failed handshake");
  await assert.rejects(startProxy({ ...OPEN, tls: { cert: "nonsense", key: "" } }), /certificate and key/);
});

test("status and metrics over HTTP; an address in use is a fault", async (t) => {
  const proxy = await start(t);
  await codeOf(proxy, socksFrame(1, "127.0.0.1", await freePort()));
  const page = await serveStatus("127.0.0.1", 0, "here", proxy);
  t.after(() => page.stop());
  const get = async (path: string) => fetch(`http://127.0.0.1:${page.port}${path}`);
  const status = (await (await get("/proxy/status")).json()) as { accepted: number; listener: string };
  assert.deepEqual([status.accepted, status.listener], [1, "here"]);
  const metrics = await (await get("/metrics")).text();
  assert.match(metrics, /^proxy_connections_accepted_total\{listener="here"\} 1$/m);
  assert.match(metrics, /^proxy_connections_failed_total\{listener="here",reason="connect"\} 1$/m);
  assert.equal(metrics, metricsText(proxy.status(), "here"));
  assert.equal((await get("/healthz/live")).status, 200);
  assert.equal((await get("/else")).status, 404);
  await assert.rejects(serveStatus("127.0.0.1", page.port, "", proxy), { code: "listen.in-use" });
  await assert.rejects(startProxy({ ...OPEN, listen: { host: "127.0.0.1", port: proxy.port } }), {
    code: "listen.in-use",
  });
});
