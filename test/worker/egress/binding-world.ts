/**
 * Runs inside a network namespace that its caller made: gives `lo` many addresses, starts a server and sinks, and plays one
 * scene. Exits 0 when all was as it must be.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { addonRefusal } from "../../../src/native/load.js";
import { DEFAULT_PROFILE, type SinkProfile } from "../../../src/sink/options.js";
import { type RunningSink, startSink } from "../../../src/sink/sink.js";
import { ChildServer } from "../../support/child-server.js";
import { type LogRecord, makeDir, readLog, removeDir, until, writeConfig } from "../../support/server.js";
import { connectAndGreet } from "../../support/smtp-client.js";

/** Each recipient has a connection of its own. */
const SINGLY = '["default"]\nmax_recipients_per_batch = 1\n';

const V4_SOURCES = 60;
const V6_SOURCES = 30;

interface Source {
  readonly name: string;
  readonly address: string;
  readonly more?: string;
}

const dir = makeDir();

function ip(...args: string[]): void {
  execFileSync("ip", args);
}

function sources(family: 4 | 6, count: number): Source[] {
  return Array.from({ length: count }, (_, at) => ({
    name: `s${family}-${at}`,
    address: family === 4 ? `10.77.0.${at + 1}` : `fd77::${(at + 1).toString(16)}`,
  }));
}

function tables(pool: string, of: readonly Source[]): string {
  const written = of.map(
    ({ name, address, more = "" }) => `[[source]]\nname = "${name}"\nsource_address = "${address}"\n${more}\n`,
  );
  const entries = of.map(({ name }) => `{ name = "${name}" }`).join(", ");
  return `${written.join("")}[[pool]]\nname = "${pool}"\nentries = [${entries}]\n`;
}

function sink(host: string, profile: Partial<SinkProfile> = {}): Promise<RunningSink> {
  return startSink({ host, port: 0, profile: { ...DEFAULT_PROFILE, maxConnections: 10_000, ...profile } });
}

async function send(server: ChildServer, domain: string, count: number): Promise<void> {
  const client = await connectAndGreet(server.port);
  for (let sent = 0; sent < count; sent += 100) {
    const recipients = Array.from({ length: Math.min(100, count - sent) }, (_, at) => `r${sent + at}@${domain}`);
    await client.send("a@b.example", recipients, "Subject: x\r\n\r\ny");
  }
  await client.end();
}

function records(type: string): LogRecord[] {
  return readLog(dir).filter((record) => record.type === type);
}

function addressOf(record: LogRecord): string {
  return JSON.stringify(record["source_address"] ?? null);
}

/** Every address of a pool is used, and each message leaves from its source's. */
async function addresses(): Promise<void> {
  const [v4, v6] = [sources(4, V4_SOURCES), sources(6, V6_SOURCES)];
  for (const { address } of v4) ip("addr", "add", `${address}/32`, "dev", "lo");
  for (const { address } of v6) ip("addr", "add", `${address}/128`, "dev", "lo", "nodad");
  ip("addr", "add", "10.77.1.1/32", "dev", "lo");
  ip("addr", "add", "fd77:1::1/128", "dev", "lo", "nodad");
  const [four, six] = [await sink("10.77.1.1"), await sink("fd77:1::1")];
  const queue = (domain: string, pool: string, to: string): string =>
    `[[queue]]\nmatch = { domain = "${domain}" }\negress_pool = "${pool}"\nprotocol = { smtp = { mx_list = ["${to}"] } }\n`;
  writeConfig(dir, {
    to: "127.0.0.1:9",
    more: `${tables("four", v4)}${tables("six", v6)}`,
    shaping: '["default"]\nmax_ready = 5000\nmax_recipients_per_batch = 1\n',
  });
  const path = join(dir, "hikyaku.toml");
  const text = readFileSync(path, "utf8").replace(/\[\[queue\]\]\nprotocol[^\n]*\n/, "");
  const rules =
    queue("v4.example", "four", `10.77.1.1:${four.port}`) + queue("v6.example", "six", `[fd77:1::1]:${six.port}`);
  writeFileSync(path, `${text}${rules}`);
  const server = await ChildServer.start(dir);
  await send(server, "v4.example", 10 * V4_SOURCES);
  await send(server, "v6.example", 10 * V6_SOURCES);
  const all = 10 * (V4_SOURCES + V6_SOURCES);
  await until(() => records("Delivery").length === all, `${all} deliveries`);
  const seen = new Map<string, number>();
  for (const record of records("Delivery")) {
    const source = [...v4, ...v6].find(({ name }) => name === record["egress_source"]);
    assert.ok(source !== undefined, `a source named ${String(record["egress_source"])}`);
    assert.ok(addressOf(record).includes(`${source.address}`), `${source.address}: ${addressOf(record)}`);
    seen.set(source.name, (seen.get(source.name) ?? 0) + 1);
  }
  assert.equal(seen.size, V4_SOURCES + V6_SOURCES);
  for (const [name, count] of seen) assert.equal(count, 10, name);
  await server.stop();
  await Promise.all([four.stop(), six.stop()]);
  console.log(`done: ${all} messages from ${seen.size} addresses, ten each`);
}

