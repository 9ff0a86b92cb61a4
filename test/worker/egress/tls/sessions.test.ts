/** Delivery sessions over real TLS, against the sink: what each demand comes to when the server is so or so. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import type { PathConfig } from "../../../../src/config/compiled.js";
import { Counter } from "../../../../src/protocol/metrics.js";
import type { DaneState } from "../../../../src/protocol/tls-policy.js";
import { startProxy } from "../../../../src/proxy/proxy.js";
import { publicKeyOf } from "../../../../src/sink/certificate.js";
import type { SinkAuth, SinkTls } from "../../../../src/sink/options.js";
import { authority, certificates, commonNameOnly, LiveWorld, TlsSink, textOf, tlsOf } from "./live-session.js";

interface Case {
  readonly name: string;
  readonly tls: SinkTls | null;
  readonly config: Partial<PathConfig>;
  readonly dane?: DaneState;
  readonly host?: string;
  readonly auth?: SinkAuth;
  /** `secure` or `clear` when it is delivered, else what the text must say. */
  readonly expect: "secure" | "clear" | RegExp;
  /** Connections that the server sees. */
  readonly connections?: number;
}

const BAD = tlsOf(certificates.selfSigned);
const HANGS = tlsOf(certificates.good, { fault: "hang" });
const fast = { starttlsTimeoutMs: 100 };

