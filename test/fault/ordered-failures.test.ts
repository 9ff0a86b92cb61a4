/** Failures on order (HIKYAKU_FAULTS), on a whole server: what clients hear, what operators see, and what is never lost. */
import assert from "node:assert/strict";
import { statSync } from "node:fs";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import type { ShardIndex } from "../../src/base/brands.js";
import { DEFAULT_PROFILE } from "../../src/sink/options.js";
import { type RunningSink, startSink } from "../../src/sink/sink.js";
import { shardDirectory } from "../../src/worker/spool/directories.js";
import { LmdbStore } from "../../src/worker/spool/lmdb-store.js";
import { ChildServer } from "../support/child-server.js";
import { makeDir, readLog, removeDir, type TestConfig, until, writeConfig } from "../support/server.js";
import { connectAndGreet, type SmtpClient } from "../support/smtp-client.js";

/** Says a message up to the first refusal; returns the last reply. */
async function trySend(client: SmtpClient, recipient: string, text = "Subject: x\r\n\r\ntext"): Promise<string> {
  for (const line of ["MAIL FROM:<s@x.example>", `RCPT TO:<${recipient}>`, "DATA"]) {
    const reply = await client.say(line);
    if (!/^[23]/.test(reply)) {
      await client.say("RSET");
      return reply;
    }
  }
  return client.say(`${text}\r\n.`);
}

/** A directory, a sink that notes who got mail, and a server that sends there. */
async function scene(t: TestContext, config: TestConfig = {}) {
  const dir = makeDir();
  const arrived: string[] = [];
  const sink: RunningSink = await startSink({
    host: "127.0.0.1",
    port: 0,
    profile: DEFAULT_PROFILE,
    onMessage: ({ recipients }) => arrived.push(...recipients),
  });
  writeConfig(dir, { to: `127.0.0.1:${sink.port}`, ...config });
  const servers: ChildServer[] = [];
  t.after(async () => {
    for (const server of servers) await server.kill();
    await sink.stop();
    removeDir(dir);
  });
  const start = async (): Promise<ChildServer> => {
    const server = await ChildServer.start(dir);
    servers.push(server);
    return server;
  };
  return { dir, arrived, start, sinkPort: sink.port, server: await start() };
}

/** Sends until it is taken; what is refused meanwhile is refused for now. */
async function sendUntilTaken(client: SmtpClient, recipient: string, text?: string): Promise<void> {
  let reply = "";
  const limit = performance.now() + 30_000;
  while (!(reply = await trySend(client, recipient, text)).startsWith("250")) {
    assert.match(reply, /^4/);
    assert.ok(performance.now() < limit, reply);
  }
}

const taken = (dir: string, type: string): string[] =>
  readLog(dir)
    .filter((record) => record.type === type)
    .map((record) => record.recipient);