/** A source whose address is missing is suspended, others take over; it is used again when it has its address. */
async function unplumbed(): Promise<void> {
  ip("addr", "add", "10.77.0.1/32", "dev", "lo");
  ip("addr", "add", "10.77.1.1/32", "dev", "lo");
  const to = await sink("10.77.1.1");
  const pair = [
    { name: "there", address: "10.77.0.1" },
    {
      name: "missing",
      address: "10.77.0.2",
      more: 'suspend_when_unplumbed = { trigger = { Threshold = "2/min" }, duration = "2s" }',
    },
  ];
  const queue = 'egress_pool = "main"\nretry_interval = "1s"';
  writeConfig(dir, { to: `10.77.1.1:${to.port}`, queue, shaping: SINGLY, more: tables("main", pair) });
  const server = await ChildServer.start(dir);
  await send(server, "c.example", 50);
  await until(() => records("Delivery").length === 50, "all by the other source");
  const failed = records("TransientFailure");
  assert.ok(failed.length >= 2 && failed.length < 25, `${failed.length} attempts failed`);
  assert.match(failed[0]?.response.content ?? "", /EADDRNOTAVAIL/);
  assert.ok((await server.metric('source_suspensions_total{source="missing"}')) >= 1);
  assert.ok(records("Delivery").every((record) => record["egress_source"] === "there"));
  ip("addr", "add", "10.77.0.2/32", "dev", "lo");
  let rounds = 0;
  for (; !records("Delivery").some((record) => record["egress_source"] === "missing"); rounds++) {
    assert.ok(rounds < 1000, "the source comes back");
    const before = records("Delivery").length;
    await send(server, "c.example", 2);
    await until(() => records("Delivery").length >= before + 2, "two more");
  }
  assert.equal(await server.metric('source_suspended{source="missing"}'), 0);
  await server.stop();
  await to.stop();
  console.log(`done: suspended after ${failed.length} failed attempts, back by itself`);
}

/** An address that no interface has yet can be bound on request: the connection comes up once it is there. */
async function freeBind(): Promise<void> {
  ip("addr", "add", "fd77:1::1/128", "dev", "lo", "nodad");
  const to = await sink("fd77:1::1");
  const suspend = 'suspend_when_unplumbed = { trigger = "Immediate", duration = "1h" }';
  const source = { name: "late", address: "fd77::3", more: `free_bind = true\n${suspend}` };
  writeConfig(dir, {
    to: `[fd77:1::1]:${to.port}`,
    queue: 'egress_pool = "main"',
    shaping: SINGLY,
    more: tables("main", [source]),
  });
  const server = await ChildServer.start(dir);
  await send(server, "c.example", 1);
  const connecting = (): boolean => execFileSync("ss", ["-Htn", "state", "syn-sent"]).toString().includes("fd77::3");
  await until(connecting, "the connection to be on its way");
  ip("addr", "add", "fd77::3/128", "dev", "lo", "nodad");
  await until(() => records("Delivery").length === 1, "the delivery");
  assert.equal(records("TransientFailure").length, 0);
  assert.ok(addressOf(records("Delivery")[0] as LogRecord).includes("fd77::3"));
  await server.stop();
  await to.stop();
  console.log("done: bound before the address was there");
}

