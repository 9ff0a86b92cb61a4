/** A zone that NSD serves signed and Unbound validates: what of it counts as secure, and what DANE makes of it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { SystemClock } from "../../src/base/clock.js";
import type { DnsConfig, ListenAddress } from "../../src/config/compiled.js";
import { hostAddresses } from "../../src/dns/addresses.js";
import { daneState } from "../../src/dns/dane.js";
import { resolveRoute } from "../../src/dns/mx.js";
import { openResolver } from "../../src/dns/open-resolver.js";
import type { Resolver } from "../../src/dns/resolver.js";
import { Counter } from "../../src/protocol/metrics.js";
import { DEFAULT_PROFILE } from "../../src/sink/options.js";
import { startSink } from "../../src/sink/sink.js";
import { makeDir, readLog, removeDir, startServer, until, writeConfig } from "../support/server.js";
import { connectAndGreet } from "../support/smtp-client.js";
import { canSign, SignedWorld, type Zone } from "./dnssec.js";

const DIGEST = "ab".repeat(32);
const FORGED = "0123456789abcdef".repeat(4);

const SIGNED: Zone = {
  name: "signed.test",
  signed: true,
  records: `@ MX 10 mx
@ MX 20 alias
_mta-sts TXT "v=STSv1; " "id=1;"
mx A 127.0.0.2
_25._tcp.mx TLSA 3 1 1 ${DIGEST}
_25._tcp.mx TLSA 1 1 1 ${DIGEST}
alias CNAME mx
_25._tcp.alias TLSA 2 1 1 ${DIGEST}
outside CNAME mx.plain.test.
_25._tcp.outside TLSA 3 1 1 ${DIGEST}
bare A 127.0.0.3
unusable A 127.0.0.4
_25._tcp.unusable TLSA 0 0 1 ${DIGEST}
broken A 127.0.0.5
_25._tcp.broken TLSA 3 1 1 ${FORGED}
tampered A 127.0.0.66
_25._tcp.linked CNAME _25._tcp.mx
linked A 127.0.0.7
bogus MX 10 forgedmx
c1 CNAME c2
c2 CNAME c3
c3 CNAME mx
loop1 CNAME loop2
loop2 CNAME loop1
big MX 10 mx
${Array.from({ length: 60 }, (_, i) => `big MX 20 a-host-with-a-long-name-${i}`).join("\n")}
`,
  forged: { [FORGED]: "f".repeat(64), "127.0.0.66": "127.0.0.99", "10 forgedmx": "10 mx" },
};

const PLAIN: Zone = {
  name: "plain.test",
  signed: false,
  records: `@ MX 10 mx\nmx A 127.0.0.2\n_25._tcp.mx TLSA 3 1 1 ${DIGEST}\n`,
};

function resolverOf(server: ListenAddress, dnssec: DnsConfig["dnssec"]): Resolver {
  const limits = {
    hostsFileDigest: null,
    maxConcurrent: 128,
    maxWaiting: 1000,
    cacheEntries: 1000,
    negativeTtlMs: 300_000,
  };
  const config = { servers: [server], timeoutMs: 10_000, dnssec, hostsFile: null, hostsFileSecure: false, ...limits };
  return openResolver(config, new SystemClock());
}

/** The route of a domain as `hosts, secure or not`. */
async function route(resolver: Resolver, domain: string): Promise<string> {
  const one = await resolveRoute(resolver, domain, []);
  if (one.kind === "failed") return `failed: ${one.reason}`;
  return one.kind === "hosts" ? `${one.hosts.map((host) => host.name)} ${one.secure}` : one.kind;
}

/** What DANE says of a host. */
async function dane(resolver: Resolver, host: string): Promise<string> {
  const addresses = await hostAddresses(resolver, host, "Ipv4AndIpv6");
  if (addresses.kind !== "found") return `no address: ${addresses.kind}`;
  const state = await daneState(resolver, host, 25, addresses);
  if (state.kind === "usable") return `${state.records.map((one) => one.usage)} for ${state.names}`;
  return state.kind === "failed" ? `failed: ${state.reason}` : state.kind;
}

