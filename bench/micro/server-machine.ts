/**
 * The server's side of SMTP without a socket: `node dist/bench/micro/server-machine.js`. Microseconds per message: MAIL,
 * RCPT, DATA and the content, each a read of its own as smtp-source sends them, and the reply to each written; the
 * host accepts everything, puts a trace header in front and finishes at once.
 */

import { BufferPool } from "../../src/base/buffer-pool.js";
import { countHops } from "../../src/mail/headers.js";
import { receivedHeader, tracePrefix } from "../../src/mail/received.js";
import type { ReceivedContent } from "../../src/smtp/content.js";
import type { Reply } from "../../src/smtp/reply.js";
import { ServerMachine } from "../../src/smtp/server-machine.js";
import { ACCEPT } from "../../src/smtp/server-replies.js";
import { ServerSettings } from "../../src/smtp/server-settings.js";
import type { ServerHost, Transaction } from "../../src/smtp/server-transaction.js";

const ID = "0190163da1f27000800012ab34cd56ef";
const settings = new ServerSettings({
  hostname: "mx.example",
  banner: "Hikyaku",
  maxMessagesPerConnection: Number.MAX_SAFE_INTEGER,
  maxRecipientsPerMessage: 1024,
  maxMessageSize: 20 << 20,
  lineLengthHardLimit: 998,
  invalidLineEndings: "Deny",
  maxHops: 30,
  countHops,
});

class Host implements ServerHost {
  readonly machine = new ServerMachine(settings, this, new BufferPool(1 << 22));
  readonly #prefix = tracePrefix({ helloName: "client.example", clientAddress: "192.0.2.1", hostname: "mx.example" });
  octets = 0;
  writes = 0;

  write(): void {
    this.writes++;
  }
  close(): void {}
  onMail(): Reply {
    return ACCEPT;
  }
  onRcpt(): Reply {
    return ACCEPT;
  }
  onDataCommand(): Reply {
    return ACCEPT;
  }
  onMessage(content: ReceivedContent, transaction: Transaction): void {
    const to = transaction.recipients.length === 1 ? (transaction.recipients[0]?.text ?? null) : null;
    content.prepend(receivedHeader(this.#prefix, "ESMTP", ID, to, 1_764_000_191_000));
    this.octets += content.end - content.start;
    this.machine.finish(ACCEPT);
  }
  onRejected(): void {
    throw new Error("refused");
  }
}

function content(octets: number): string {
  const headers =
    "From: <from@a.example>\r\nTo: <to@b.example>\r\nDate: Mon, 24 Nov 2025 16:03:11 +0000\r\nMessage-Id: <1@a.example>\r\n\r\n";
  const line = `${"X".repeat(76)}\r\n`;
  return headers + line.repeat(Math.max(0, Math.round((octets - headers.length) / line.length)));
}

for (const [name, octets, pieces] of [
  ["1 KB, four reads", 1024, 4],
  ["1 KB, two reads (pipelined)", 1024, 2],
  ["10 KB, four reads", 10 * 1024, 4],
  ["100 KB, four reads", 100 * 1024, 4],
] as const) {
  const host = new Host();
  const arena = Buffer.alloc(256 * 1024);
  const commands = ["MAIL FROM:<from@a.example>\r\n", "RCPT TO:<to@b.example>\r\n", "DATA\r\n"];
  const reads = [...(pieces === 4 ? commands : [commands.join("")]), `${content(octets)}.\r\n`].map((text) =>
    Buffer.from(text),
  );
  host.machine.greet();
  host.machine.feed(Buffer.from("EHLO client.example\r\n"), 0, 21);
  const message = (): void => {
    for (const read of reads) {
      // The kernel's part of a read; an arena has it where the socket left it.
      read.copy(arena, 0);
      host.machine.feed(arena, 0, read.length);
    }
  };
  const rounds = Math.ceil(200_000_000 / (octets + 9000));
  for (let i = 0; i < rounds / 4; i++) message();
  const start = performance.now();
  for (let i = 0; i < rounds; i++) message();
  const us = ((performance.now() - start) * 1000) / rounds;
  process.stdout.write(`${name.padEnd(32)} ${us.toFixed(2).padStart(8)} us/message\n`);
}