describe("failures on order", { concurrency: true }, () => {
  for (const failure of ["spool.commit error EIO", "spool.sync error EIO"]) {
    test(`${failure}: 451, liveness 503, metric and notice; nothing of it is ever delivered; it mends itself`, async (t) => {
      const { dir, arrived, server, start } = await scene(t);
      assert.match(server.words, /FAILURES ARE ORDERED by .*faults/);
      assert.match(server.words, /faults \(HIKYAKU_FAULTS\) does not exist: nothing fails until it does/);
      server.order("", "spool.comit error EIO");
      await until(() => /faults:2: "spool\.comit error EIO" orders nothing/.test(server.words), "a word on the typo");
      const client = await connectAndGreet(server.port);
      assert.match(await trySend(client, "before@a.example"), /^250 /);
      server.order(failure);
      assert.match(await trySend(client, "refused@a.example"), /^451 4\.3\.0 /);
      assert.match(await trySend(client, "refused@a.example"), /^451 /);
      assert.equal(await server.liveness(), 503);
      assert.equal(await server.metric("spool_shards_unhealthy"), 1);
      assert.ok((await server.metric("spool_failures_total")) >= 1);
      await until(() => /spool shard 0: spool\.commit-failed: .*failed on order/.test(server.words), "the notice");
      server.order();
      // It may have been opened once while the order was in force, and failed again.
      await sendUntilTaken(client, "after@a.example");
      assert.match(server.words, /opened again, takes mail/);
      assert.equal(await server.liveness(), 200);
      assert.equal(await server.metric("spool_shards_unhealthy"), 0);
      await until(() => arrived.length === 2, "both that were accepted");
      await client.end();
      await server.stop();
      const again = await start();
      const last = await connectAndGreet(again.port);
      assert.match(await trySend(last, "last@a.example"), /^250 /);
      await until(() => arrived.includes("last@a.example"), "the last one");
      await last.end();
      await again.stop();
      assert.deepEqual(arrived, ["before@a.example", "after@a.example", "last@a.example"]);
      assert.deepEqual(taken(dir, "Reception"), arrived);
    });
  }

  for (const durability of ["committed", "deferred"]) {
    test(`${durability}: a forced flush that fails is answered 451 and never delivered, also after a restart`, async (t) => {
      const { dir, arrived, server, start } = await scene(t, { durability });
      const client = await connectAndGreet(server.port);
      server.order("spool.sync error EIO");
      const forced = "X-Hikyaku-Force-Sync: yes\r\nSubject: x\r\n\r\ntext";
      assert.match(await client.send("s@x.example", ["forced@a.example"], forced), /^451 /);
      await until(() => /spool sync failed/.test(server.words), "the notice");
      server.order();
      await sendUntilTaken(client, "again@a.example", forced);
      assert.ok((await server.metric("spool_forced_flushes_total")) >= 1);
      await until(() => arrived.length === 1, "the one that was accepted");
      await client.end();
      await server.stop();
      const { store } = LmdbStore.open(shardDirectory(join(dir, "var", "spool"), 0 as ShardIndex), true, true);
      assert.equal(store.count(), 0, "what was refused is not in the spool");
      await store.close();
      const next = await start();
      const last = await connectAndGreet(next.port);
      assert.match(await trySend(last, "last@a.example"), /^250 /);
      await until(() => arrived.includes("last@a.example"), "the last one");
      await last.end();
      await next.stop();
      assert.deepEqual(arrived, ["again@a.example", "last@a.example"]);
      assert.deepEqual(taken(dir, "Reception"), arrived);
    });
  }

  test("committed: after a failed background sync the spool is a file of its own before mail is taken, also over kill -9", async (t) => {
    const closed = 'protocol = { smtp = { mx_list = ["127.0.0.1:1"] } }\nretry_interval = "1s"';
    const { dir, arrived, sinkPort, server, start } = await scene(t, {
      durability: "committed",
      to: null,
      queue: closed,
    });
    const file = join(shardDirectory(join(dir, "var", "spool"), 0 as ShardIndex), "data.mdb");
    const first = statSync(file).ino;
    const client = await connectAndGreet(server.port);
    server.order("spool.sync error EIO");
    assert.match(await trySend(client, "early@a.example"), /^250 /);
    await until(() => /spool sync failed/.test(server.words), "the notice");
    await until(() => /could not be rewritten/.test(server.words), "an attempt while no sync succeeds");
    assert.match(await trySend(client, "refused@a.example"), /^451 /);
    assert.equal(statSync(file).ino, first);
    await server.kill();
    // What is read now comes from the kernel's cache, as it did before the death.
    const second = await start();
    await until(() => /before the last start/.test(second.words), "the doubt to be remembered");
    await until(() => /could not be rewritten/.test(second.words), "another attempt");
    second.order();
    await until(() => /takes mail/.test(second.words), "the shard to take mail");
    const again = await connectAndGreet(second.port);
    await sendUntilTaken(again, "forced@a.example", "X-Hikyaku-Force-Sync: yes\r\nSubject: x\r\n\r\ntext");
    assert.notEqual(statSync(file).ino, first, "another file");
    await second.kill();
    writeConfig(dir, { durability: "committed", to: `127.0.0.1:${sinkPort}` });
    const third = await start();
    await until(() => arrived.length >= 2, "both that were accepted");
    await third.stop();
    assert.deepEqual(arrived.sort(), ["early@a.example", "forced@a.example"]);
  });

  test("a rejection of the store that nobody holds does not end the process: the spool is unhealthy, then mended", async (t) => {
    const { arrived, server } = await scene(t);
    const client = await connectAndGreet(server.port);
    server.order("spool.commit stray EIO");
    assert.match(await trySend(client, "doubtful@a.example"), /^451 /);
    await until(() => /spool failed unseen/.test(server.words), "the notice");
    assert.ok((await server.metric("spool_failures_total")) >= 1);
    server.order();
    await until(() => /takes mail/.test(server.words), "the shard to be opened again");
    assert.equal(await server.metric("workers_lost_total"), 0);
    await sendUntilTaken(client, "after@a.example");
    await until(() => arrived.includes("after@a.example"), "the next one");
    await client.end();
    await server.stop();
    assert.deepEqual(arrived, ["after@a.example"]);
  });

  test("a log that cannot be written: mail is refused, nothing is lost, and every message ends with one record", async (t) => {
    const { dir, arrived, server } = await scene(t, { workers: 2 });
    const client = await connectAndGreet(server.port);
    const accepted: string[] = [];
    const sending = (async (): Promise<void> => {
      for (let n = 0; n < 200; n++) {
        if (n === 60) server.order("log.write error ENOSPC");
        const reply = await trySend(client, `r${n}@a.example`);
        if (reply.startsWith("250")) accepted.push(`r${n}@a.example`);
        else assert.match(reply, /^4/);
      }
    })();
    await until(() => /the event log cannot be written/.test(server.words), "the notice");
    assert.equal(await server.liveness(), 503);
    await sending;
    assert.ok(accepted.length < 200, "some were refused");
    assert.ok((await server.metric("log_write_failures_total")) > 0);
    server.order();
    await until(() => /log is written again/.test(server.words), "the log");
    assert.match(server.words, /log\.unwritable: .*ENOSPC/);
    await sendUntilTaken(client, "after@a.example");
    accepted.push("after@a.example");
    await until(() => taken(dir, "Delivery").length === accepted.length, "every record");
    await client.end();
    await server.stop();
    assert.deepEqual(taken(dir, "Delivery").sort(), accepted.sort());
    assert.deepEqual(arrived.sort(), accepted, "each was delivered once");
  });

  test("a disk that the guard sees low: 452 4.3.1 at MAIL, deliveries go on, and mail is taken again by itself", async (t) => {
    const { arrived, server } = await scene(t);
    const client = await connectAndGreet(server.port);
    assert.match(await trySend(client, "before@a.example"), /^250 /);
    server.order("disk.free low");
    await until(() => /no mail is accepted: free space is low/.test(server.words), "the guard");
    assert.match(await client.say("MAIL FROM:<s@x.example>"), /^452 4\.3\.1 /);
    assert.equal(await server.liveness(), 503);
    await until(() => arrived.length === 1, "the delivery of what was accepted");
    server.order();
    await until(() => /disk space is sufficient again/.test(server.words), "the guard");
    assert.equal(await server.liveness(), 200);
    assert.match(await trySend(client, "after@a.example"), /^250 /);
    await client.end();
    await server.stop();
  });

  test("a store that hangs: 451 after data_processing_timeout, and the message is not delivered when it is stored after all", async (t) => {
    const { dir, arrived, server } = await scene(t, { listener: 'data_processing_timeout = "1s"' });
    const client = await connectAndGreet(server.port);
    server.order("spool.commit hang");
    assert.match(await trySend(client, "hung@a.example"), /^451 4\.4\.5 /);
    await client.closed;
    server.order();
    const next = await connectAndGreet(server.port);
    assert.match(await trySend(next, "next@a.example"), /^250 /);
    await until(() => arrived.length > 0, "the next one");
    await next.end();
    await server.stop();
    assert.deepEqual(arrived, ["next@a.example"]);
    assert.deepEqual(taken(dir, "Reception"), ["next@a.example"]);
    const { store } = LmdbStore.open(shardDirectory(join(dir, "var", "spool"), 0 as ShardIndex), true, true);
    assert.equal(store.count(), 0);
    await store.close();
  });

  for (const durability of ["flushed", "committed"]) {
    test(`${durability}: what had its 250 survives kill -9 and is delivered by the next process`, async (t) => {
      // Nobody is there to take it: what the first process delivers is in no spool.
      const closed = 'protocol = { smtp = { mx_list = ["127.0.0.1:1"] } }\nretry_interval = "1s"';
      const { dir, arrived, sinkPort, server, start } = await scene(t, { durability, to: null, queue: closed });
      const client = await connectAndGreet(server.port);
      const accepted: string[] = [];
      for (let n = 0; n < 50; n++) {
        assert.match(await trySend(client, `r${n}@a.example`), /^250 /);
        accepted.push(`r${n}@a.example`);
      }
      await server.kill();
      writeConfig(dir, { durability, to: `127.0.0.1:${sinkPort}` });
      const again = await start();
      await until(() => arrived.length >= accepted.length, "all that had a 250");
      await again.stop();
      assert.deepEqual(arrived.sort(), accepted.sort());
      assert.equal(taken(dir, "Delivery").length, accepted.length);
    });
  }
});
