/** What the real programs are told to do for the sake of tests, they do: certificates, TLS, AUTH. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createHmac, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { connect as secure, type TLSSocket } from "node:tls";
import { type CertificateFiles, TestAuthority, tlsaData } from "../support/peers/certificates.js";
import { startExim } from "../support/peers/exim.js";
import { type MailHost, untilStored } from "../support/peers/mail-host.js";
import { startPostfix } from "../support/peers/postfix.js";
import { findProgram, listening, ownAddress, Program, peerDir, present } from "../support/peers/program.js";
import { removeDir, until } from "../support/server.js";
import { SmtpClient } from "../support/smtp-client.js";

const NAME = "mx.peers.test";

function authorityFor(t: TestContext): TestAuthority {
  const dir = peerDir();
  t.after(() => removeDir(dir));
  return TestAuthority.root(dir);
}

/** Speaks to a host up to TLS, and returns the secure connection's socket. */
async function startTls(
  host: MailHost,
  authority: TestAuthority,
  own?: CertificateFiles,
): Promise<{ readonly socket: TLSSocket; readonly fault: string | null }> {
  const plain = await SmtpClient.connect(host.port, host.address);
  assert.match(await plain.say("EHLO test.example"), /STARTTLS/);
  assert.match(await plain.say("STARTTLS"), /^220 /);
  const socket = secure({
    socket: plain.detach(),
    servername: NAME,
    ca: readFileSync(authority.certificate),
    rejectUnauthorized: false,
    ...(own === undefined ? {} : { cert: readFileSync(own.chain), key: readFileSync(own.key) }),
  });
  await once(socket, "secureConnect");
  const error = socket.authorizationError as unknown;
  return { socket, fault: error === null || error === undefined ? null : String(error) };
}

/** Says lines on a socket, one reply at a time; the last reply. */
async function say(socket: TLSSocket, ...lines: readonly string[]): Promise<string> {
  let reply = "";
  for (const line of lines) {
    socket.write(`${line}\r\n`);
    reply = "";
    while (!/^\d{3} .*\r\n$/m.test(reply)) reply += ((await once(socket, "data")) as [Buffer])[0].toString("latin1");
  }
  return reply;
}

const MAIL = ["MAIL FROM:<a@b.example>", "RCPT TO:<r@to.example>", "DATA", "From: a@b.example\r\n\r\nhello\r\n."];

test("certificates are good, expired, for another name, under another root, or their own, as was asked", async (t) => {
  const authority = authorityFor(t);
  const dir = peerDir();
  t.after(() => removeDir(dir));
  const cases: readonly (readonly [string, CertificateFiles, RegExp | null])[] = [
    ["good", authority.issue({ names: ["other.test", NAME] }), null],
    ["wildcard", authority.issue({ names: ["*.peers.test"] }), null],
    ["under an intermediate", authority.under("middle").issue({ names: [NAME] }), null],
    ["expired", authority.issue({ names: [NAME], expired: true }), /CERT_HAS_EXPIRED/],
    ["another name", authority.issue({ names: ["other.test"] }), /ERR_TLS_CERT_ALTNAME_INVALID|altnames/],
    [
      "another root",
      TestAuthority.root(dir, "stranger").issue({ names: [NAME] }),
      /UNABLE_TO_VERIFY|UNABLE_TO_GET_ISSUER/,
    ],
    ["its own", TestAuthority.selfSigned(dir, NAME), /SELF_SIGNED|DEPTH_ZERO/],
  ];
  const hosts = await Promise.all(
    cases.map(([, certificate]) => startPostfix(t, { hostname: NAME, tls: { certificate } })),
  );
  for (const [at, [name, , expected]] of cases.entries()) {
    const host = hosts[at];
    if (host === undefined || host === null) return;
    const { socket, fault } = await startTls(host, authority);
    if (expected === null) assert.equal(fault, null, name);
    else assert.match(fault ?? "none", expected, name);
    socket.destroy();
  }
});

test("TLSA data is that of the certificate and of its key", (t) => {
  const files = authorityFor(t).issue({ names: [NAME] });
  const certificate = new X509Certificate(readFileSync(files.chain));
  assert.equal(tlsaData(files.chain, 0, 1), certificate.fingerprint256.replaceAll(":", "").toLowerCase());
  assert.equal(tlsaData(files.chain, 0, 0), certificate.raw.toString("hex"));
  assert.equal(tlsaData(files.chain, 1, 2).length, 128);
});

