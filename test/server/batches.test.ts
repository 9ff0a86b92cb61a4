/** Several recipients in one transaction, and content in one write, through a whole server. */
import assert from "node:assert/strict";
import { createServer, type Server as NetServer, type Socket } from "node:net";
import { test } from "node:test";
import { DEFAULT_PROFILE } from "../../src/sink/options.js";
import { startSink } from "../../src/sink/sink.js";
import { makeDir, readLog, removeDir, startServer, until, writeConfig } from "../support/server.js";
import { connectAndGreet } from "../support/smtp-client.js";

test("a message for a hundred is one transaction, with a fate and a record for each recipient", async () => {
  const dir = makeDir();
  const arrived: string[][] = [];
  const sink = await startSink({
    host: "127.0.0.1",
    port: 0,
    profile: DEFAULT_PROFILE,
    onMessage: ({ recipients }) => arrived.push([...recipients]),
  });
  writeConfig(dir, { to: `127.0.0.1:${sink.port}` });
  const running = await startServer(dir);
  try {
    const client = await connectAndGreet(running.port);
    const recipients = Array.from({ length: 100 }, (_, i) => {
      const kind = i % 10 === 3 ? "550-" : i % 10 === 7 ? "450-" : "";
      return `${kind}r${i}@example.com`;
    });
    await client.send("a@b.example", recipients, "Subject: x\r\n\r\nText");
    await client.end();
    const ours = () => readLog(dir).filter(({ type }) => type !== "Reception");
    await until(() => ours().length === 100, "a record for each");
    assert.equal(arrived.length, 1);
    assert.equal(arrived[0]?.length, 80);
    const types = ours().map(({ recipient, type }) => [recipients.indexOf(recipient), type] as const);
    for (const [i, type] of types) {
      assert.equal(type, i % 10 === 3 ? "Bounce" : i % 10 === 7 ? "TransientFailure" : "Delivery");
    }
    assert.equal(new Set(types.map(([i]) => i)).size, 100);
    assert.equal(new Set(ours().map((record) => record.session_id)).size, 1, "one session had them all");
    await until(() => running.server.scheduler.messages === 10, "the others to have left the spool");
  } finally {
    await running.stop();
    await sink.stop();
    removeDir(dir);
  }
});

test("what was not sent before a restart still goes together after it", async () => {
  const dir = makeDir();
  const arrived: string[][] = [];
  writeConfig(dir, { to: "127.0.0.1:1", queue: 'retry_interval = "1s"' });
  const first = await startServer(dir);
  const client = await connectAndGreet(first.port);
  await client.send("a@b.example", ["a@x.example", "b@y.example", "c@x.example"], "Subject: x\r\n\r\nText");
  await client.end();
  await until(() => readLog(dir).filter(({ type }) => type === "TransientFailure").length >= 3, "a failed attempt");
  await first.stop();
  const sink = await startSink({
    host: "127.0.0.1",
    port: 0,
    profile: DEFAULT_PROFILE,
    onMessage: ({ recipients }) => arrived.push([...recipients].sort()),
  });
  writeConfig(dir, { to: `127.0.0.1:${sink.port}` });
  const second = await startServer(dir);
  try {
    await until(() => arrived.flat().length === 3, "all to arrive");
    assert.deepEqual(arrived.sort(), [["a@x.example", "c@x.example"], ["b@y.example"]]);
  } finally {
    await second.stop();
    await sink.stop();
    removeDir(dir);
  }
});

/** A server that offers CHUNKING and takes BDAT for nonsense, and what follows it for commands. */
class Pretender {
  readonly #server: NetServer;
  readonly #open = new Set<Socket>();
  readonly heard: string[] = [];
  port = 0;

  constructor() {
    this.#server = createServer((socket) => this.#serve(socket));
  }

  async start(): Promise<void> {
    await new Promise<void>((listening) => this.#server.listen(0, "127.0.0.1", listening));
    const address = this.#server.address();
    this.port = typeof address === "object" && address !== null ? address.port : 0;
  }

  #serve(socket: Socket): void {
    this.#open.add(socket);
    let text = "";
    let content = false;
    socket.write("220 pretender\r\n");
    socket.on("error", () => {});
    socket.on("close", () => this.#open.delete(socket));
    socket.on("data", (bytes) => {
      text += bytes.toString("latin1");
      for (let end = text.indexOf("\r\n"); end >= 0; end = text.indexOf("\r\n")) {
        const line = text.slice(0, end);
        text = text.slice(end + 2);
        if (content) {
          if (line !== ".") continue;
          content = false;
          socket.write("250 taken\r\n");
          continue;
        }
        this.heard.push(line.split(" ")[0] ?? "");
        if (/^EHLO/.test(line)) socket.write("250-pretender\r\n250-PIPELINING\r\n250 CHUNKING\r\n");
        else if (/^(MAIL|RCPT|RSET|QUIT)/.test(line)) socket.write("250 ok\r\n");
        else if (line === "DATA") {
          content = true;
          socket.write("354 go\r\n");
        } else socket.write("502 what\r\n");
      }
    });
  }

  stop(): void {
    for (const socket of this.#open) socket.destroy();
    this.#server.close();
  }
}

test("a server that does not know the BDAT that it offers gets this message by DATA at once, and the next ones too", async () => {
  const dir = makeDir();
  const peer = new Pretender();
  await peer.start();
  writeConfig(dir, { to: `127.0.0.1:${peer.port}`, shaping: '["default"]\nmax_deliveries_per_connection = 1\n' });
  const running = await startServer(dir);
  try {
    for (let i = 0; i < 2; i++) {
      const client = await connectAndGreet(running.port);
      await client.send("a@b.example", ["r@example.com"], "Subject: x\r\n\r\nText");
      await client.end();
      const delivered = () => readLog(dir).filter(({ type }) => type === "Delivery").length === i + 1;
      await until(delivered, "the delivery");
    }
    assert.equal(peer.heard.filter((verb) => verb === "BDAT").length, 1);
    assert.equal(peer.heard.filter((verb) => verb === "DATA").length, 2);
    assert.equal(readLog(dir).filter(({ type }) => type === "TransientFailure").length, 0);
  } finally {
    await running.stop();
    peer.stop();
    removeDir(dir);
  }
});