const cases: readonly Case[] = [
  // enable_tls by what the server does: reference §15.
  { name: "Disabled, offered", tls: tlsOf(), config: { enableTls: "Disabled" }, expect: "clear" },
  { name: "Opportunistic, not offered", tls: null, config: { enableTls: "Opportunistic" }, expect: "clear" },
  { name: "Opportunistic, offered", tls: tlsOf(), config: { enableTls: "Opportunistic" }, expect: "secure" },
  { name: "Opportunistic, nobody vouches", tls: BAD, config: { enableTls: "Opportunistic" }, expect: /is self-signed/ },
  {
    name: "Opportunistic, nobody vouches, reconnect",
    tls: BAD,
    config: { enableTls: "Opportunistic", opportunisticTlsReconnect: true },
    expect: "clear",
    connections: 2,
  },
  {
    name: "OpportunisticInsecure, nobody vouches",
    tls: BAD,
    config: { enableTls: "OpportunisticInsecure" },
    expect: "secure",
  },
  {
    name: "OpportunisticInsecure, refused",
    tls: tlsOf(certificates.good, { fault: "refuse" }),
    config: { enableTls: "OpportunisticInsecure" },
    expect: "clear",
    connections: 1,
  },
  {
    name: "Opportunistic, refused",
    tls: tlsOf(certificates.good, { fault: "refuse" }),
    config: { enableTls: "Opportunistic" },
    expect: /STARTTLS: 454 4\.7\.0 TLS not available/,
  },
  {
    name: "OpportunisticInsecure, not TLS",
    tls: tlsOf(certificates.good, { fault: "garbage" }),
    config: { enableTls: "OpportunisticInsecure" },
    expect: "clear",
    connections: 2,
  },
  {
    name: "OpportunisticInsecure, hangs",
    tls: HANGS,
    config: { ...fast, enableTls: "OpportunisticInsecure" },
    expect: "clear",
    connections: 2,
  },
  {
    name: "Required, not offered",
    tls: null,
    config: { enableTls: "Required" },
    expect: /TLS is required, and the server does not offer STARTTLS/,
  },
  {
    name: "RequiredInsecure, not offered",
    tls: null,
    config: { enableTls: "RequiredInsecure" },
    expect: /does not offer STARTTLS/,
  },
  { name: "Required", tls: tlsOf(), config: { enableTls: "Required" }, expect: "secure" },
  { name: "RequiredInsecure, nobody vouches", tls: BAD, config: { enableTls: "RequiredInsecure" }, expect: "secure" },
  {
    name: "Required, hangs",
    tls: HANGS,
    config: { ...fast, enableTls: "Required" },
    expect: /timed out after 0\.1s while waiting for the TLS handshake/,
    connections: 1,
  },
  {
    name: "Required, not TLS",
    tls: tlsOf(certificates.good, { fault: "garbage" }),
    config: { enableTls: "Required" },
    expect: /TLS: what it sent is not TLS \(WRONG_VERSION_NUMBER\)/,
    connections: 1,
  },
  {
    name: "clear text after the reply to STARTTLS, even where clear would do",
    tls: tlsOf(certificates.good, { fault: "inject" }),
    config: { enableTls: "OpportunisticInsecure", opportunisticTlsReconnect: true },
    expect: /clear text came with the reply to STARTTLS, ahead of the TLS handshake/,
    connections: 1,
  },
  // What a certificate lacks, in words.
  {
    name: "another name",
    tls: tlsOf(certificates.otherName),
    config: { enableTls: "Required" },
    expect: /TLS: its certificate is not for mx\.example but for other\.example/,
  },
  {
    name: "only a common name (RFC 8461 §4.1)",
    tls: tlsOf(commonNameOnly),
    config: { enableTls: "Required", tlsTrustedCertificates: commonNameOnly.certificate },
    expect: /TLS: its certificate is not for mx\.example but for no name/,
  },
  {
    name: "expired",
    tls: tlsOf(certificates.expired),
    config: { enableTls: "Required" },
    expect: /TLS: its certificate has expired/,
  },
  {
    name: "an authority that we do not know",
    tls: tlsOf(),
    config: { enableTls: "Required", tlsTrustedCertificates: null },
    expect: /TLS: its certificate comes from an unknown authority/,
  },
  {
    name: "no version in common",
    tls: tlsOf(certificates.good, { maxVersion: "TLSv1.2" }),
    config: { enableTls: "Required", tlsMinimumVersion: "TLSv1.3" },
    expect: /TLS: no TLS version in common/,
  },
  {
    name: "no cipher in common",
    tls: tlsOf(certificates.good, { maxVersion: "TLSv1.2" }),
    config: { enableTls: "Required", opensslCipherList: "AES256-SHA" },
    expect: /TLS: no shared cipher/,
  },
  {
    name: "options of OpenSSL",
    tls: tlsOf(certificates.good, { maxVersion: "TLSv1.2" }),
    config: { enableTls: "Required", opensslOptions: "NO_TLSV1_2|SSL_OP_NO_TICKET" },
    expect: /TLS: no TLS version in common/,
  },
  {
    name: "half a client certificate",
    tls: tlsOf(),
    config: { enableTls: "Required", tlsCertificate: certificates.good.certificate },
    expect: /our own settings cannot be used: tls_certificate and tls_private_key go together/,
  },
  // DANE.
  {
    name: "TLSA of its key",
    tls: BAD,
    config: { enableTls: "Disabled" },
    dane: usable(3, 1, 1, createHash("sha256").update(publicKeyOf(certificates.selfSigned)).digest()),
    expect: "secure",
  },
  {
    name: "TLSA of another key",
    tls: tlsOf(),
    config: { enableTls: "OpportunisticInsecure", opportunisticTlsReconnect: true },
    dane: usable(3, 1, 1, createHash("sha256").update("another").digest()),
    expect: /TLS: DANE: its certificate is none of the TLSA records/,
    connections: 1,
  },
  {
    name: "usable TLSA, STARTTLS stripped",
    tls: null,
    config: { enableTls: "OpportunisticInsecure" },
    dane: usable(3, 1, 1, createHash("sha256").update(publicKeyOf(certificates.good)).digest()),
    expect: /does not offer STARTTLS/,
  },
  { name: "unusable TLSA", tls: BAD, config: { enableTls: "Disabled" }, dane: { kind: "unusable" }, expect: "secure" },
  {
    name: "failed TLSA look-up",
    tls: tlsOf(),
    config: { enableTls: "Disabled" },
    dane: { kind: "failed", reason: "SERVFAIL" },
    expect: /TLSA records of this host cannot be had \(SERVFAIL\)/,
    connections: 0,
  },
];