for (const kind of ["Postfix", "Exim"] as const) {
  test(`${kind} takes mail over TLS, and none without it where it is required`, async (t) => {
    const authority = authorityFor(t);
    const tls = { certificate: authority.issue({ names: [NAME] }), required: true };
    const host = await (kind === "Postfix" ? startPostfix : startExim)(t, { hostname: NAME, tls });
    if (host === null) return;
    const plain = await SmtpClient.connect(host.port, host.address);
    await plain.say("EHLO test.example");
    assert.match(await plain.say(MAIL[0] as string), /^5[35]0 /);
    plain.destroy();
    const { socket, fault } = await startTls(host, authority);
    assert.equal(fault, null);
    assert.match(await say(socket, "EHLO test.example", ...MAIL), /^250 /);
    socket.destroy();
    const [mail] = await untilStored(host, 1);
    assert.match(mail?.received ?? "", kind === "Postfix" ? /using TLSv1\.3/ : /with esmtps {2}\(TLS1\.3\)/);
  });

  test(`${kind} takes mail of those who have a name and a password, by each mechanism`, async (t) => {
    const users = { me: "secret phrase" };
    const host = await (kind === "Postfix" ? startPostfix : startExim)(t, { users });
    if (host === null) return;
    const b64 = (text: string): string => Buffer.from(text).toString("base64");
    const cram = (challenge: string, secret: string): string =>
      b64(`me ${createHmac("md5", secret).update(Buffer.from(challenge, "base64")).digest("hex")}`);
    const open = async (): Promise<SmtpClient> => {
      const client = await SmtpClient.connect(host.port, host.address);
      assert.match(await client.say("EHLO test.example"), /AUTH .*/);
      return client;
    };
    const login = async (client: SmtpClient, mechanism: string, secret: string): Promise<string> => {
      if (mechanism === "PLAIN") return client.say(`AUTH PLAIN ${b64(`\0me\0${secret}`)}`);
      const challenge = await client.say(`AUTH ${mechanism}`);
      assert.match(challenge, /^334 /);
      if (mechanism === "CRAM-MD5") return client.say(cram(challenge.slice(4), secret));
      await client.say(b64("me"));
      return client.say(b64(secret));
    };
    const stranger = await open();
    await stranger.say(MAIL[0] as string);
    assert.match(await stranger.say(MAIL[1] as string), /^5\d\d /);
    stranger.destroy();
    for (const mechanism of ["PLAIN", "LOGIN", "CRAM-MD5"]) {
      const liar = await open();
      assert.match(await login(liar, mechanism, "guess"), /^535 /, mechanism);
      liar.destroy();
      const client = await open();
      assert.match(await login(client, mechanism, users.me), /^235 /, `${mechanism}\n${host.log}`);
      for (const line of MAIL) assert.match(await client.say(line), /^[23]/);
      client.destroy();
    }
    assert.equal((await untilStored(host, 3)).length, 3);
  });
}

test("Postfix asks for the client's certificate and knows the authority that it was given", async (t) => {
  const authority = authorityFor(t);
  const tls = { certificate: authority.issue({ names: [NAME] }), clientCa: authority.certificate, required: true };
  const host = await startPostfix(t, { hostname: NAME, tls });
  if (host === null) return;
  const client = authority.issue({ names: ["client.test"], use: "clientAuth" });
  const { socket } = await startTls(host, authority, client);
  assert.match(await say(socket, "EHLO test.example", ...MAIL), /^250 /);
  socket.destroy();
  await untilStored(host, 1);
  assert.match(host.log, /Trusted TLS connection established from/);
});

test("a program that does not start says why, and leaves nothing behind", async (t) => {
  if (!present(t, "exim4")) return;
  const exim = findProgram("exim4");
  assert.ok(exim !== null);
  const start = Program.start(exim, {
    args: ["-C", "/nonexistent", "-bdf"],
    listens: { host: ownAddress(), port: 2525 },
  });
  await assert.rejects(start, /did not start: it ended\n.*Debian-exim/);
});

test("the kernel's table says who listens", async (t) => {
  const host = await startExim(t);
  if (host === null) return;
  assert.ok(listening({ host: host.address, port: host.port }));
  assert.ok(!listening({ host: host.address, port: host.port + 1 }));
  assert.ok(!listening({ host: ownAddress(), port: host.port }));
  await host.stop();
  assert.ok(!listening({ host: host.address, port: host.port }));
  assert.ok(existsSync("/proc/net/tcp6"));
});

test("a program ends with the test's process, also when that is killed", async (t) => {
  if (!present(t, "exim4")) return;
  const exim = new URL("../support/peers/exim.js", import.meta.url).href;
  const script = `const { startExim } = await import("${exim}");
    const host = await startExim({ after() {}, skip() {} });
    process.stdout.write(JSON.stringify({ host: host.address, port: host.port, maildir: host.maildir }));`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [said] = (await once(child.stdout, "data")) as [Buffer];
  const where = JSON.parse(said.toString()) as {
    readonly host: string;
    readonly port: number;
    readonly maildir: string;
  };
  t.after(() => removeDir(join(where.maildir, "../..")));
  assert.ok(listening(where));
  child.kill("SIGKILL");
  await until(() => !listening(where), "the end of what the killed process started");
});
