/** A worker's thread dies under load: it is replaced, and every accepted recipient has exactly one terminal record. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { WorkerIndex } from "../../src/base/brands.js";
import { Counter } from "../../src/protocol/metrics.js";
import { DEFAULT_PROFILE } from "../../src/sink/options.js";
import { startSink } from "../../src/sink/sink.js";
import { makeDir, readLog, removeDir, startServer, until, writeConfig } from "../support/server.js";
import { connectAndGreet, idsOf, type SmtpClient } from "../support/smtp-client.js";

const CLIENTS = 16;
const PER_CLIENT = 80;

/** Sends until its share is accepted; a lost connection (its worker died) means: connect again, the last one is unknown. */
async function sendShare(port: number, name: number, accepted: Set<string>, unknown: Set<string>): Promise<void> {
  let client: SmtpClient | null = null;
  for (let n = 0; n < PER_CLIENT; ) {
    // Some messages have several recipients, which a session has in its hand together.
    const recipients = Array.from({ length: n % 4 === 0 ? 3 : 1 }, (_, i) => `r${name}-${n}-${i}@d${n % 7}.example`);
    try {
      client ??= await connectAndGreet(port);
      const reply = await client.send("s@x.example", recipients, `Subject: ${n}\r\n\r\nText`);
      if (!reply.startsWith("250")) throw new Error(reply);
      for (const id of idsOf(reply)) accepted.add(id);
      n++;
    } catch {
      // Whether this one was taken is not known: a mailer would send it again, we go on with the next.
      for (const recipient of recipients) unknown.add(recipient);
      client?.destroy();
      client = null;
      n++;
    }
  }
  await client?.end();
}

test("workers killed in mid-batch: nothing lost, nothing counted twice", async () => {
  const dir = makeDir();
  const arrived = new Map<string, number>();
  const sink = await startSink({
    host: "127.0.0.1",
    port: 0,
    profile: { ...DEFAULT_PROFILE, latencyMs: 20 },
    onMessage: (envelope) => {
      for (const recipient of envelope.recipients) arrived.set(recipient, (arrived.get(recipient) ?? 0) + 1);
    },
  });
  writeConfig(dir, { to: `127.0.0.1:${sink.port}`, workers: 2, queue: 'retry_interval = "1s"' });
  const running = await startServer(dir);
  const accepted = new Set<string>();
  const unknown = new Set<string>();
  const sending = Array.from({ length: CLIENTS }, (_, name) => sendShare(running.port, name, accepted, unknown));
  // The sink is slow, so that a worker has sessions with messages in hand when it dies. Which one has some is the
  // scheduler's affair: it opens sessions where most of the mail is.
  const { sessions } = running.server.scheduler.core;
  const busyOn = (worker: number): number => {
    let busy = 0;
    for (let at = sessions.on(worker as WorkerIndex).first; at !== null; at = at.next) {
      if (at.owner.hand.length > 0) busy++;
    }
    return busy;
  };
  const killBusy = async (when: "now" | "written"): Promise<void> => {
    let victim = -1;
    await until(() => {
      victim = [0, 1].find((worker) => busyOn(worker) > 0) ?? -1;
      return victim >= 0;
    }, "a worker to have messages in hand");
    assert.ok(running.server.killWorker(victim, when));
  };
  await until(() => accepted.size >= 150, "the load to flow");
  const batchesBefore = running.server.shared.sum(Counter.spoolBatches);
  assert.ok(batchesBefore > 0);
  await killBusy("now");
  await until(() => accepted.size >= 400 && running.server.workersLost === 1, "the load to flow again");
  await killBusy("written");
  await Promise.all(sending);
  await until(() => running.server.scheduler.messages === 0, "the queue to drain");
  assert.equal(running.server.workersLost, 2);
  const operations = running.server.shared.sum(Counter.spoolBatchedOperations);
  assert.ok(running.server.shared.sum(Counter.spoolBatches) >= batchesBefore);
  assert.ok(operations >= accepted.size, `${operations} operations: counters go on over deaths`);
  assert.equal(running.notices.filter((line) => /died and is being replaced/.test(line)).length, 2);
  await running.stop();
  await sink.stop();

  const records = readLog(dir);
  const terminal = new Map<string, number>();
  for (const { type, id } of records) {
    if (type === "Delivery" || type === "Bounce" || type === "Expiration")
      terminal.set(id, (terminal.get(id) ?? 0) + 1);
  }
  for (const id of accepted) assert.equal(terminal.get(id), 1, `${id} has one terminal record`);
  assert.ok(
    [...terminal.values()].every((count) => count === 1),
    "no recipient is settled twice",
  );
  assert.ok(
    records.some((record) => record.type === "Delayed") || running.server.scheduler.core.counters.foundSettled > 0,
    "what was in flight waited with a reason, or was found settled",
  );
  // A duplicate needs a death between the peer's 250 and our record of it: one transaction per session of a dead worker.
  const duplicates = [...arrived.values()].filter((count) => count > 1).length;
  assert.ok(duplicates <= 2 * 32 * 3, `${duplicates} duplicates`);
  removeDir(dir);
});