function usable(usage: number, selector: number, matching: number, data: Uint8Array): DaneState {
  return { kind: "usable", records: [{ usage, selector, matching, data }], names: ["mx.example"] };
}

for (const one of cases) {
  test(`TLS: ${one.name}`, async () => {
    const world = new LiveWorld();
    const { sink, got } = await TlsSink.start(one.tls, one.auth ?? null);
    try {
      const [outcome] = await world.send([sink.port], one.config, { ...(one.dane && { dane: one.dane }) });
      if (one.expect instanceof RegExp) {
        assert.match(textOf(outcome), one.expect);
        assert.match(textOf(outcome), /^transient 400 /);
        assert.equal(got.length, 0);
      } else {
        assert.equal(textOf(outcome), "delivered 250 OK");
        assert.equal(outcome.facts === null ? "clear" : "secure", one.expect);
        assert.equal(got.length, 1);
      }
      if (one.connections !== undefined) assert.equal(sink.totals().connections, one.connections);
    } finally {
      world.close();
      await sink.stop();
    }
  });
}

test("messages of all sizes arrive whole, the facts are known, and the next connection resumes", async () => {
  const world = new LiveWorld();
  const { sink, got } = await TlsSink.start(tlsOf());
  try {
    const contents = [10, 1000, 16_384, 70_000, 3_000_000].map((size) =>
      Buffer.from(`${"0123456789abcdef".repeat(size / 10).slice(0, size)}\r\n`),
    );
    const outcomes = await world.send([sink.port], { enableTls: "Required" }, { contents });
    assert.deepEqual(
      outcomes.map(textOf),
      contents.map(() => "delivered 250 OK"),
    );
    for (const [i, content] of contents.entries()) assert.ok(got[i]?.[1].equals(content), `content ${i}`);
    assert.deepEqual(outcomes[0]?.facts, {
      cipher: "TLS_AES_256_GCM_SHA384",
      version: "TLSv1.3",
      subject: ["CN=mx.example"],
      lacks: null,
      resumed: false,
    });
    assert.ok(world.turns > 0);
    const [second] = await world.send([sink.port], { enableTls: "Required" });
    assert.deepEqual([second.facts?.resumed, second.facts?.subject], [true, ["CN=mx.example"]]);
    assert.equal(sink.totals().connections, 2);
    const handshakes = [Counter.tlsHandshakes, Counter.tlsResumed, Counter.tlsFailures];
    const counted = [...handshakes, Counter.tlsProved, Counter.tlsUnproved, Counter.tlsClear];
    assert.deepEqual(
      counted.map((counter) => world.counters[counter]),
      [2, 1, 0, 2, 0, 0],
    );
  } finally {
    world.close();
    await sink.stop();
  }
});

test("what was proved nothing is not proved by resuming it", async () => {
  const world = new LiveWorld();
  const { sink } = await TlsSink.start(tlsOf(certificates.otherName));
  try {
    const [first] = await world.send([sink.port], { enableTls: "OpportunisticInsecure" });
    assert.match(first.facts?.lacks?.reason ?? "", /is not for mx\.example/);
    const [second] = await world.send([sink.port], { enableTls: "OpportunisticInsecure" });
    assert.equal(second.facts?.resumed, true);
    assert.match(second.facts?.lacks?.reason ?? "", /is not for mx\.example/);
    const [third] = await world.send([sink.port], { enableTls: "Required" });
    assert.match(textOf(third), /is not for mx\.example/);
  } finally {
    world.close();
    await sink.stop();
  }
});

