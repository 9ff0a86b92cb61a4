/** A reload while mail flows: files, SIGHUP, HTTP, the command; sources that come and go; wrong files. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { DEFAULT_PROFILE } from "../../src/sink/options.js";
import { type RunningSink, startSink } from "../../src/sink/sink.js";
import { ChildServer } from "../support/child-server.js";
import { type LogRecord, makeDir, readLog, removeDir, until, writeConfig } from "../support/server.js";
import { connectAndGreet } from "../support/smtp-client.js";

const main = new URL("../../src/cli/main.js", import.meta.url).pathname;
/** What the issue allows from the change of a file to its effect. */
const IN_FORCE_MS = 2000;

/** Puts a file in place as careful editors do: a new one, renamed over the old. */
function replace(path: string, content: string): void {
  writeFileSync(`${path}~`, content);
  renameSync(`${path}~`, path);
}

async function command(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let [out, err] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, out, err };
}

describe("reload", () => {
  const dir = makeDir();
  const path = join(dir, "hikyaku.toml");
  let sink: RunningSink;
  let server: ChildServer;

  /** The configuration with these sources in its pool, each at an address of the loopback network. */
  function config(sources: readonly string[], more = ""): string {
    const text = sources
      .map((name) => `[[source]]\nname = "${name}"\nsource_address = "127.0.0.${name.slice(1)}"\n`)
      .join("");
    const entries = sources.map((name) => `{ name = "${name}" }`).join(", ");
    writeConfig(dir, {
      to: `127.0.0.1:${sink.port}`,
      queue: 'egress_pool = "main"\nretry_interval = "1s"',
      more: `${text}[[pool]]\nname = "main"\nentries = [${entries}]\n${more}`,
      shaping: '["default"]\nconnection_limit = 2\nidle_timeout = "60s"\n',
    });
    return readFileSync(path, "utf8");
  }

  async function send(count: number): Promise<void> {
    const client = await connectAndGreet(server.port);
    for (let i = 0; i < count; i++) await client.send("a@b.example", [`r${i}@c.example`], "Subject: x\r\n\r\ny");
    await client.end();
  }

  function deliveries(): LogRecord[] {
    return readLog(dir).filter((record) => record.type === "Delivery");
  }

  /** Sends messages until one leaves from that source; returns how long that took, from the start. */
  async function untilSeen(source: string, startMs: number): Promise<number> {
    for (;;) {
      const before = deliveries().length;
      await send(2);
      await until(() => deliveries().length >= before + 2, "two deliveries");
      const tookMs = performance.now() - startMs;
      if (deliveries().some((record) => record["egress_source"] === source)) return tookMs;
      assert.ok(tookMs < 10 * IN_FORCE_MS, `${source} is never used`);
    }
  }

  before(async () => {
    sink = await startSink({ host: "127.0.0.1", port: 0, profile: DEFAULT_PROFILE });
    config(["s2"]);
    server = await ChildServer.start(dir);
  });

  after(async () => {
    await server.kill();
    await sink.stop();
    removeDir(dir);
  });

  test("a source that is written into the file is used within two seconds; the others keep their connections", async () => {
    await send(3);
    await until(() => deliveries().length === 3, "the first deliveries");
    const sessions = new Set(deliveries().map((record) => record["session_id"]));
    const text = config(["s2", "s3"]);
    const startMs = performance.now();
    replace(path, text);
    const tookMs = await untilSeen("s3", startMs);
    assert.ok(tookMs < IN_FORCE_MS, `${tookMs} ms`);
    const addresses = deliveries().map((record) => JSON.stringify(record["source_address"]));
    assert.ok(
      addresses.some((address) => address.includes("127.0.0.3")),
      addresses.at(-1),
    );
    await send(4);
    await until(() => deliveries().length >= 9, "more");
    const later = deliveries()
      .slice(-6)
      .filter((record) => record["egress_source"] === "s2");
    assert.ok(later.length > 0 && later.every((record) => sessions.has(record["session_id"])), "the old sessions live");
    assert.equal(await server.metric("config_epoch"), 1);
  });

  test("a source that is taken out loses nothing, while mail flows", async () => {
    const sent = deliveries().length;
    const flow = send(300);
    replace(path, config(["s3"]));
    await until(() => server.words.includes("epoch 2"), "the reload");
    await flow;
    await until(() => deliveries().length === sent + 300, "all of it");
    const mark = deliveries().length;
    await send(10);
    await until(() => deliveries().length === mark + 10, "ten more");
    const late = deliveries()
      .slice(mark)
      .map((record) => record["egress_source"]);
    assert.deepEqual([...new Set(late)], ["s3"]);
    const ids = new Set(deliveries().map((record) => record.id));
    assert.equal(ids.size, deliveries().length, "each once");
    await until(() => sink.totals().connections <= 4, "the old source's sessions to close");
  });

  test("a wrong file changes nothing and is told: in a notice, as a metric, over HTTP, by the command", async () => {
    const good = readFileSync(path, "utf8");
    replace(path, good.replace("egress_pool", "egress_pol"));
    await until(() => server.words.includes("is wrong, the old one stays in force"), "the notice");
    assert.match(server.words, /hikyaku\.toml:\d+: .*egress_pol.*nearest known key "egress_pool"/);
    assert.equal(await server.metric("config_stale"), 1);
    assert.equal(await server.metric('config_reloads_total{result="refused"}'), 1);
    const answer = await fetch(`${server.http}/api/admin/bump-config-epoch`, { method: "POST" });
    assert.equal(answer.status, 422);
    const body = (await answer.json()) as { problems: { key: string; line: number }[] };
    assert.match(body.problems[0]?.key ?? "", /egress_pol/);
    const asked = await command("reload", "--endpoint", server.http);
    assert.equal(asked.code, 1);
    assert.match(asked.err, /egress_pol/);
    const mark = deliveries().length;
    await send(2);
    await until(() => deliveries().length === mark + 2, "mail goes on");
    assert.equal(await server.metric("config_epoch"), 2);
    replace(path, good);
    const mended = await command("reload", "--endpoint", server.http, "--json");
    assert.equal(mended.code, 0);
    assert.deepEqual((JSON.parse(mended.out) as { needs_restart: string[] }).needs_restart, []);
    assert.equal(await server.metric("config_stale"), 0);
  });

  test("SIGHUP reads it again; what needs a restart is named and does not change", async () => {
    const good = readFileSync(path, "utf8");
    replace(path, good.replace('hostname = "mta.example.org"', 'hostname = "other.example.org"'));
    server.process.kill("SIGHUP");
    await until(() => server.words.includes("changed, but needs a restart: node.hostname"), "the notice");
    await until(() => server.words.includes("(SIGHUP)"), "the signal's reload");
    const mark = deliveries().length;
    await send(1);
    await until(() => deliveries().length === mark + 1, "a delivery");
    assert.equal(
      (await connectAndGreet(server.port).then((client) => client.greeting)).includes("mta.example.org"),
      true,
    );
    assert.equal(await server.metric("config_needs_restart"), 1);
    replace(path, good);
    const back = await command("reload", "--endpoint", server.http);
    assert.deepEqual([back.code, /restart/.test(back.out)], [0, false]);
  });

  test("a listener's options reach clients that connect from then on", async () => {
    const old = await connectAndGreet(server.port);
    const text = config(["s3"]).replace('listen = "127.0.0.1:0"', 'listen = "127.0.0.1:0"\nmax_message_size = "64KiB"');
    replace(path, text);
    assert.equal((await command("reload", "--endpoint", server.http)).code, 0);
    const big = `Subject: x\r\n\r\n${"y".repeat(76)}`.padEnd(100_000, "\r\nzzz");
    let refused = false;
    for (let tries = 0; tries < 100 && !refused; tries++) {
      const client = await connectAndGreet(server.port);
      refused = (await client.say(`MAIL FROM:<a@b.example> SIZE=${big.length}`)).startsWith("552");
      await client.end();
    }
    assert.ok(refused);
    assert.match(await old.send("a@b.example", ["x@c.example"], big), /^250/, "who was there keeps what was promised");
    await old.end();
  });

  test("a ready queue can be looked at, with its sessions", async () => {
    const name = `s3->mx_list:127.0.0.1:${sink.port}@smtp_client`;
    const answer = await fetch(`${server.http}/api/admin/inspect-ready-q/v1?queue_name=${encodeURIComponent(name)}`);
    assert.equal(answer.status, 200);
    const body = (await answer.json()) as { source_address: string; dispatchers: { phase: string }[]; state: object };
    assert.equal(body.source_address, "127.0.0.3");
    assert.ok(body.dispatchers.length > 0);
    const missing = await fetch(`${server.http}/api/admin/inspect-ready-q/v1?queue_name=none`);
    assert.equal(missing.status, 404);
  });

  test("the command without a server, and with a wrong endpoint", async () => {
    assert.equal((await command("reload", "--endpoint", "http://127.0.0.1:9")).code, 3);
    assert.equal((await command("reload", "--endpoint", "nonsense")).code, 2);
  });
});
