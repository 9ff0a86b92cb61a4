/** When memory, descriptors or the scheduler do not suffice: mail is refused by name, nothing that was taken is lost, and it ends by itself. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, type TestContext, test } from "node:test";
import { DEFAULT_PROFILE } from "../../src/sink/options.js";
import { startSink } from "../../src/sink/sink.js";
import { ChildServer } from "../support/child-server.js";
import { makeDir, readLog, removeDir, type TestConfig, until, writeConfig } from "../support/server.js";
import { connectAndGreet, SmtpClient } from "../support/smtp-client.js";

/** A directory, a sink that notes who got mail, and a server that sends there. */
async function scene(t: TestContext, config: TestConfig = {}, wrap: readonly string[] = [], latencyMs = 0) {
  const dir = makeDir();
  const arrived: string[] = [];
  const sink = await startSink({
    host: "127.0.0.1",
    port: 0,
    profile: { ...DEFAULT_PROFILE, latencyMs },
    onMessage: ({ recipients }) => arrived.push(...recipients),
  });
  writeConfig(dir, { to: `127.0.0.1:${sink.port}`, ...config });
  const servers: ChildServer[] = [];
  const clients: SmtpClient[] = [];
  t.after(async () => {
    for (const client of clients) client.destroy();
    for (const server of servers) await server.kill();
    await sink.stop();
    removeDir(dir);
  });
  const start = async (): Promise<ChildServer> => {
    const server = await ChildServer.start(dir, wrap);
    servers.push(server);
    return server;
  };
  return { dir, arrived, clients, start, server: await start() };
}

const text = (bytes: number): string => `Subject: x\r\n\r\n${`${"x".repeat(98)}\r\n`.repeat(bytes / 100)}`;

const received = (dir: string): string[] =>
  readLog(dir)
    .filter(({ type }) => type === "Reception")
    .map(({ recipient }) => recipient)
    .sort();

async function refusalAt(server: ChildServer): Promise<string> {
  const client = await SmtpClient.connect(server.port);
  client.destroy();
  return client.greeting;
}