test("broken TLS is remembered for as long as it is said, and not against what is required", async () => {
  const world = new LiveWorld();
  const { sink } = await TlsSink.start(tlsOf(certificates.good, { fault: "garbage" }));
  try {
    const config = { enableTls: "OpportunisticInsecure", rememberBrokenTlsMs: 60_000 } as const;
    for (const connections of [2, 3, 4]) {
      const [outcome] = await world.send([sink.port], config);
      assert.equal(textOf(outcome), "delivered 250 OK");
      assert.equal(sink.totals().connections, connections);
    }
    const [required] = await world.send([sink.port], { ...config, enableTls: "RequiredInsecure" });
    assert.match(textOf(required), /what it sent is not TLS/);
    const [enforced] = await world.send([sink.port], config, { sts: "enforce" });
    assert.match(textOf(enforced), /what it sent is not TLS/);
  } finally {
    world.close();
    await sink.stop();
  }
});

test("the next host is tried when TLS with the first one is not as demanded", async () => {
  const world = new LiveWorld();
  const bad = await TlsSink.start(tlsOf(certificates.expired));
  const good = await TlsSink.start(tlsOf());
  try {
    const [outcome] = await world.send([bad.sink.port, good.sink.port], { enableTls: "Required" });
    assert.equal(textOf(outcome), "delivered 250 OK");
    assert.deepEqual([bad.got.length, good.got.length], [0, 1]);
  } finally {
    world.close();
    await bad.sink.stop();
    await good.sink.stop();
  }
});

const LOGIN = { username: "me", password: "sécret" };
const auth = (mechanisms: readonly string[], more: Partial<SinkAuth> = {}): SinkAuth => ({
  ...LOGIN,
  mechanisms,
  required: true,
  inClear: false,
  ...more,
});
const known = { smtpAuthUsername: LOGIN.username, smtpAuthPassword: LOGIN.password };

const authCases: readonly Case[] = [
  ...["PLAIN", "LOGIN", "CRAM-MD5"].map((mechanism) => ({
    name: mechanism,
    tls: tlsOf(),
    auth: auth([mechanism]),
    config: known,
    expect: "secure" as const,
  })),
  {
    name: "a long password",
    tls: tlsOf(),
    auth: auth(["PLAIN"], { password: "x".repeat(500) }),
    config: { ...known, smtpAuthPassword: "x".repeat(500) },
    expect: "secure",
  },
  {
    name: "a wrong password",
    tls: tlsOf(),
    auth: auth(["PLAIN"]),
    config: { ...known, smtpAuthPassword: "no" },
    expect: /reply to AUTH PLAIN: 535 5\.7\.8/,
  },
  {
    name: "nothing in common",
    tls: tlsOf(),
    auth: auth(["GSSAPI"]),
    config: known,
    expect: /offers AUTH GSSAPI, and we can do PLAIN, LOGIN, CRAM-MD5/,
  },
  { name: "not offered", tls: tlsOf(), config: known, expect: /does not offer AUTH/ },
  {
    name: "no TLS",
    tls: null,
    auth: auth(["PLAIN"], { inClear: true }),
    config: known,
    expect: /without TLS it is not said/,
  },
  {
    name: "no TLS, allowed",
    tls: null,
    auth: auth(["PLAIN"], { inClear: true }),
    config: { ...known, allowAuthWithoutTls: true },
    expect: "clear",
  },
  {
    name: "unproved",
    tls: BAD,
    auth: auth(["PLAIN"]),
    config: { ...known, enableTls: "RequiredInsecure" },
    expect: /not proved: its certificate is self-signed/,
  },
  {
    name: "unproved, allowed",
    tls: BAD,
    auth: auth(["PLAIN"]),
    config: { ...known, enableTls: "RequiredInsecure", allowAuthWithoutValidCertificate: true },
    expect: "secure",
  },
  {
    name: "half configured",
    tls: tlsOf(),
    auth: auth(["PLAIN"], { required: false }),
    config: { smtpAuthUsername: "me" },
    expect: /without smtp_auth_plain_password/,
  },
];