/** Thousands of connections from one address to one destination, at the same time. */
async function thousands(): Promise<void> {
  const connections = 3000;
  ip("addr", "add", "10.77.0.1/32", "dev", "lo");
  ip("addr", "add", "10.77.1.1/32", "dev", "lo");
  const to = await sink("10.77.1.1", { latencyMs: 20_000 });
  writeConfig(dir, {
    to: `10.77.1.1:${to.port}`,
    queue: 'egress_pool = "main"',
    durability: "committed",
    more: tables("main", [{ name: "only", address: "10.77.0.1" }]),
    shaping: `["default"]\nconnection_limit = ${connections}\nmax_ready = 10000\nmax_recipients_per_batch = 1\n`,
  });
  const server = await ChildServer.start(dir);
  let most = 0;
  // A path opens a session more only while more messages are ready than it has sessions.
  const done = send(server, "c.example", 2 * connections + 1000);
  await until(() => {
    most = Math.max(most, to.totals().open);
    return most >= connections;
  }, `${connections} connections`);
  await done;
  const one =
    execFileSync("ss", ["-Htn", "state", "established", "src", "10.77.0.1"]).toString().split("\n").length - 1;
  assert.ok(one >= connections * 0.9, `${one} of them are seen by the system`);
  assert.ok(most <= connections, "connection_limit holds");
  assert.equal(records("TransientFailure").length, 0);
  await server.kill();
  await to.stop();
  console.log(`done: ${most} connections at the same time from one address to one destination`);
}

/** With all ports of an address in use it is not the address that is missing: the source stays in use. */
async function noPortsLeft(): Promise<void> {
  ip("addr", "add", "10.77.0.1/32", "dev", "lo");
  ip("addr", "add", "10.77.1.1/32", "dev", "lo");
  const to = await sink("10.77.1.1", { latencyMs: 1000 });
  const suspend = 'suspend_when_unplumbed = { trigger = "Immediate", duration = "1h" }';
  writeConfig(dir, {
    to: `10.77.1.1:${to.port}`,
    queue: 'egress_pool = "main"\nretry_interval = "1s"',
    more: tables("main", [{ name: "only", address: "10.77.0.1", more: suspend }]),
    shaping:
      '["default"]\nconnection_limit = 200\nconsecutive_connection_failures_before_delay = 1000\nmax_recipients_per_batch = 1\n',
  });
  const server = await ChildServer.start(dir);
  writeFileSync("/proc/sys/net/ipv4/ip_local_port_range", "40000 40049");
  await send(server, "c.example", 200);
  await until(() => records("TransientFailure").length > 0, "a connection without a port");
  assert.match(
    records("TransientFailure")[0]?.response.content ?? "",
    addonRefusal() === null ? /EADDRNOTAVAIL/ : /EADDRINUSE/,
  );
  await until(() => records("Delivery").length === 200, "all messages, by and by");
  const text = await (await fetch(`${server.http}/metrics`)).text();
  assert.doesNotMatch(text, /source_suspen[a-z_]*\{source="only"\} [1-9]/);
  await server.stop();
  await to.stop();
  console.log(`done: ${records("TransientFailure").length} attempts found no port, the source stayed in use`);
}

const SCENES: Readonly<Record<string, () => Promise<void>>> = {
  addresses,
  unplumbed,
  "free-bind": freeBind,
  thousands,
  "no ports left": noPortsLeft,
};

ip("link", "set", "lo", "up");
const scene = SCENES[process.argv[2] ?? ""];
assert.ok(scene !== undefined, "a scene");
try {
  await scene();
} finally {
  removeDir(dir);
}