describe("shedding", { concurrency: true, timeout: 100_000 }, () => {
  test("memory over its limit: 421 at connect, 451 at MAIL, liveness, metric, notice; it goes on by itself", async (t) => {
    const { arrived, dir, server } = await scene(t, { durability: "deferred", spool: 'deferred_wait = "1m"' });
    const client = await connectAndGreet(server.port);
    assert.match(await client.send("s@x.example", ["before@a.example"], "Subject: x\r\n\r\nx"), /^250 /);
    assert.equal(await server.metric('shed_state{reason="memory"}'), 0);
    assert.ok((await server.metric("memory_usage")) > 10e6);
    assert.ok((await server.metric("memory_low")) < (await server.metric("memory_limit")));
    await until(() => arrived.length === 1, "the first message");
    assert.equal(await server.metric("spool_batch_messages_count"), 0, "it was in memory only");
    const low = (await server.metric("memory_low")) + (await server.metric("memory_limit"));
    server.order(`memory.used bytes ${Math.round(low / 2)}`);
    await until(() => /memory is low: .*caches are given up/.test(server.words), "the first notice");
    // The worker looks a few times a second.
    let kept = 0;
    while ((await server.metric("spool_batch_messages_count")) === 0) {
      assert.match(await client.send("s@x.example", [`low${kept++}@a.example`], "Subject: x\r\n\r\nx"), /^250 /);
    }
    const stored = await server.metric("spool_batch_messages_sum");
    for (let n = 0; n < 20; n++) {
      assert.match(await client.send("s@x.example", [`low${kept++}@a.example`], "Subject: x\r\n\r\nx"), /^250 /);
    }
    assert.equal(await server.metric("spool_batch_messages_sum"), stored + 20, "each is stored before its 250");
    assert.equal(await server.liveness(), 200, "low memory refuses nothing");
    server.order("memory.used bytes 9e18");
    await until(() => /no mail is accepted: memory is over the soft limit/.test(server.words), "the notice");
    assert.match(await client.say("MAIL FROM:<s@x.example>"), /^451 4\.3\.1 Too little memory/);
    assert.match(await refusalAt(server), /^421 4\.3\.2 Too little memory/);
    const live = await fetch(`${server.http}/api/check-liveness/v1`);
    assert.equal(live.status, 503);
    assert.match(await live.text(), /memory is over/);
    assert.equal(await server.metric('shed_state{reason="memory"}'), 1);
    assert.equal(await server.metric('shed_refusals_total{reason="memory"}'), 2);
    server.order();
    await until(() => /memory is sufficient again/.test(server.words), "the end");
    assert.match(await client.send("s@x.example", ["after@a.example"], "Subject: x\r\n\r\nx"), /^250 /);
    assert.equal(await server.liveness(), 200);
    await until(() => arrived.length === 2 + kept, "all messages");
    await server.stop();
    assert.deepEqual(received(dir), arrived.sort());
  });

  test("memory really used up by clients in the middle of content: refused by name, all that is taken arrives", async (t) => {
    const { clients, dir, arrived, server, start } = await scene(t);
    const base = await server.metric("memory_usage");
    await server.stop();
    writeConfig(dir, {
      to: /mx_list = \["(.*?)"\]/.exec(readFileSync(join(dir, "hikyaku.toml"), "utf8"))?.[1] ?? null,
      more: `[memory]\nsoft_limit = ${base + 80e6}`,
    });
    const small = await start();
    assert.equal(await small.metric("memory_limit"), base + 80e6);
    for (let n = 0; n < 12; n++) {
      const client = await connectAndGreet(small.port);
      clients.push(client);
      for (const line of ["MAIL FROM:<s@x.example>", `RCPT TO:<r${n}@a.example>`, "DATA"]) {
        assert.match(await client.say(line), /^[23]/);
      }
    }
    for (const client of clients) client.write(text(15e6));
    await until(() => /no mail is accepted: memory is over/.test(small.words), "the limit");
    assert.match(await refusalAt(small), /^421 4\.3\.2 Too little memory/);
    const replies = await Promise.all(clients.map((client) => client.say("\r\n.")));
    for (const reply of replies) assert.match(reply, /^250 /, "what was begun is taken");
    const recovered = (): boolean => small.words.includes("memory is below the soft limit again");
    const since = performance.now();
    await until(recovered, "memory to be given back");
    t.diagnostic(`given back after ${Math.round(performance.now() - since)} ms`);
    assert.match(await refusalAt(small), /^220 /);
    await until(() => arrived.length === 12, "all messages");
    assert.equal(small.process.exitCode, null);
    await small.stop();
    assert.deepEqual(received(dir), arrived.sort());
  });

  test("a scheduler that lags: 451 4.3.2 by name, and taken again when it has caught up", async (t) => {
    const { arrived, server } = await scene(t);
    const client = await connectAndGreet(server.port);
    server.order("scheduler.turn last 2600");
    const taken: string[] = [];
    let refusal = "";
    for (let n = 0; refusal === ""; n++) {
      assert.ok(n < 100_000, "it is refused some time");
      const steps = ["MAIL FROM:<s@x.example>", `RCPT TO:<r${n}@a.example>`, "DATA", "Subject: x\r\n\r\nx\r\n."];
      let reply = "";
      for (const step of steps) {
        reply = await client.say(step);
        if (!/^[23]/.test(reply)) break;
      }
      if (!reply.startsWith("250")) {
        refusal = reply;
        await client.say("RSET");
        break;
      }
      taken.push(`r${n}@a.example`);
    }
    assert.match(refusal, /^451 4\.3\.2 Too busy \(scheduler\)/);
    server.order();
    await until(() => /no mail is accepted: the scheduler lags behind/.test(server.words), "the notice");
    await until(() => /the scheduler has caught up/.test(server.words), "the end");
    assert.ok((await server.metric('shed_refusals_total{reason="lag"}')) >= 1);
    assert.ok((await server.metric("scheduler_turn_seconds_count")) > 0);
    // Of one moment: turns go on between two looks.
    const [all, quick] = await server.metrics(
      'scheduler_turn_seconds_bucket{le="+Inf"}',
      'scheduler_turn_seconds_bucket{le="2"}',
    );
    assert.ok((all as number) > (quick as number), "no turn took more than two seconds");
    assert.ok((await server.metric("scheduler_lag_seconds_count")) > 0);
    assert.match(await client.send("s@x.example", ["after@a.example"], "Subject: x\r\n\r\nx"), /^250 /);
    taken.push("after@a.example");
    await until(() => arrived.length >= taken.length, "every message");
    await server.stop();
    assert.deepEqual(arrived.sort(), taken.sort());
  });

  test("a flood of clients against the limit of open files: 421 by name, others go on, no spin, and it ends", async (t) => {
    const { clients, arrived, server } = await scene(t, {}, ["prlimit", "--nofile=256:256", "--"]);
    assert.equal(await server.metric("open_files_limit"), 256);
    const sockets = await server.metric("socket_limit");
    assert.ok(sockets > 50 && sockets < 200, `${sockets}`);
    const early = await connectAndGreet(server.port);
    const greeted: string[] = [];
    const connecting = Array.from({ length: 1200 }, async () => {
      const client = await SmtpClient.connect(server.port);
      clients.push(client);
      if (client.greeting !== "") greeted.push(client.greeting);
    });
    let flooding = true;
    let most = 0;
    const watching = (async (): Promise<void> => {
      while (flooding) most = Math.max(most, await server.metric("socket_count"));
    })();
    await Promise.all(connecting);
    flooding = false;
    await watching;
    assert.ok(most <= sockets + 16, `${most} sockets of ${sockets}: the rest is for files`);
    const served = greeted.filter((line) => line.startsWith("220"));
    const refused = greeted.filter((line) => /^421 4\.3\.2 Too many open files/.test(line));
    assert.equal(served.length + refused.length, 1200, "all heard something");
    assert.ok(served.length >= sockets / 2 && served.length <= sockets * 0.75, `${served.length} of ${sockets}`);
    assert.ok((await server.metric('shed_refusals_total{reason="descriptors"}')) >= refused.length);
    assert.equal(await server.metric('shed_state{reason="descriptors"}'), 1);
    assert.equal(await server.liveness(), 503);
    assert.match(await early.send("s@x.example", ["during@a.example"], "Subject: x\r\n\r\nx"), /^250 /);
    await until(() => arrived.includes("during@a.example"), "a delivery during the flood");
    const before = cpuSeconds(server);
    const from = performance.now();
    await until(() => performance.now() - from > 2000, "two seconds to pass");
    assert.ok(cpuSeconds(server) - before < 0.4, `CPU ${cpuSeconds(server) - before} s in 2 s`);
    for (const client of clients) client.destroy();
    await until(() => /connections are below the limit of open files again/.test(server.words), "the end");
    assert.match(await refusalAt(server), /^220 /);
    assert.equal(await server.metric("workers_lost_total"), 0);
    await server.stop();
  });

  test("sessions to a slow host against the limit of open files: some are held back, clients are served, all arrives", async (t) => {
    const wrap = ["prlimit", "--nofile=256:256", "--"];
    const shaping = '["default"]\nconnection_limit = 2000\nmax_recipients_per_batch = 1\n';
    const { arrived, dir, server } = await scene(t, { shaping }, wrap, 300);
    const sockets = await server.metric("socket_limit");
    const client = await connectAndGreet(server.port);
    const recipients = Array.from({ length: 500 }, (_, n) => `r${n}@a.example`);
    assert.match(await client.send("s@x.example", recipients, "Subject: x\r\n\r\nx"), /^250/);
    const held = 'sessions_held_back_total{service="smtp_client",reason="descriptors"}';
    let most = 0;
    while (arrived.length < 500) {
      most = Math.max(most, await server.metric('connection_count{service="smtp_client"}'));
      assert.match(await refusalAt(server), /^220 /, "clients have their part");
    }
    assert.ok((await server.metric(held)) > 0, "some were held back");
    assert.ok(most > sockets / 2 && most <= sockets * 0.75, `${most} of ${sockets}`);
    assert.doesNotMatch(server.words, /EMFILE/);
    await server.stop();
    assert.deepEqual(received(dir), arrived.sort());
  });

  test("thousands of idle clients against max_connections: 421 by name, those before are served", async (t) => {
    const { clients, arrived, server } = await scene(t, { listener: "max_connections = 50" });
    const early = await connectAndGreet(server.port);
    let served = 0;
    let refused = 0;
    const connecting = Array.from({ length: 2000 }, async () => {
      const client = await SmtpClient.connect(server.port);
      clients.push(client);
      if (client.greeting.startsWith("220")) served++;
      else if (/^421 4\.3\.2 Too many connections/.test(client.greeting)) refused++;
    });
    await Promise.all(connecting);
    assert.deepEqual([served + refused, served <= 49], [2000, true]);
    assert.equal(await server.metric('shed_refusals_total{reason="connections"}'), refused);
    assert.match(await early.send("s@x.example", ["during@a.example"], "Subject: x\r\n\r\nx"), /^250 /);
    await until(() => arrived.length === 1, "a delivery during the flood");
    await server.stop();
  });

  test("a limit of open files that is too low is an error at the start, with the number that is needed", async (t) => {
    const dir = makeDir();
    t.after(() => removeDir(dir));
    writeConfig(dir, { workers: 8 });
    await assert.rejects(
      ChildServer.start(dir, ["prlimit", "--nofile=200:200", "--"]),
      /the limit of open files is 200; 8 workers need at least \d+/,
    );
  });
});

/** CPU time of the server's process so far. */
function cpuSeconds(server: ChildServer): number {
  const stat = readFileSync(`/proc/${server.process.pid}/stat`, "latin1");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
