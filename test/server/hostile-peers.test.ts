/**
 * Servers that mean ill, or are broken, over real sockets: each gets the outcome that the table of outcomes gives it, in
 * bounded time and memory, with a record that an operator understands.
 */
import assert from "node:assert/strict";
import { createServer, type Server as NetServer, type Socket } from "node:net";
import { test } from "node:test";
import { type LogRecord, makeDir, readLog, removeDir, startServer, until, writeConfig } from "../support/server.js";
import { connectAndGreet } from "../support/smtp-client.js";

/** What a peer says when it is connected to, and then to each line that it hears. */
interface Manner {
  greet(socket: Socket): void;
  hear?(line: string, socket: Socket): void;
}

/** A polite server up to the command whose reply is given by `to`; the content is swallowed. */
function polite(to: Readonly<Record<string, string | ((socket: Socket) => void)>>, offers = "PIPELINING"): Manner {
  return {
    greet: (socket) => socket.write("220 peer\r\n"),
    hear: (line, socket) => {
      const verb = line.slice(0, 4).toUpperCase();
      const own = to[verb];
      if (typeof own === "function") own(socket);
      else if (own !== undefined) socket.write(own, "latin1");
      else if (verb === "EHLO") socket.write(`250-peer\r\n250 ${offers}\r\n`);
      else if (verb === "DATA") socket.write("354 go\r\n");
      else if (verb === "QUIT") socket.end("221 bye\r\n");
      else if (/^(MAIL|RCPT|RSET|\.$)/.test(line)) socket.write("250 ok\r\n");
    },
  };
}

/** Says a piece again and again, as fast as it is taken, up to so many bytes. */
function flood(piece: string, bytes: number): (socket: Socket) => void {
  return (socket) => {
    const chunk = Buffer.from(piece.repeat(Math.ceil(65_536 / piece.length)));
    let left = bytes;
    const pour = (): void => {
      while (left > 0 && !socket.destroyed) {
        left -= chunk.length;
        if (!socket.write(chunk)) return;
      }
    };
    socket.on("drain", pour);
    pour();
  };
}

/** Says a text a byte at a time. */
function drip(text: string): (socket: Socket) => void {
  return (socket) => {
    const bytes = Buffer.from(text);
    let at = 0;
    const drop = setInterval(() => {
      if (at >= bytes.length || socket.destroyed) clearInterval(drop);
      else socket.write(bytes.subarray(at, ++at));
    }, 1);
  };
}

const close = (socket: Socket): void => void socket.end();
const reset = (socket: Socket): void => void socket.resetAndDestroy();
const silence = (): void => {};

interface Case {
  readonly name: string;
  readonly manner: Manner;
  readonly type: "Delivery" | "TransientFailure" | "Bounce";
  readonly code: number;
  readonly says: RegExp;
}

const failed = (name: string, manner: Manner, says: RegExp, code = 400): Case => ({
  name,
  manner,
  type: "TransientFailure",
  code,
  says,
});

