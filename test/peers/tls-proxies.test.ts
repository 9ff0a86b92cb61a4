/** TLS and AUTH to Postfix through real proxies: HAProxy, and `hikyaku proxy` in a process of its own that dies and returns. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { sourceSnapshots } from "../../src/scheduler/snapshot.js";
import { TestAuthority } from "../support/peers/certificates.js";
import { type MailHost, storedMail } from "../support/peers/mail-host.js";
import { startPostfix } from "../support/peers/postfix.js";
import { present } from "../support/peers/program.js";
import {
  atEnd,
  handIn,
  outcomeOf,
  outcomesIn,
  PEER_PATH,
  startRelay,
  storedFor,
  testDir,
  tlsOf,
} from "../support/peers/relay.js";
import { type LogRecord, type TestServer, until } from "../support/server.js";
import { freePort, startHaproxy } from "./proxy-peers.js";

const MAIN = new URL("../../src/cli/main.js", import.meta.url).pathname;
const AUTH = 'smtp_auth_plain_username = "me"\nsmtp_auth_plain_password = "pass word"\n';

/** `hikyaku proxy`, until the test kills it or ends. */
async function startOwnProxy(t: TestContext, dir: string, port: number): Promise<ChildProcess> {
  const ready = join(dir, "proxy.json");
  rmSync(ready, { force: true });
  const listen = ["--listen", `127.0.0.1:${port}`, "--ready-file", ready];
  const child = spawn(process.execPath, [MAIN, "proxy", ...listen], { stdio: ["ignore", "ignore", "pipe"] });
  let words = "";
  child.stderr.on("data", (chunk: Buffer) => (words += chunk.toString()));
  atEnd(t, () => child.kill("SIGKILL"));
  await until(() => existsSync(ready) || child.exitCode !== null, "hikyaku proxy");
  assert.equal(child.exitCode, null, words);
  assert.ok(readFileSync(ready, "utf8").includes(`${port}`));
  return child;
}

interface World {
  readonly dir: string;
  readonly host: MailHost;
  readonly start: (sources: string, entries: readonly string[], shaping?: string) => Promise<TestServer>;
}

/** A Postfix that takes mail over TLS and after AUTH only, and servers that send to it from these sources. */
async function openWorld(t: TestContext): Promise<World | null> {
  const dir = testDir(t);
  const authority = TestAuthority.root(dir);
  const certificate = authority.issue({ names: ["mx.to.example"] });
  const users = { me: "pass word" };
  const host = await startPostfix(t, {
    tls: { certificate, required: true },
    users,
    mechanisms: ["PLAIN"],
    main: { smtpd_tls_auth_only: "yes" },
  });
  if (host === null) return null;
  writeFileSync(join(dir, "hosts.zone"), `mx.to.example. 60 IN A ${host.address}\n`);
  const start = (sources: string, entries: readonly string[], shaping = ""): Promise<TestServer> =>
    startRelay(t, dir, {
      queue: 'egress_pool = "p"\nretry_interval = "1s"\nprotocol = { smtp = { mx_list = ["mx.to.example"] } }',
      shaping: `["default"]\n${PEER_PATH}enable_tls = "Required"\ntls_trusted_certificates = "root.pem"\n${AUTH}${shaping}`,
      more: `[dns]\nhosts_file = "hosts.zone"\nservers = ["127.0.0.1:9"]\ntimeout = "1s"\n${sources}[[pool]]\nname = "p"\nentries = [${entries.map((name) => `{ name = "${name}" }`).join(", ")}]\n`,
    });
  return { dir, host, start };
}

/** What Postfix says of a message: from where, over what, as whom. */
async function assertTaken(host: MailHost, record: LogRecord, from: string): Promise<void> {
  assert.equal(record.type, "Delivery", JSON.stringify(record));
  assert.equal(tlsOf(record), "TLSv1.3");
  assert.ok(!JSON.stringify(record).includes("pass word"));
  const { received } = await storedFor(host, record.recipient);
  assert.ok(received.includes(`[${from}]`), received);
  assert.match(received, /using TLSv1\.3.*with ESMTPSA/s);
}

test("TLS and AUTH go through HAProxy, with either header, and Postfix sees the chosen address", async (t) => {
  if (!present(t, "haproxy")) return;
  const world = await openWorld(t);
  if (world === null) return;
  const port = await startHaproxy(t);
  for (const version of ["v2", "v1"]) {
    const source = `[[source]]
name = "out"
ha_proxy_server = "127.0.0.1:${port}"
ha_proxy_source_address = "127.0.0.7"
ha_proxy_protocol = "${version}"
`;
    const relay = await world.start(source, ["out"]);
    await handIn(relay.port, [`${version}@to.example`]);
    const record = await outcomeOf(world.dir, `${version}@to.example`);
    await assertTaken(world.host, record, "127.0.0.7");
    const expected = { address: "127.0.0.7", server: `127.0.0.1:${port}`, protocol: "haproxy" };
    assert.deepEqual(record["source_address"], expected);
    await relay.stop();
  }
});

test("TLS and AUTH go through hikyaku proxy; when it dies another source takes over until it is back", async (t) => {
  const world = await openWorld(t);
  if (world === null) return;
  const { dir, host } = world;
  const port = await freePort();
  const first = await startOwnProxy(t, dir, port);
  const sources = `[[source]]
name = "through"
socks5_proxy_server = "127.0.0.1:${port}"
socks5_proxy_source_address = "127.0.0.9"
suspend_when_proxy_unhealthy = { trigger = "Immediate", duration = "3s" }
[[source]]
name = "direct"
source_address = "127.0.0.2"
`;
  const relay = await world.start(sources, ["through", "direct"], "connection_limit = 2\n");
  const through = () => sourceSnapshots(relay.server.scheduler.core).find(({ name }) => name === "through");
  /** Sends ten messages; how often each source delivered. */
  const ten = async (name: string): Promise<Record<string, number>> => {
    const recipients = Array.from({ length: 10 }, (_, at) => `${name}-${at}@to.example`);
    await handIn(relay.port, recipients);
    await until(() => relay.server.scheduler.messages === 0, "the queue to drain");
    const records = outcomesIn(dir).filter((one) => one.type === "Delivery" && recipients.includes(one.recipient));
    const used: Record<string, number> = {};
    for (const record of records) {
      const source = String(record["egress_source"]);
      used[source] = (used[source] ?? 0) + 1;
      await assertTaken(host, record, source === "through" ? "127.0.0.9" : "127.0.0.2");
    }
    assert.equal(storedMail(host).filter((mail) => mail.recipient.startsWith(`${name}-`)).length, 10, "once each");
    return used;
  };

  assert.deepEqual(await ten("both"), { through: 5, direct: 5 });

  const gone = once(first, "exit");
  first.kill("SIGKILL");
  await gone;
  assert.deepEqual(await ten("alone"), { direct: 10 });
  assert.deepEqual([through()?.suspended, through()?.suspensions], ["proxy", 1]);
  const failed = outcomesIn(dir).filter((record) => record.type !== "Delivery");
  assert.ok(failed.length >= 1);
  for (const record of failed) {
    assert.deepEqual([record.type, record["egress_source"]], ["TransientFailure", "through"]);
    assert.match(record.response.content, /proxy|closed the connection/);
  }

  await startOwnProxy(t, dir, port);
  await until(() => through()?.suspended === "none", "the end of the suspension");
  assert.deepEqual(await ten("again"), { through: 5, direct: 5 });
});
