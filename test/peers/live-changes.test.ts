/** The configuration changes again and again while mail flows to Postfix: each change takes hold, each message arrives once. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { ChildServer } from "../support/child-server.js";
import { TestAuthority } from "../support/peers/certificates.js";
import { type MailHost, storedMail, untilStored } from "../support/peers/mail-host.js";
import { startPostfix } from "../support/peers/postfix.js";
import { atEnd, outcomesIn, PEER_PATH, testDir, tlsOf } from "../support/peers/relay.js";
import { type LogRecord, until, writeConfig } from "../support/server.js";
import { connectAndGreet, type SmtpClient } from "../support/smtp-client.js";

const MESSAGES = 500;
const CLIENTS = 10;
/** Messages that each hands in at a time. */
const BURST = 5;
/** So many at most are on their way when the next ones are handed in. */
const AHEAD = 50;
const MOST = 3000;

interface Settings {
  readonly sources: readonly string[];
  readonly connectionLimit: number;
  readonly enableTls: string;
}

/** Puts a file in place as careful editors do: a new one, renamed over the old. */
function replace(path: string, content: string): void {
  if (existsSync(path) && readFileSync(path, "utf8") === content) return;
  writeFileSync(`${path}~`, content);
  renameSync(`${path}~`, path);
}

/** Open connections to a host, by the kernel's table: ours, each on its own, not the host's end of them. */
function connectionsTo(host: MailHost): number {
  const bytes = host.address.split(".").reverse();
  const hex = (value: number, digits: number): string => value.toString(16).toUpperCase().padStart(digits, "0");
  const remote = `${bytes.map((byte) => hex(Number(byte), 2)).join("")}:${hex(host.port, 4)}`;
  return [...readFileSync("/proc/net/tcp", "latin1").matchAll(new RegExp(`: \\S+ ${remote} 01 `, "g"))].length;
}

test("sources come and go, limits and TLS change, and 500 messages arrive exactly once", {
  timeout: 120_000,
}, async (t) => {
  const dir = testDir(t);
  const certificate = TestAuthority.selfSigned(dir, "whoever.example");
  const host = await startPostfix(t, { tls: { certificate } });
  if (host === null) return;
  const arrived = (): number => {
    const folder = join(host.maildir, "new");
    return existsSync(folder) ? readdirSync(folder).length : 0;
  };

  const apply = ({ sources, connectionLimit, enableTls }: Settings, into = dir): void => {
    const written = sources.map(
      (name) => `[[source]]\nname = "${name}"\nsource_address = "127.0.0.${name.slice(1)}"\n`,
    );
    const entries = sources.map((name) => `{ name = "${name}" }`).join(", ");
    // Written beside, then renamed file by file, what changed alone.
    writeConfig(into, {
      to: `${host.address}:${host.port}`,
      queue: 'egress_pool = "main"\nretry_interval = "1s"',
      more: `${written.join("")}[[pool]]\nname = "main"\nentries = [${entries}]\n`,
      shaping: `["default"]\n${PEER_PATH}connection_limit = ${connectionLimit}\nenable_tls = "${enableTls}"\n`,
    });
  };
  const draft = testDir(t);
  const change = (settings: Settings): void => {
    apply(settings, draft);
    for (const name of ["hikyaku.toml", "shaping.toml"]) {
      replace(join(dir, name), readFileSync(join(draft, name), "utf8"));
    }
  };

  const settings = { sources: ["s2"], connectionLimit: 1, enableTls: "Disabled" };
  apply(settings);
  const server = await ChildServer.start(dir);
  atEnd(t, () => server.kill());
  const clients = await Promise.all(Array.from({ length: CLIENTS }, () => connectAndGreet(server.port)));
  let sent = 0;
  const deliveries = (): LogRecord[] => outcomesIn(dir).filter((record) => record.type === "Delivery");
  /** Feeds messages until `seen`, which is looked at now and then. */
  const flow = async (what: string, seen: () => boolean): Promise<void> => {
    do {
      assert.ok(sent < MOST, `not seen in ${MOST} messages: ${what}\n${server.words}`);
      // Faster than one connection passes them on.
      const each = async (client: SmtpClient): Promise<void> => {
        for (let at = 0; at < BURST; at++) {
          assert.match(await client.send("s@from.example", [`r${sent++}@to.example`], "Subject: x\r\n\r\ny"), /^250 /);
        }
      };
      await Promise.all(clients.map(each));
      await until(() => sent - arrived() <= AHEAD, "the flow to go on");
    } while (!seen());
  };
  /** What holds for each of the last deliveries. */
  const last = (holds: (record: LogRecord) => boolean): boolean => {
    const some = deliveries().slice(-30);
    return some.length === 30 && some.every(holds);
  };

  await flow("the first source, in clear", () =>
    last((one) => one["egress_source"] === "s2" && tlsOf(one) === "clear"),
  );
  assert.equal(connectionsTo(host), 1);

  change({ ...settings, connectionLimit: 8 });
  await flow("several connections", () => connectionsTo(host) >= 3);

  change({ ...settings, sources: ["s2", "s3"], connectionLimit: 8 });
  await flow("another source", () => deliveries().some((one) => one["egress_source"] === "s3"));

  change({ ...settings, sources: ["s2", "s3"], connectionLimit: 8, enableTls: "RequiredInsecure" });
  await flow("TLS alone", () => last((one) => tlsOf(one) === "TLSv1.3"));

  change({ ...settings, sources: ["s3"], connectionLimit: 8, enableTls: "RequiredInsecure" });
  await flow("the first source gone", () => last((one) => one["egress_source"] === "s3"));

  change({ ...settings, sources: ["s3"] });
  await flow("one connection in clear", () => last((one) => tlsOf(one) === "clear") && connectionsTo(host) === 1);

  await flow("all messages", () => sent >= MESSAGES);
  for (const client of clients) await client.end();
  await untilStored(host, sent);
  await until(() => deliveries().length === sent, "the last record");
  const expected = Array.from({ length: sent }, (_, at) => `r${at}@to.example`).sort();
  const stored = storedMail(host).map((mail) => mail.recipient);
  assert.deepEqual(stored.sort(), expected, "each is stored once");
  const told = outcomesIn(dir).map((record) => `${record.type} ${record.recipient}`);
  assert.deepEqual(
    told.sort(),
    expected.map((one) => `Delivery ${one}`),
  );
});