const CASES: readonly Case[] = [
  failed(
    "banner-100mb",
    { greet: flood("220-hello ", 100e6) },
    /protocol error while waiting for the greeting: reply (too large|of too many lines)/,
  ),
  failed(
    "banner-lines",
    { greet: flood("220-hello\r\n", 100e6) },
    /protocol error while waiting for the greeting: reply (too large|of too many lines)/,
  ),
  failed(
    "ehlo-lines",
    polite({ EHLO: flood("250-X\r\n", 100e6) }),
    /waiting for the reply to EHLO .*reply (too large|of too many lines)/,
  ),
  failed(
    "mail-lines",
    polite({ MAIL: flood("250-ok\r\n", 100e6) }),
    /protocol error while waiting for the reply to MAIL FROM/,
  ),
  failed(
    "garbage",
    { greet: (socket) => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n") },
    /protocol error while waiting for the greeting: .*HTTP/,
  ),
  failed(
    "binary",
    { greet: (socket) => socket.write(Buffer.from([0, 255, 254, 1, 13, 10])) },
    /protocol error while waiting for the greeting/,
  ),
  failed("mixed-codes", polite({ MAIL: "250-ok\r\n451 no\r\n" }), /protocol error .*MAIL FROM/),
  failed("code-099", polite({ MAIL: "099 what\r\n" }), /protocol error .*MAIL FROM/),
  failed("code-700", polite({ MAIL: "700 what\r\n" }), /protocol error .*MAIL FROM/),
  failed("354-to-mail", polite({ MAIL: "354 go\r\n" }), /go/, 354),
  failed("250-to-data", polite({ DATA: "250 ok\r\n" }, "SIZE"), /unexpected reply to DATA/),
  failed(
    "reply-ahead-of-ehlo",
    { greet: (socket) => socket.write("220 peer\r\n250 peer\r\n") },
    /reply before its command/,
  ),
  failed(
    "replies-ahead",
    polite({ EHLO: "250 peer\r\n250 ok\r\n250 ok\r\n354 go\r\n250 ok\r\n" }),
    /reply before its command/,
  ),
  failed("content-ahead", polite({ DATA: "354 go\r\n250 taken\r\n" }), /reply before its command/),
  failed("stall-banner", { greet: silence }, /timed out after 1s while waiting for the greeting/),
  failed("stall-ehlo", polite({ EHLO: silence }), /timed out after 1s while waiting for the reply to EHLO/),
  failed(
    "stall-mail",
    polite({ MAIL: silence, RCPT: silence, DATA: silence }),
    /timed out after 1s while waiting for the reply to MAIL FROM/,
    421,
  ),
  failed(
    "stall-rcpt",
    polite({ RCPT: silence, DATA: silence }),
    /timed out after 1s while waiting for the reply to RCPT TO/,
    421,
  ),
  failed("stall-data", polite({ DATA: silence }), /timed out after 1s while waiting for the reply to DATA/, 421),
  failed(
    "stall-dot",
    polite({ ".": silence }),
    /timed out after 1s while waiting for the reply to the end of data/,
    421,
  ),
  failed("half-close", polite({ MAIL: close }), /closed by the peer while waiting for the reply to MAIL FROM/),
  ...["EHLO", "MAIL", "RCPT", "DATA", "."].map((verb) =>
    failed(
      `reset-${verb}`,
      polite({ [verb]: reset }, "SIZE"),
      /(ECONNRESET|closed by the peer) while waiting for the reply to/,
    ),
  ),
  failed("reset-banner", { greet: reset }, /(ECONNRESET|closed by the peer) while/),
  {
    name: "byte-by-byte",
    manner: polite({
      EHLO: drip("250-peer\r\n250 PIPELINING\r\n"),
      ".": drip("250-2.0.0 taken\r\n250 2.0.0 whole\r\n"),
    }),
    type: "Delivery",
    code: 250,
    says: /taken whole/,
  },
  {
    name: "invalid-utf8",
    manner: polite({ ".": "550 5.7.1 n\xffo \x07\x1b[31m\r\n" }),
    type: "Bounce",
    code: 550,
    // Readers of logs and terminals get nothing that they could trip over.
    says: /^[^\u0000-\u001f\u007f]*$/,
  },
];

class Peers {
  readonly #servers: NetServer[] = [];
  readonly #open = new Set<Socket>();

  async start(manner: Manner): Promise<number> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      this.#open.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.#open.delete(socket));
      let text = "";
      socket.on("data", (bytes) => {
        text += bytes.toString("latin1");
        for (let end = text.indexOf("\r\n"); end >= 0; end = text.indexOf("\r\n")) {
          manner.hear?.(text.slice(0, end), socket);
          text = text.slice(end + 2);
        }
      });
      manner.greet(socket);
    });
    this.#servers.push(server);
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    const address = server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  stop(): void {
    for (const socket of this.#open) socket.destroy();
    for (const server of this.#servers) server.close();
  }
}

test("hostile servers get their outcome, in bounded time and memory, and a record that says what they did", async (t) => {
  const dir = makeDir();
  const peers = new Peers();
  const queues: string[] = [];
  for (const { name, manner } of CASES) {
    const port = await peers.start(manner);
    const domain = `${name.toLowerCase().replace(".", "dot")}.example`;
    queues.push(
      `[[queue]]\nmatch = { domain = "${domain}" }\nprotocol = { smtp = { mx_list = ["127.0.0.1:${port}"] } }\nretry_interval = "1h"`,
    );
  }
  const timeouts = ["banner", "ehlo", "mail_from", "rcpt_to", "data", "data_dot", "rset"];
  writeConfig(dir, {
    queue: `${queues.join("\n").replace("[[queue]]", "")}\n`,
    shaping: `["default"]\n${timeouts.map((name) => `${name}_timeout = "1s"`).join("\n")}\n`,
  });
  const running = await startServer(dir);
  const before = process.memoryUsage().rss;
  const began = performance.now();
  try {
    const client = await connectAndGreet(running.port);
    for (const { name } of CASES) {
      await client.send(
        "a@b.example",
        [`r@${name.toLowerCase().replace(".", "dot")}.example`],
        "Subject: x\r\n\r\nText",
      );
    }
    await client.end();
    const told = (): LogRecord[] => readLog(dir).filter(({ type }) => type !== "Reception");
    await until(() => told().length >= CASES.length, "an outcome for each");
    const took = performance.now() - began;
    const grown = (process.memoryUsage().rss - before) / 1e6;
    t.diagnostic(`${CASES.length} servers in ${took.toFixed(0)} ms; memory grew by ${grown.toFixed(0)} MB`);
    assert.ok(took < 15_000, `${took} ms`);
    assert.ok(grown < 150, `${grown} MB`);
    const wrong: string[] = [];
    for (const { name, type, code, says } of CASES) {
      const mine = told().filter(({ queue }) => queue === `${name.toLowerCase().replace(".", "dot")}.example`);
      const [{ type: was, response }] = mine as [LogRecord];
      const right = mine.length === 1 && was === type && response.code === code && says.test(response.content);
      if (!right || response.content.length > 2048) wrong.push(`${name}: ${was} ${response.code} ${response.content}`);
    }
    assert.deepEqual(wrong, []);
  } finally {
    await running.stop();
    peers.stop();
    removeDir(dir);
  }
});
