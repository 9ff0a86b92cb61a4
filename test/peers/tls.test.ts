/** Mail goes out over TLS, and after AUTH, to real mail hosts: Postfix and Exim. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { TestAuthority } from "../support/peers/certificates.js";
import { startExim } from "../support/peers/exim.js";
import { type MailHost, untilStored } from "../support/peers/mail-host.js";
import { startPostfix } from "../support/peers/postfix.js";
import { PEER_PORT } from "../support/peers/program.js";
import { makeDir, readLog, removeDir, startServer, until, writeConfig } from "../support/server.js";
import { connectAndGreet } from "../support/smtp-client.js";

/** What a host's certificate is, how the path to it is shaped, and what comes of that. */
interface Row {
  readonly name: string;
  readonly host: "trusted" | "other" | "expired" | "plain" | "auth" | "cram" | "client" | "exim";
  readonly path: string;
  /** The type of the record, and what its text must say. */
  readonly type: "Delivery" | "TransientFailure";
  readonly text?: RegExp;
  /** It went over TLS. */
  readonly secure?: boolean;
}

const AUTH = 'smtp_auth_plain_username = "me"\nsmtp_auth_plain_password = "pass word"';

const rows: readonly Row[] = [
  {
    name: "required, and as it should be",
    host: "trusted",
    path: 'enable_tls = "Required"',
    type: "Delivery",
    secure: true,
  },
  { name: "opportunistic", host: "trusted", path: 'enable_tls = "Opportunistic"', type: "Delivery", secure: true },
  { name: "disabled", host: "trusted", path: 'enable_tls = "Disabled"', type: "Delivery", secure: false },
  {
    name: "opportunistic, not offered",
    host: "plain",
    path: 'enable_tls = "Opportunistic"',
    type: "Delivery",
    secure: false,
  },
  {
    name: "required, not offered",
    host: "plain",
    path: 'enable_tls = "RequiredInsecure"',
    type: "TransientFailure",
    text: /TLS: TLS is required, and the server does not offer STARTTLS/,
  },
  {
    name: "required, for another name",
    host: "other",
    path: 'enable_tls = "Required"',
    type: "TransientFailure",
    text: /TLS: its certificate is not for mx1\.row-\d+\.example but for other\.example/,
  },
  {
    name: "insecure, for another name",
    host: "other",
    path: 'enable_tls = "RequiredInsecure"',
    type: "Delivery",
    secure: true,
  },
  {
    name: "opportunistic, expired, in clear then",
    host: "expired",
    path: 'enable_tls = "Opportunistic"\nopportunistic_tls_reconnect_on_failed_handshake = true',
    type: "Delivery",
    secure: false,
  },
  {
    name: "required, expired",
    host: "expired",
    path: 'enable_tls = "Required"',
    type: "TransientFailure",
    text: /TLS: its certificate has expired/,
  },
  {
    name: "TLS 1.2 and one cipher",
    host: "trusted",
    path: 'enable_tls = "Required"\nopenssl_options = "NO_TLSV1_3"\nopenssl_cipher_list = "ECDHE-ECDSA-AES256-GCM-SHA384"',
    type: "Delivery",
    secure: true,
  },
  { name: "AUTH", host: "auth", path: `enable_tls = "Required"\n${AUTH}`, type: "Delivery", secure: true },
  { name: "AUTH CRAM-MD5", host: "cram", path: `enable_tls = "Required"\n${AUTH}`, type: "Delivery", secure: true },
  {
    name: "AUTH, a wrong password",
    host: "auth",
    path: 'enable_tls = "Required"\nsmtp_auth_plain_username = "me"\nsmtp_auth_plain_password = "wrong"',
    type: "TransientFailure",
    text: /the reply to AUTH PLAIN: 535 5\.7\.8/,
  },
  {
    name: "AUTH, without TLS",
    host: "auth",
    path: `enable_tls = "Disabled"\n${AUTH}`,
    type: "TransientFailure",
    text: /without TLS it is not said/,
  },
  {
    name: "AUTH, to whoever it may be",
    host: "auth",
    path: `enable_tls = "RequiredInsecure"\ntls_trusted_certificates = "other-root.pem"\n${AUTH}`,
    type: "TransientFailure",
    text: /not said to a server whose certificate is not proved/,
  },
  { name: "Exim", host: "exim", path: 'enable_tls = "Required"', type: "Delivery", secure: true },
  {
    name: "a client certificate",
    host: "client",
    path: 'enable_tls = "Required"\ntls_certificate = "client.pem"\ntls_private_key = "client.key"',
    type: "Delivery",
    secure: true,
  },
];