test("signed, unsigned and forged answers of real name servers", { timeout: 60_000 }, async (t) => {
  if (!canSign(t)) return;
  const world = await SignedWorld.start([SIGNED, PLAIN]);
  t.after(() => world.stop());
  const resolver = resolverOf(world.resolver, "trust-ad");

  await t.test(
    "the AD bit makes a route secure, also where there is no MX record; forged MX records fail it",
    async () => {
      assert.equal(await route(resolver, "signed.test"), "mx.signed.test,alias.signed.test true");
      assert.equal(await route(resolver, "bare.signed.test"), "bare.signed.test true");
      assert.equal(await route(resolver, "plain.test"), "mx.plain.test false");
      assert.equal(await route(resolver, "bogus.signed.test"), "failed: MX of bogus.signed.test: server failure");
      assert.equal(await route(resolver, "nothing.signed.test"), "no-such-domain");
    },
  );

  await t.test(
    "the same answers are not secure where the bit is not believed, or the server does not validate",
    async () => {
      assert.equal(
        await route(resolverOf(world.resolver, "off"), "signed.test"),
        "mx.signed.test,alias.signed.test false",
      );
      assert.equal(
        await route(resolverOf(world.authority, "trust-ad"), "signed.test"),
        "mx.signed.test,alias.signed.test false",
      );
    },
  );

  const rows: readonly (readonly [string, string])[] = [
    ["mx.signed.test", "3 for mx.signed.test"],
    ["alias.signed.test", "3 for mx.signed.test,alias.signed.test"],
    ["c1.signed.test", "3 for mx.signed.test,c1.signed.test"],
    ["outside.signed.test", "3 for outside.signed.test"],
    ["linked.signed.test", "3 for linked.signed.test"],
    ["bare.signed.test", "none"],
    ["unusable.signed.test", "unusable"],
    ["broken.signed.test", "failed: TLSA: server failure"],
    ["tampered.signed.test", "no address: failed"],
    ["loop1.signed.test", "no address: failed"],
    ["mx.plain.test", "none"],
  ];
  for (const [host, expected] of rows) {
    await t.test(`${host}: ${expected}`, async () => assert.equal(await dane(resolver, host), expected));
  }

  await t.test("texts in several parts, a large set by TCP, and the life of what does not exist", async () => {
    const text = await resolver.lookup("_mta-sts.signed.test", "TXT");
    assert.equal(text.kind === "found" && text.records[0]?.value, "v=STSv1; id=1;");
    const big = await resolver.lookup("big.signed.test", "MX");
    assert.equal(big.kind === "found" && big.records.length, 61);
    const gone = await resolver.lookup("nothing.signed.test", "A");
    assert.ok(gone.kind === "nxdomain" && gone.authentic && gone.ttlMs <= 30_000);
  });
});

test("a server behind the validating resolver delivers what is signed and puts off what is forged", {
  timeout: 60_000,
}, async (t) => {
  if (!canSign(t)) return;
  const world = await SignedWorld.start([
    { ...SIGNED, records: `${SIGNED.records}here MX 10 lo\nlo A 127.0.0.1\n` },
    PLAIN,
  ]);
  t.after(() => world.stop());
  const sink = await startSink({ host: "127.0.0.1", port: 0, profile: DEFAULT_PROFILE });
  t.after(() => sink.stop());
  const dir = makeDir();
  writeConfig(dir, {
    queue: 'retry_interval = "10m"',
    shaping: `["default"]\nsmtp_port = ${sink.port}\nprohibited_hosts = []\nenable_dane = true\nip_lookup_strategy = "Ipv4Only"\n`,
    more: `[dns]\nservers = ["127.0.0.1:${world.resolver.port}"]\ndnssec = "trust-ad"\n[mta_sts]\nenabled = false\n`,
  });
  const running = await startServer(dir);
  t.after(async () => {
    await running.stop();
    removeDir(dir);
  });
  const client = await connectAndGreet(running.port);
  const recipients = ["a@here.signed.test", "b@bogus.signed.test", "c@nothing.signed.test"];
  await client.send("s@x.example", recipients, "Subject: 1\r\n\r\nx");
  await client.end();
  const outcomes = () => readLog(dir).filter((record) => record.type !== "Reception");
  await until(() => outcomes().length === 3, "three outcomes");
  const told = outcomes().map((record) => `${record.recipient} ${record.type} ${record.response.code}`);
  assert.deepEqual(told.sort(), [
    "a@here.signed.test Delivery 250",
    "b@bogus.signed.test TransientFailure 451",
    "c@nothing.signed.test Bounce 550",
  ]);
  const forged = outcomes().find((record) => record.recipient.startsWith("b@"));
  assert.match(forged?.response.content ?? "", /MX of bogus\.signed\.test: server failure/);
  const { shared } = running.server;
  // Three for MX, one for A, and TLSA because the set is secure and the path wants it.
  assert.ok(shared.sum(Counter.dnsQueries) >= 5);
  assert.ok(shared.sum(Counter.dnsServfails) >= 1);
  assert.equal(shared.sum(Counter.dnsInProgress), 0);
});