for (const one of authCases) {
  test(`AUTH: ${one.name}`, async () => {
    const world = new LiveWorld();
    const { sink, got } = await TlsSink.start(one.tls, one.auth ?? null);
    try {
      const [outcome] = await world.send([sink.port], one.config);
      if (one.expect instanceof RegExp) {
        assert.match(textOf(outcome), one.expect);
        assert.ok(!textOf(outcome).includes(LOGIN.password));
        assert.equal(got.length, 0);
      } else {
        assert.equal(textOf(outcome), "delivered 250 OK");
        assert.equal(outcome.facts === null ? "clear" : "secure", one.expect);
      }
      const letIn = one.expect instanceof RegExp ? 0 : 1;
      assert.deepEqual(
        [world.counters[Counter.authAccepted], world.counters[Counter.authFailures]],
        [letIn, 1 - letIn],
      );
      assert.equal(world.counters[Counter.tlsClear], one.expect === "clear" ? 1 : 0);
    } finally {
      world.close();
      await sink.stop();
    }
  });
}

test("AUTH: a token of a file that somebody else keeps fresh", async () => {
  const dir = mkdtempSync(join(tmpdir(), "hikyaku-test-"));
  const file = join(dir, "token");
  const world = new LiveWorld();
  const { sink } = await TlsSink.start(tlsOf(), auth(["XOAUTH2"], { password: "t0ken" }));
  const config = { smtpAuthUsername: "me", smtpAuthTokenFile: file };
  try {
    assert.match(textOf((await world.send([sink.port], config))[0]), /no access token can be read from/);
    writeFileSync(file, "old\n");
    assert.match(textOf((await world.send([sink.port], config))[0]), /reply to AUTH XOAUTH2: 535/);
    writeFileSync(file, "t0ken\n");
    assert.equal(textOf((await world.send([sink.port], config))[0]), "delivered 250 OK");
  } finally {
    world.close();
    await sink.stop();
    rmSync(dir, { recursive: true });
  }
});

test("what is wrong with our own settings is not held against the host: not in clear, not remembered, not reported", async () => {
  const world = new LiveWorld();
  const sink = await TlsSink.start(tlsOf());
  const wrong = { tlsCertificate: certificates.good.certificate } as const;
  try {
    for (const enableTls of ["Opportunistic", "OpportunisticInsecure"] as const) {
      const config = { enableTls, opportunisticTlsReconnect: true, rememberBrokenTlsMs: 60_000 };
      const [failed] = await world.send([sink.sink.port], { ...config, ...wrong });
      assert.match(textOf(failed), /TLS: our own settings cannot be used/);
      assert.deepEqual(failed.notes, []);
      assert.deepEqual(sink.got, []);
      const [mended] = await world.send([sink.sink.port], config);
      assert.equal(mended.facts?.version, "TLSv1.3", "TLS is tried again as soon as it can be");
      sink.got.length = 0;
    }
  } finally {
    world.close();
    await sink.sink.stop();
  }
});

test("a client certificate is shown, and one that cannot be used is told", async () => {
  const world = new LiveWorld();
  const { sink } = await TlsSink.start(tlsOf());
  const { certificate, key } = certificates.good;
  try {
    const [shown] = await world.send([sink.port], {
      enableTls: "Required",
      tlsCertificate: certificate,
      tlsPrivateKey: key,
    });
    assert.equal(textOf(shown), "delivered 250 OK");
    const wrong = { enableTls: "Required", tlsCertificate: certificate, tlsPrivateKey: authority.key } as const;
    assert.match(textOf((await world.send([sink.port], wrong))[0]), /our own settings cannot be used: .*mismatch/);
  } finally {
    world.close();
    await sink.stop();
  }
});