test("what is demanded of real hosts", async (t) => {
  const dir = makeDir();
  const authority = TestAuthority.root(dir);
  const other = TestAuthority.root(dir, "other-root");
  assert.ok(other.certificate.endsWith("other-root.pem"));
  const names = rows.map((_, at) => `mx1.row-${at}.example`);
  const good = authority.issue({ names });
  const client = authority.issue({ names: ["client.example"], use: "clientAuth" });
  const users = { me: "pass word" };
  const hosts: Readonly<Record<Row["host"], MailHost | null>> = {
    trusted: await startPostfix(t, { tls: { certificate: good } }),
    other: await startPostfix(t, { tls: { certificate: authority.issue({ names: ["other.example"] }) } }),
    expired: await startPostfix(t, { tls: { certificate: authority.issue({ names, expired: true }) } }),
    plain: await startPostfix(t),
    auth: await startPostfix(t, { tls: { certificate: good }, users }),
    cram: await startPostfix(t, { tls: { certificate: good }, users, mechanisms: ["CRAM-MD5"] }),
    client: await startPostfix(t, { tls: { certificate: good, clientCa: authority.certificate } }),
    exim: await startExim(t, { tls: { certificate: good } }),
  };
  const zone = rows.flatMap(({ host }, at) => {
    const address = hosts[host]?.address;
    return address === undefined
      ? []
      : [`row-${at}.example. 60 IN MX 10 mx1.row-${at}.example.`, `mx1.row-${at}.example. 60 IN A ${address}`];
  });
  writeFileSync(join(dir, "hosts.zone"), `${zone.join("\n")}\n`);
  const paths = rows.map(({ path }, at) => {
    const trusted = path.includes("tls_trusted") ? "" : 'tls_trusted_certificates = "root.pem"\n';
    const own = path.replace("client.pem", client.chain).replace("client.key", client.key);
    return `["row-${at}.example"]\n${trusted}${own}\n`;
  });
  writeConfig(dir, {
    queue: 'retry_interval = "60s"',
    shaping: `["default"]\nsmtp_port = ${PEER_PORT}\nprohibited_hosts = []\n${paths.join("")}`,
    more: '[dns]\nhosts_file = "hosts.zone"\nservers = ["127.0.0.1:9"]\ntimeout = "1s"',
  });
  const relay = await startServer(dir);
  t.after(async () => {
    await relay.stop();
    removeDir(dir);
  });
  const sender = await connectAndGreet(relay.port);
  for (const [at, { host }] of rows.entries()) {
    if (hosts[host] === null) continue;
    assert.match(await sender.send("s@from.example", [`r@row-${at}.example`], "Subject: x\r\n\r\nhello"), /^250 /);
  }
  await sender.end();
  for (const [at, row] of rows.entries()) {
    const host = hosts[row.host];
    if (host === null) continue;
    await t.test(row.name, async () => {
      const found = () =>
        readLog(dir).filter(({ type, recipient }) => type !== "Reception" && recipient === `r@row-${at}.example`);
      await until(() => found().length > 0, `an outcome; ${host.kind} says:\n${host.log.slice(-2000)}`);
      const [record] = found();
      const text = JSON.stringify(record);
      assert.equal(record?.type, row.type, text);
      if (row.text !== undefined) assert.match(text, row.text);
      assert.ok(!text.includes("pass word"));
      if (row.secure === undefined) return;
      const [mail] = (await untilStored(host, 1)).filter(({ recipient }) => recipient === `r@row-${at}.example`);
      assert.equal(
        /with esmtps?a?/i
          .exec(mail?.received ?? "")?.[0]
          .toUpperCase()
          .includes("SMTPS"),
        row.secure,
        mail?.received,
      );
      assert.equal(text.includes('"tls_protocol_version":"TLSv1'), row.secure, text);
      assert.equal(text.includes('"is_secure":true'), row.secure, text);
      if (row.name.startsWith("TLS 1.2"))
        assert.match(text, /"tls_cipher":"TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384","tls_protocol_version":"TLSv1\.2"/);
    });
  }
});
