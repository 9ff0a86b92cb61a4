/** What `spool.durability` and `X-Hikyaku-Force-Sync` mean on a whole server. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { ShardIndex } from "../../src/base/brands.js";
import { Counter } from "../../src/protocol/metrics.js";
import { DEFAULT_PROFILE, type SinkProfile } from "../../src/sink/options.js";
import { startSink } from "../../src/sink/sink.js";
import { shardDirectory } from "../../src/worker/spool/directories.js";
import { LmdbStore } from "../../src/worker/spool/lmdb-store.js";
import { RowHeader, readHeader } from "../../src/worker/spool/row-codec.js";
import { WriteBatch } from "../../src/worker/spool/write-batch.js";
import {
  makeDir,
  readLog,
  removeDir,
  startServer,
  type TestConfig,
  type TestServer,
  until,
  writeConfig,
} from "../support/server.js";
import { connectAndGreet, idsOf } from "../support/smtp-client.js";

async function scene(t: TestContext, config: TestConfig, profile: Partial<SinkProfile> = {}) {
  const dir = makeDir();
  const arrived = new Map<string, { times: number; content: string }>();
  const sink = await startSink({
    host: "127.0.0.1",
    port: 0,
    profile: { ...DEFAULT_PROFILE, ...profile },
    onMessage: ({ recipients }, content) => {
      for (const recipient of recipients) {
        const times = (arrived.get(recipient)?.times ?? 0) + 1;
        arrived.set(recipient, { times, content: content.toString("latin1") });
      }
    },
  });
  writeConfig(dir, { to: `127.0.0.1:${sink.port}`, ...config });
  const running = await startServer(dir);
  t.after(async () => {
    await running.stop();
    await sink.stop();
    removeDir(dir);
  });
  return { dir, arrived, running, sum: (counter: Counter) => running.server.shared.sum(counter) };
}

async function metrics(running: TestServer): Promise<Map<string, number>> {
  const http = running.server.ready.http[0]!;
  const text = await (await fetch(`http://${http.host}:${http.port}/metrics`)).text();
  return new Map(
    text
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]),
  );
}

const FORCED = "Subject: x\r\nX-HIKYAKU-Force-Sync:  Yes\r\nX-Hikyaku-Force-Sync-Not: no\r\n\r\ntext";

test("deferred: what is delivered at once never touches the spool", async (t) => {
  const { dir, arrived, running, sum } = await scene(t, { durability: "deferred", spool: 'deferred_wait = "1m"' });
  const client = await connectAndGreet(running.port);
  const large = `Subject: large\r\n\r\n${"0123456789abcdef\r\n".repeat(3000)}`;
  for (let n = 0; n < 30; n++) {
    const content = n % 3 === 0 ? `${large}${n}` : `Subject: small\r\n\r\n${n}`;
    assert.match(await client.send("s@x.example", [`a${n}@a.example`, `b${n}@b.example`], content), /^250 /);
  }
  await until(() => arrived.size === 60 && running.server.scheduler.messages === 0, "the queue to drain");
  await client.end();
  for (let n = 0; n < 30; n++) {
    for (const recipient of [`a${n}@a.example`, `b${n}@b.example`]) {
      const got = arrived.get(recipient);
      assert.equal(got?.times, 1);
      assert.ok(got?.content.endsWith(n % 3 === 0 ? `f\r\n${n}\r\n` : `\r\n\r\n${n}\r\n`), "each its own content");
    }
  }
  assert.equal(sum(Counter.deferredStored), 0);
  assert.equal(sum(Counter.spoolBatches), 0);
  assert.deepEqual([sum(Counter.deferredMessages), sum(Counter.deferredBytes)], [0, 0]);
  const records = readLog(dir);
  assert.ok(records.every((record) => record["durability"] === "deferred"));
  assert.equal(records.filter((record) => record.type === "Delivery").length, 60);
});

test("deferred: a failed first attempt stores the message, and so does the stop: both are in the spool", async (t) => {
  const { dir, arrived, running, sum } = await scene(
    t,
    { durability: "deferred", queue: 'retry_interval = "1s"\nmax_retry_interval = "1s"' },
    { fallback: { bounce: 0, defer: 100 } },
  );
  const client = await connectAndGreet(running.port);
  assert.match(await client.send("s@x.example", ["tried@a.example"], "Subject: x\r\n\r\ntext"), /^250 /);
  await until(() => sum(Counter.deferredStored) === 1, "the message to be stored");
  assert.equal(sum(Counter.deferredMessages), 0);
  // The stop comes right behind the 250.
  const reply = client.send("s@x.example", ["late@b.example"], "Subject: x\r\n\r\ntext");
  assert.match(await reply, /^250 /);
  await running.stop();
  const { store } = LmdbStore.open(shardDirectory(`${dir}/var/spool`, 0 as ShardIndex), true, true);
  assert.equal(store.count(), 2);
  await store.close();
  assert.equal(arrived.size, 0);
});

test("deferred, two workers: sessions find what is in the other's memory; each message is delivered once", async (t) => {
  const { dir, arrived, running } = await scene(t, { durability: "deferred", workers: 2 });
  const accepted: string[] = [];
  const share = async (name: number): Promise<void> => {
    const client = await connectAndGreet(running.port);
    for (let n = 0; n < 100; n++) {
      const recipient = `r${name}-${n}@d${n % 5}.example`;
      assert.match(await client.send("s@x.example", [recipient], "Subject: x\r\n\r\ntext"), /^250 /);
      accepted.push(recipient);
    }
    await client.end();
  };
  await Promise.all(Array.from({ length: 8 }, (_, name) => share(name)));
  await until(
    () => arrived.size === accepted.length && running.server.scheduler.messages === 0,
    "everything to arrive, and the queue to drain",
  );
  assert.ok(accepted.every((recipient) => arrived.get(recipient)?.times === 1));
  const records = readLog(dir).filter((record) => record.type !== "Reception");
  assert.equal(records.length, accepted.length);
  assert.ok(records.every((record) => record.type === "Delivery"));
});

for (const workers of [1, 2]) {
  test(`deferred, workers ${workers}: what a death takes along ends with a record that says so; nothing stays for ever`, async (t) => {
    const { dir, arrived, running, sum } = await scene(
      t,
      { durability: "deferred", workers, queue: 'retry_interval = "1s"' },
      { latencyMs: 100 },
    );
    const accepted = new Set<string>();
    const share = async (name: string): Promise<void> => {
      for (let n = 0; n < 30; n++) {
        try {
          const client = await connectAndGreet(running.port);
          const reply = await client.send("s@x.example", [`r${name}-${n}@d${n % 5}.example`], "Subject: x\r\n\r\ntext");
          if (reply.startsWith("250")) for (const id of idsOf(reply)) accepted.add(id);
          client.destroy();
        } catch {
          // Its worker died.
        }
      }
    };
    const inMemory = (): number => running.server.shared.counters(1)[Counter.deferredMessages] as number;
    // What it has in memory may just leave before it dies: then there is another round.
    for (let round = 0; sum(Counter.messagesLost) === 0; round++) {
      assert.ok(round < 10, "the death took something along");
      let sent = false;
      const sending = Promise.all(Array.from({ length: 8 }, (_, name) => share(`${round}-${name}`))).then(() => {
        sent = true;
      });
      await until(() => inMemory() > 3 || sent, "mail in memory");
      running.server.killWorker(0);
      await sending;
      await until(() => running.server.workersLost > round, "the death");
      await until(() => {
        const ended = new Set(
          readLog(dir)
            .filter((record) => record.type !== "Reception")
            .map(({ id }) => id),
        );
        return [...accepted].every((id) => ended.has(id));
      }, "an end for everybody");
      await until(() => running.server.scheduler.messages === 0, "every row to be accounted for");
    }
    assert.ok(running.notices.some((line) => /its mail in memory only is lost/.test(line)));
    const ends = new Map<string, string[]>();
    for (const { type, id, response } of readLog(dir)) {
      if (!["Delivery", "AdminBounce", "Bounce", "Expiration"].includes(type)) continue;
      ends.set(id, [...(ends.get(id) ?? []), `${type} ${response.content}`]);
    }
    let lost = 0;
    for (const id of accepted) {
      assert.equal(ends.get(id)?.length, 1, `${id}: ${ends.get(id)}`);
      if (ends.get(id)?.[0]?.startsWith("AdminBounce lost: it was only in the memory")) lost++;
    }
    assert.ok([...ends.values()].every((list) => list.length === 1));
    assert.ok(lost > 0, "the death took something along");
    assert.equal(sum(Counter.messagesLost), [...ends.values()].flat().filter((end) => /lost:/.test(end)).length);
    assert.ok(arrived.size >= accepted.size - lost);
  });
}

test("deferred: large contents in memory are each their own, also while their client goes on", async (t) => {
  const { arrived, running, sum } = await scene(t, { durability: "deferred" }, { latencyMs: 30 });
  const client = await connectAndGreet(running.port);
  const content = (n: number): string => `Subject: ${n}\r\n\r\n${`${n}`.repeat(70)}\r\n`.repeat(400);
  // Goes on until several have been in memory at once, however slow this machine is in between.
  let last = 10;
  for (let most = 0; last < 30 || most < 2; last++) {
    assert.ok(last < 500, "several are in memory at once");
    assert.match(await client.send("s@x.example", [`r${last}@a.example`], content(last)), /^250 /);
    most = Math.max(most, sum(Counter.deferredMessages));
  }
  await until(() => arrived.size === last - 10, "all to arrive");
  for (let n = 10; n < last; n++)
    assert.ok(arrived.get(`r${n}@a.example`)?.content.includes(content(n)), `message ${n}`);
  await client.end();
});

test("a message that is gone from the spool has its end, is counted and told", async (t) => {
  const { dir, running, sum } = await scene(
    t,
    { queue: 'retry_interval = "1s"\nmax_retry_interval = "1s"' },
    { fallback: { bounce: 0, defer: 100 } },
  );
  const client = await connectAndGreet(running.port);
  const [id] = idsOf(await client.send("s@x.example", ["gone@a.example"], "Subject: x\r\n\r\ntext"));
  await client.end();
  const { store } = LmdbStore.open(shardDirectory(`${dir}/var/spool`, 0 as ShardIndex), true, true);
  const header = new RowHeader();
  const attempted = (): boolean => {
    store.refresh();
    const row = store.row(store.lastKey());
    return row !== undefined && readHeader(row, header) === null && header.attempts > 0;
  };
  await until(attempted, "the first attempt to be stored");
  const batch = new WriteBatch();
  batch.removedRows.push(store.lastKey());
  assert.equal(await new Promise((resolve) => store.commit(batch, resolve)), null);
  await store.close();
  await until(() => sum(Counter.messagesLost) === 1 && running.server.scheduler.messages === 0, "its end");
  const line = `message ${id} is lost: it is not in the spool any more`;
  await until(() => running.notices.includes(line), "the notice");
  const ends = readLog(dir).filter((record) => record.type === "AdminBounce");
  assert.deepEqual(
    ends.map((record) => [record.id, record.response.content]),
    [[id, "lost: it is not in the spool any more"]],
  );
});

for (const durability of ["flushed", "committed", "deferred"]) {
  test(`${durability}: a trusted client's X-Hikyaku-Force-Sync is obeyed and taken out`, async (t) => {
    const { dir, arrived, running, sum } = await scene(t, { durability });
    const client = await connectAndGreet(running.port);
    assert.match(await client.send("s@x.example", ["f@a.example"], FORCED), /^250 /);
    assert.match(
      await client.send("s@x.example", ["p@a.example"], "Subject: x\r\n\r\nX-Hikyaku-Force-Sync: yes"),
      /^250 /,
    );
    await until(() => arrived.size === 2, "both");
    assert.ok(
      arrived.get("f@a.example")?.content.endsWith("Subject: x\r\nX-Hikyaku-Force-Sync-Not: no\r\n\r\ntext\r\n"),
    );
    assert.ok(
      arrived.get("p@a.example")?.content.endsWith("\r\n\r\nX-Hikyaku-Force-Sync: yes\r\n"),
      "a body is a body",
    );
    assert.equal(sum(Counter.forcedFlushes), durability === "flushed" ? 0 : 1);
    const promised = readLog(dir)
      .filter((record) => record.type === "Reception")
      .map((record) => `${record.recipient} ${record["durability"]}`);
    assert.deepEqual(promised, ["f@a.example flushed", `p@a.example ${durability}`]);
    await client.end();
  });
}

test("an untrusted client's order to flush is taken out and not obeyed", async (t) => {
  const listener = 'relay_hosts = []\ndomains."*" = { relay_to = true }';
  const { dir, arrived, running, sum } = await scene(t, { durability: "committed", listener });
  const client = await connectAndGreet(running.port);
  assert.match(await client.send("s@x.example", ["f@a.example"], FORCED), /^250 /);
  await until(() => arrived.size === 1, "the message");
  assert.doesNotMatch(arrived.get("f@a.example")?.content ?? "", /force-sync:/i);
  assert.equal(sum(Counter.forcedFlushes), 0);
  assert.equal(readLog(dir)[0]?.["durability"], "committed");
  await client.end();
});

test("the batches reached and the time of commits and syncs are metrics", async (t) => {
  const { running } = await scene(t, { durability: "committed" });
  const clients = await Promise.all(Array.from({ length: 20 }, () => connectAndGreet(running.port)));
  await Promise.all(
    clients.map(async (client, n) => {
      for (let i = 0; i < 5; i++) await client.send("s@x.example", [`r${n}-${i}@a.example`], "Subject: x\r\n\r\ntext");
      await client.end();
    }),
  );
  await until(() => running.server.scheduler.messages === 0, "the queue to drain");
  const seen = await metrics(running);
  const batches = seen.get("spool_batch_messages_count") ?? 0;
  assert.equal(seen.get("spool_batch_messages_sum"), 100);
  assert.ok(batches > 0 && batches < 100, `100 messages in ${batches} commits`);
  assert.equal(seen.get('spool_batch_messages_bucket{le="+Inf"}'), batches);
  assert.ok((seen.get('spool_batch_messages_bucket{le="1"}') ?? 0) < batches, "some commits stored several");
  assert.ok((seen.get("spool_commit_seconds_count") ?? 0) >= batches);
  assert.ok((seen.get("spool_commit_seconds_sum") ?? 0) > 0);
  assert.deepEqual(
    ["spool_forced_flushes_total", "spool_deferred_messages", "spool_failures_total"].map((name) => seen.get(name)),
    [0, 0, 0],
  );
});

test("deferred: a stop under load loses nothing; the next start delivers the rest, each once", async (t) => {
  const { dir, arrived, running, sum } = await scene(t, { durability: "deferred", workers: 2 }, { latencyMs: 100 });
  const accepted = new Set<string>();
  const share = async (name: number): Promise<void> => {
    for (let n = 0; n < 200; n++) {
      try {
        const client = await connectAndGreet(running.port);
        const reply = await client.send("s@x.example", [`r${name}-${n}@d${n % 5}.example`], "Subject: x\r\n\r\ntext");
        if (reply.startsWith("250")) accepted.add(`r${name}-${n}@d${n % 5}.example`);
        client.destroy();
      } catch {
        return; // The server has stopped.
      }
    }
  };
  const sending = Promise.all(Array.from({ length: 8 }, (_, name) => share(name)));
  await until(() => accepted.size > 150 && sum(Counter.deferredMessages) > 5, "mail in memory");
  await running.stop();
  await sending;
  assert.ok(arrived.size < accepted.size, "something was left");
  const again = await startServer(dir);
  await until(() => arrived.size >= accepted.size && again.server.scheduler.messages === 0, "the rest");
  await again.stop();
  const ends = readLog(dir).filter((record) => record.type !== "Reception" && record.type !== "TransientFailure");
  assert.ok(ends.every((record) => record.type === "Delivery"));
  assert.equal(new Set(ends.map((record) => record.id)).size, ends.length, "one record each");
  assert.ok([...accepted].every((recipient) => arrived.get(recipient)?.times === 1));
});