test("what is told to those who want reports: each connection, under the policy that held", async () => {
  const world = new LiveWorld();
  const good = await TlsSink.start(tlsOf());
  const bad = await TlsSink.start(BAD);
  const none = await TlsSink.start(null);
  const told = async (
    sink: TlsSink,
    config: Partial<PathConfig>,
    options: Parameters<LiveWorld["send"]>[2] = {},
  ): Promise<string[]> => {
    const [outcome] = await world.send([sink.sink.port], config, options);
    for (const { domain, mxHost, receivingIp } of outcome.notes) {
      assert.deepEqual([domain, mxHost, receivingIp], ["b.example", "mx.example", "127.0.0.1"]);
    }
    const fate = outcome.fate.kind;
    return [fate, ...outcome.notes.map(({ policy, result }) => `${policy} ${result}`)];
  };
  const insecure = { enableTls: "OpportunisticInsecure" } as const;
  try {
    assert.deepEqual(await told(good, insecure), ["delivered", "no-policy-found success"]);
    assert.deepEqual(await told(bad, insecure), ["delivered", "no-policy-found success"]);
    assert.deepEqual(await told(none, insecure), ["delivered", "no-policy-found starttls-not-supported"]);
    assert.deepEqual(await told(none, { enableTls: "Disabled" }), ["delivered"]);
    assert.deepEqual(await told(bad, insecure, { sts: "testing" }), ["delivered", "sts certificate-not-trusted"]);
    assert.deepEqual(await told(bad, insecure, { sts: "enforce" }), ["transient", "sts certificate-not-trusted"]);
    assert.deepEqual(await told(none, insecure, { sts: "enforce" }), ["transient", "sts starttls-not-supported"]);
    const dane = usable(3, 1, 1, createHash("sha256").update("another").digest());
    assert.deepEqual(await told(good, insecure, { dane }), ["transient", "tlsa validation-failure"]);
    const unusable: DaneState = { kind: "unusable" };
    assert.deepEqual(await told(good, insecure, { dane: unusable }), ["delivered", "tlsa tlsa-invalid"]);
    const failed: DaneState = { kind: "failed", reason: "bogus" };
    assert.deepEqual(await told(good, insecure, { dane: failed }), ["transient", "tlsa dnssec-invalid"]);
    const reconnect = { enableTls: "Opportunistic", opportunisticTlsReconnect: true } as const;
    assert.deepEqual(await told(bad, reconnect), ["delivered", "no-policy-found certificate-not-trusted"]);
  } finally {
    world.close();
    for (const { sink } of [good, bad, none]) await sink.stop();
  }
});

test("TLS goes through a proxy as it goes without one", async () => {
  const world = new LiveWorld();
  const { sink, got } = await TlsSink.start(tlsOf(), auth(["PLAIN"]));
  const server = await startProxy({
    listen: { host: "127.0.0.1", port: 0 },
    tls: null,
    auth: "none",
    users: new Map(),
    clients: ["127.0.0.0/8"],
    sources: [],
    destinations: [],
    ports: [],
    maxConnections: 10,
    maxPerClient: 10,
    timeoutMs: 5000,
  });
  try {
    const proxy = {
      protocol: "socks5",
      server: { host: "127.0.0.1", port: server.port },
      sourceAddress: "127.0.0.1",
      credentials: null,
    } as const;
    const contents = [Buffer.from("one\r\n"), Buffer.alloc(500_001, "x\r\n")];
    const outcomes = await world.send([sink.port], { enableTls: "Required", ...known }, { proxy, contents });
    assert.deepEqual(outcomes.map(textOf), ["delivered 250 OK", "delivered 250 OK"]);
    assert.equal(outcomes[0]?.facts?.lacks, null);
    assert.deepEqual(
      got.map(([, content]) => content.length),
      [5, 500_001],
    );
    const [wrong] = await world.send([sink.port], { enableTls: "Required" }, { proxy, name: "other.example" });
    assert.match(textOf(wrong), /is not for other\.example but for mx\.example/);
  } finally {
    world.close();
    await server.stop();
    await sink.stop();
  }
});
