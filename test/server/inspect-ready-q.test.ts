/** What an operator sees of connections that stand still: over HTTP and by the command. */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { run, runIn } from "../cli/command.js";
import { ChildServer } from "../support/child-server.js";
import { makeDir, removeDir, until, untilAsked, writeConfig } from "../support/server.js";
import { connectAndGreet } from "../support/smtp-client.js";
import { type StallingHost, startStallingHost } from "../support/stalling-host.js";

interface Answer {
  readonly workers_silent: number[];
  readonly scheduled_queue_names?: string[];
  readonly dispatchers: Record<string, unknown>[];
}

describe("inspect-ready-q", () => {
  const dir = makeDir();
  let host: StallingHost;
  let server: ChildServer;
  let name: string;

  async function ask(query = ""): Promise<Answer> {
    const asked = `${server.http}/api/admin/inspect-ready-q/v1?queue_name=${encodeURIComponent(name)}${query}`;
    const answer = await fetch(asked);
    assert.equal(answer.status, 200);
    return (await answer.json()) as Answer;
  }

  before(async () => {
    host = await startStallingHost();
    name = `s2->mx_list:127.0.0.1:${host.port}@smtp_client`;
    writeConfig(dir, {
      to: `127.0.0.1:${host.port}`,
      workers: 2,
      queue: 'egress_pool = "main"',
      more: '[[source]]\nname = "s2"\nsource_address = "127.0.0.2"\n[[pool]]\nname = "main"\nentries = [{ name = "s2" }]',
      shaping: '["default"]\nconnection_limit = 1\nsystem_shutdown_timeout = "1s"\n',
    });
    server = await ChildServer.start(dir);
    const client = await connectAndGreet(server.port);
    await client.send("s@x.example", ["r@y.example"], "Subject: x\r\n\r\ny");
    await client.end();
    await until(() => host.begun === 1, "the message to be under way");
  });

  after(async () => {
    await server.kill();
    await host.stop();
    removeDir(dir);
  });

  test("a connection that waits for the end of its message: phase, since when, last progress, both ends", async () => {
    await untilAsked(async () => (await ask()).dispatchers[0]?.["phase"] === "dataDot", "the content to be written");
    const early = await ask();
    assert.deepEqual(early.workers_silent, []);
    assert.equal(early.dispatchers.length, 1);
    const session = early.dispatchers[0] ?? {};
    const expected = {
      state: "busy",
      from_worker: true,
      phase: "dataDot",
      host: "127.0.0.1",
      address: "127.0.0.1",
      port: host.port,
      tls_protocol: null,
      tls_cipher: null,
      transactions: 1,
      messages_delivered: 0,
      messages_in_hand: 1,
      local_address: "127.0.0.2",
      proxy: null,
    };
    const shown = Object.fromEntries(Object.keys(expected).map((key) => [key, session[key]]));
    assert.deepEqual(shown, expected);
    assert.match(String(session["log_session_id"]), /^[0-9a-f-]{36}$/);
    await untilAsked(
      async () => Number((await ask()).dispatchers[0]?.["phase_ms"]) > 700,
      "its age in the phase to grow",
    );
    assert.ok(Number((await ask()).dispatchers[0]?.["last_progress_ms"]) > 700, "nothing moves");
  });

  test("scheduled queues that feed it are told when asked for", async () => {
    assert.equal((await ask()).scheduled_queue_names, undefined);
    assert.deepEqual((await ask("&include_scheduled_queues=true")).scheduled_queue_names, ["y.example"]);
    const wrong = await fetch(
      `${server.http}/api/admin/inspect-ready-q/v1?queue_name=x&include_scheduled_queues=perhaps`,
    );
    assert.equal(wrong.status, 400);
  });

  test("the command: a summary, the table of connections, options, queues; JSON with everything", async () => {
    const at = ["inspect-ready-q", name, "--endpoint", server.http];
    const brief = await run(...at);
    assert.deepEqual([brief.code, brief.err], [0, ""]);
    assert.match(brief.out, /^ready queue +s2->mx_list/);
    assert.match(brief.out, /connections +1 of 1/);
    assert.doesNotMatch(brief.out, /dataDot|smtpPort|y\.example/);
    const whole = await run(...at, "--connections", "--config", "--sched-q");
    assert.match(whole.out, /session +worker +phase +since +moved +sent +peer +TLS +from\n/);
    assert.match(
      whole.out,
      new RegExp(`dataDot +[0-9.]+ s +[0-9.]+ s +0 +127\\.0\\.0\\.1:${host.port} +no +127\\.0\\.0\\.2\n`),
    );
    assert.match(whole.out, /smtpPort +25/);
    assert.match(whole.out, /\ny\.example\n/);
    const json = await runIn({ env: { HIKYAKU_ENDPOINT: server.http } }, "inspect-ready-q", name, "--json");
    const answer = JSON.parse(json.out) as Answer;
    assert.deepEqual([answer.dispatchers[0]?.["phase"], answer.scheduled_queue_names], ["dataDot", ["y.example"]]);
  });

  test("the command's exit: 1 no such queue, 2 wrong usage, 3 no server", async () => {
    const missing = await run("inspect-ready-q", "none", "--endpoint", server.http);
    assert.deepEqual([missing.code, missing.out], [1, ""]);
    assert.match(missing.err, /there is no ready queue named "none"/);
    assert.equal((await run("inspect-ready-q", "--endpoint", server.http)).code, 2);
    assert.equal((await run("inspect-ready-q", name, "--json", "--config")).code, 2);
    assert.equal((await run("inspect-ready-q", name, "--endpoint", "http://127.0.0.1:9")).code, 3);
  });
});
