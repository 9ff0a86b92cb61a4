/**
 * The SMTP client machine: `node dist/bench/micro/client-machine.js`.
 *
 *   client: pipelined         one message to a peer that takes groups, its replies in three chunks as from a socket
 *   client: one at a time     the same to a peer that does not
 *   client: dots              a 10 KB message with a dot line per 20 lines
 *   client: judged            pipelined, with the verdict on it
 *
 * Microseconds per message, median, without sockets: what a delivery costs besides the system calls.
 */
import { Bench } from "tinybench";
import type { PathConfig } from "../../src/config/compiled.js";
import type { OutgoingMessage } from "../../src/smtp/client-envelope.js";
import type { ClientHost } from "../../src/smtp/client-host.js";
import { ClientMachine } from "../../src/smtp/client-machine.js";
import { NO_DEMAND } from "../../src/smtp/client-opening.js";
import type { TransactionResult } from "../../src/smtp/client-result.js";
import { judge } from "../../src/worker/egress/verdict.js";

type BenchPath = ConstructorParameters<typeof ClientMachine>[0]["path"] &
  Pick<PathConfig, "reconnectStrategy" | "tryNextHostOnTransportError">;

const path: BenchPath = {
  enablePipelining: true,
  enableRset: true,
  maxBdatSize: 65_536,
  ignore8bitChecks: false,
  useLmtp: false,
  bannerTimeoutMs: 60_000,
  starttlsTimeoutMs: 5_000,
  authTimeoutMs: 60_000,
  ehloTimeoutMs: 300_000,
  mailFromTimeoutMs: 300_000,
  rcptToTimeoutMs: 300_000,
  dataTimeoutMs: 300_000,
  dataDotTimeoutMs: 300_000,
  rsetTimeoutMs: 5_000,
  reconnectStrategy: "ConnectNextHost",
  tryNextHostOnTransportError: false,
};

class Counter implements ClientHost {
  sent = 0;
  results = 0;
  readonly judged: boolean;

  constructor(judged: boolean) {
    this.judged = judged;
  }

  write(text: string): void {
    this.sent += text.length;
  }
  writeBytes(bytes: Uint8Array): void {
    this.sent += bytes.length;
  }
  onStartTls(): void {}
  onReady(): void {}
  onFailed(): void {}
  onClosing(): void {}
  onResult(result: TransactionResult): void {
    if (this.judged) this.results += judge(result, path, false).fates.length;
    else this.results += result.recipients.length;
  }
}

/** The arena that a transport reads into; replies stand in its middle. */
const arena = Buffer.alloc(65_536, "x");

function say(machine: ClientMachine, text: Buffer): void {
  text.copy(arena, 1000);
  machine.feed(arena, 1000, 1000 + text.length);
}

function connected(offers: string, judged: boolean): { machine: ClientMachine; host: Counter } {
  const host = new Counter(judged);
  const machine = new ClientMachine({ ehloDomain: "client.example", path, demand: NO_DEMAND }, host);
  say(machine, Buffer.from("220 mx.example ESMTP\r\n"));
  say(machine, Buffer.from(`250-mx.example\r\n${offers}250 8BITMIME\r\n`));
  return { machine, host };
}

const OK = Buffer.from("250 2.1.0 Ok\r\n");
const GO = Buffer.from("354 End data with <CR><LF>.<CR><LF>\r\n");
const QUEUED = Buffer.from("250 2.0.0 Ok: queued as 4FRk2d1xyzz9\r\n");
const GROUP = Buffer.concat([OK, OK, OK, GO]);

const clean: OutgoingMessage = {
  sender: "bounces+12345@news.example",
  recipients: ["somebody@mailbox.example"],
  content: Buffer.from(`Subject: x\r\n\r\n${`${"y".repeat(70)}\r\n`.repeat(140)}`),
  hasDotLines: false,
  hasBareLineEnds: false,
  has8bit: false,
  needsUtf8: false,
};
const dotted: OutgoingMessage = {
  ...clean,
  content: Buffer.from(`Subject: x\r\n\r\n${`.${`${"y".repeat(70)}\r\n`.repeat(20)}`.repeat(7)}`),
  hasDotLines: true,
};

function pipelined(message: OutgoingMessage, judged: boolean): () => void {
  const { machine } = connected("250-PIPELINING\r\n250-SIZE 50000000\r\n", judged);
  machine.send(message);
  say(machine, Buffer.concat([OK, OK, GO]));
  say(machine, QUEUED);
  return () => {
    machine.send(message);
    say(machine, GROUP);
    say(machine, QUEUED);
  };
}

function plain(message: OutgoingMessage): () => void {
  const { machine } = connected("", false);
  const replies = [OK, OK, GO, QUEUED];
  machine.send(message);
  for (const reply of replies) say(machine, reply);
  return () => {
    machine.send(message);
    say(machine, OK);
    for (const reply of replies) say(machine, reply);
  };
}

/** Messages per measured call, so that reading the clock costs nothing beside them. */
const BATCH = 500;

function batch(once: () => void): () => void {
  return () => {
    for (let i = 0; i < BATCH; i++) once();
  };
}

const bench = new Bench({ time: 600, warmupIterations: 40 });
bench
  .add("client: pipelined", batch(pipelined(clean, false)))
  .add("client: one at a time", batch(plain(clean)))
  .add("client: dots", batch(pipelined(dotted, false)))
  .add("client: judged", batch(pipelined(clean, true)));
await bench.run();
for (const task of bench.tasks) {
  const { result } = task;
  if ("latency" in result) {
    const us = (result.latency.p50 * 1000) / BATCH;
    process.stdout.write(`${task.name.padEnd(40)} ${us.toFixed(2).padStart(10)} us\n`);
  }
}
