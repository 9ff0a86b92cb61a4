/**
 * The event log: `node dist/bench/micro/log-line.js`. Microseconds per record.
 *
 *   joined           a Delivery record as RecordLines builds it
 *   stringify        the same object by JSON.stringify
 *   write per line   append and one write per record
 *   write per turn   append, one write per 50 records (this is what LogFile does)
 *   strings, one write   50 records joined to one string, one write of that
 */
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { LogFile } from "../../src/worker/events/log-file.js";
import { createLogShared, LogShared } from "../../src/worker/events/log-shared.js";
import { type AttemptFacts, type MessageFacts, NO_ATTEMPT, RecordLines } from "../../src/worker/events/record.js";

const RECORDS = 50_000;
const PER_TURN = 50;
const nodeId = "0f1e2d3c-4b5a-4678-8796-a5b4c3d2e1f0";
const message: MessageFacts = {
  id: "0199b1c2d3e4700080000f1e2d3c4b5a",
  envelope: {
    sender: "bounces+123456@news.example.com",
    recipient: "someone.with.a.name@example.net",
    queue: "spring:tenant@example.net",
    reception: {
      protocol: "ESMTP",
      ehlo: "client.example.com",
      receivedFrom: "192.0.2.77",
      receivedVia: "192.0.2.1:25",
      sessionId: "0123456789abcdef",
      durability: "flushed",
    },
    meta: null,
  },
  size: 10_240,
  createdMs: 1_800_000_000_000,
  numAttempts: 0,
};
const attempt: AttemptFacts = {
  ...NO_ATTEMPT,
  site: "ip-1->mx.example.net@smtp_client",
  peer: { name: "mx1.example.net", addr: "203.0.113.9", isSecure: false },
  egressPool: "main",
  egressSource: "ip-1",
  sourceAddress: "192.0.2.1",
  deliveryProtocol: "ESMTP",
  sessionId: "fedcba9876543210",
};
const response = { code: 250, enhanced: [2, 0, 0] as const, content: "OK queued as 4F1A2B3C4D", command: "." };
const lines = new RecordLines(nodeId);
let seq = 0n;
let nowMs = 1_800_000_100_000;

function joined(): string {
  nowMs += 0.02;
  return lines.message("Delivery", ++seq, nowMs, message, response, attempt, null, "Uncategorized");
}

function stringified(): string {
  nowMs += 0.02;
  const { envelope } = message;
  return JSON.stringify({
    type: "Delivery",
    seq: Number(++seq),
    id: message.id,
    sender: envelope.sender,
    recipient: envelope.recipient,
    queue: envelope.queue,
    site: attempt.site,
    size: message.size,
    response: {
      code: response.code,
      enhanced_code: { class: response.enhanced[0], subject: response.enhanced[1], detail: response.enhanced[2] },
      content: response.content,
      command: response.command,
    },
    peer_address: { name: attempt.peer?.name, addr: attempt.peer?.addr },
    timestamp: Math.floor(nowMs / 1000),
    event_time: new Date(nowMs).toISOString(),
    created: Math.floor(message.createdMs / 1000),
    created_time: new Date(message.createdMs).toISOString(),
    num_attempts: 0,
    bounce_classification: "Uncategorized",
    egress_pool: attempt.egressPool,
    egress_source: attempt.egressSource,
    source_address: { address: attempt.sourceAddress },
    feedback_report: null,
    headers: {},
    delivery_protocol: attempt.deliveryProtocol,
    reception_protocol: envelope.reception.protocol,
    durability: envelope.reception.durability,
    session_id: attempt.sessionId,
    nodeid: nodeId,
  });
}

let length = 0;
function measure(name: string, run: () => void): void {
  for (let i = 0; i < RECORDS / 5; i++) run();
  const start = performance.now();
  for (let i = 0; i < RECORDS; i++) run();
  console.log(name.padEnd(22), `${(((performance.now() - start) * 1000) / RECORDS).toFixed(2)} µs`.padStart(10));
}

measure("joined", () => {
  length += joined().length;
});
measure("stringify", () => {
  length += stringified().length;
});

const dir = mkdtempSync(join(tmpdir(), "hikyaku-bench-"));
const log = new LogFile(new LogShared(createLogShared(0n)), 8 << 20);
log.switchTo(join(dir, "log.jsonl"));
measure("write per line", () => {
  log.append(joined());
  log.flush();
});
let turn = 0;
measure("write per turn", () => {
  log.append(joined());
  if (++turn % PER_TURN === 0) log.flush();
});
log.close();
const fd = openSync(join(dir, "other.jsonl"), "a");
let text = "";
measure("strings, one write", () => {
  text += `${joined()}\n`;
  if (++turn % PER_TURN !== 0) return;
  writeSync(fd, text);
  text = "";
});
closeSync(fd);
rmSync(dir, { recursive: true });
if (length === 0) throw new Error("nothing was measured");
